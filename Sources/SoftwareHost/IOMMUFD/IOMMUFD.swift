import IOVASpace
import LinuxSystem
import VFIOABI

/// An open `/dev/iommu` (kernel.md F): a numbered set of objects. Guarded by `Core.lock`.
///
/// Held by its descriptor and by every device that is bound to it; when the last has gone all objects go.
final class IOMMUFD: FileObject {
    /// What an id stands for.
    enum Object {
        case ioas(IOAS)
        case table(PageTable)
        case faultQueue(FaultQueue)
        case device(IOMMUFDDevice)
    }

    let core: Core
    /// By id; 0 is nobody's.
    private var objects: [Object?] = [nil]

    init(_ core: Core) { self.core = core }

    /// What it is as a container (kernel.md F.7).
    var compat = Compat()
    /// IOMMU_OPTION_RLIMIT_MODE
    var countsByProcess = false

    /// Whether there are no objects.
    var isEmpty: Bool { objects.allSatisfy { $0 == nil } }

    /// All address spaces.
    var addressSpaces: [IOAS] {
        objects.compactMap { object in
            if case .ioas(let ioas) = object { return ioas }
            return nil
        }
    }

    override func release() {
        core.lock.withLock {
            for case .ioas(let ioas) in objects { ioas.destroy() }
            objects = []
        }
    }

    // MARK: objects

    /// Gives an object the lowest id that is free.
    func add(_ object: Object) -> UInt32 {
        var id = 1
        while id < objects.count && objects[id] != nil { id += 1 }
        if id < objects.count { objects[id] = object } else { objects.append(object) }
        return UInt32(truncatingIfNeeded: id)
    }

    /// What an id stands for.
    /// - Throws: `ENOENT`
    func object(_ id: UInt32) throws(Errno) -> Object {
        guard Int(id) < objects.count, let object = objects[Int(id)] else { throw .noSuchEntry }
        return object
    }

    /// The IOAS with an id.
    /// - Throws: `ENOENT`, also for an object of another kind.
    func ioas(_ id: UInt32) throws(Errno) -> IOAS {
        guard case .ioas(let ioas) = try object(id) else { throw .noSuchEntry }
        return ioas
    }

    /// The id of an IOAS; nil if it isn't one of this iommufd's any more.
    func id(of ioas: IOAS) -> UInt32? {
        let index = objects.firstIndex { object in
            if case .ioas(let other) = object { return other === ioas }
            return false
        }
        return index.map { UInt32(truncatingIfNeeded: $0) }
    }

    /// Takes an id back.
    func remove(_ id: UInt32) { objects[Int(id)] = nil }

    /// Finds an IOAS for a request that is carried out without `Core.lock`.
    func find(_ id: UInt32) throws(Errno) -> IOAS {
        try core.lock.withLock { () throws(Errno) in try ioas(id) }
    }

    // MARK: requests

    func control(_ request: Request, _ argument: UInt) throws(Errno) -> Int32 {
        guard let command = CommandShape(Request(IOMMUFDCommand(rawValue: request.number))) else {
            return try controlAsContainer(request, argument)
        }
        let address = HostAddress(rawValue: argument)
        let head = UserCommand.Head(from: address, known: command.byteCount)
        let size: UInt32
        if let head { size = head.size } else { size = try UserMemory.load(UInt32(0), from: address) }
        guard request.isVFIO else { throw .noSuchRequest }
        guard size >= command.leastByteCount else { throw .invalid }
        try UserStructure.checkTail(of: address, size: size, known: command.byteCount)
        let user = UserCommand(
            address: address, byteCount: min(Int(size), command.byteCount), head: head)
        switch command {
        case .destroy: try destroy(user)
        case .ioasAllocate: try allocate(user)
        case .ioasAllow: try allow(user)
        case .ioasRanges: try ranges(user)
        case .ioasMap: try map(user)
        case .ioasUnmap: try unmap(user)
        case .ioasCopy: try copy(user)
        case .option: try option(user)
        case .compat: try chooseCompat(user)
        case .changeProcess: try changeProcess(user)
        case .tableAllocate: try allocateTable(user)
        case .hardwareInfo: try getHardwareInfo(user)
        case .setDirty: try setDirtyTracking(user)
        case .getDirty: try getDirtyBitmap(user)
        case .ioasMapFile: try mapFile(user)
        case .invalidate: try invalidate(user)
        case .faultQueue: try allocateFaultQueue(user)
        case .virtualIOMMU: try allocateVirtualIOMMU(user)
        case .virtualDevice: try allocateVirtualDevice(user)
        case .eventQueue: try allocateEventQueue(user)
        case .hardwareQueue: try allocateHardwareQueue(user)
        }
        return 0
    }

    private func destroy(_ user: UserCommand) throws(Errno) {
        let request = try user.load(IOMMUFDDestroy())
        try core.lock.withLock { () throws(Errno) in
            switch try object(request.id) {
            case .device: throw .busy
            case .faultQueue(let queue):
                guard !queue.isOpen, queue.tableCount == 0 else { throw .busy }
                remove(request.id)
            case .table(let table):
                guard table.userCount == 0, table.childCount == 0 else { throw .busy }
                discard(table)
            case .ioas(let ioas):
                guard ioas.tableCount == 0, ioas.accessCount == 0 else { throw .busy }
                if compat.ioas === ioas { compat.ioas = nil }
                remove(request.id)
                ioas.destroy()
            }
        }
    }

    private func allocate(_ user: UserCommand) throws(Errno) {
        var request = try user.load(IOASAlloc())
        guard request.flags == 0 else { throw .notSupported }
        let ioas = IOAS(core)
        request.ioasID = core.lock.withLock { add(.ioas(ioas)) }
        do throws(Errno) {
            try user.store(request)
        } catch {
            core.lock.withLock { remove(request.ioasID) }
            throw error
        }
    }

    private func ranges(_ user: UserCommand) throws(Errno) {
        var request = try user.load(IOASIOVARanges())
        guard request.reserved == 0 else { throw .notSupported }
        let (ranges, alignment) = try find(request.ioasID).ranges()
        let room = Int(request.rangeCount)
        for (index, range) in ranges.enumerated() where index < room {
            let pair = IOASIOVARange(start: range.first.rawValue, last: range.last.rawValue)
            try UserMemory.store(pair, to: HostAddress(request.ranges) + index * 16)
        }
        request.rangeCount = UInt32(truncatingIfNeeded: ranges.count)
        request.alignment = alignment
        try user.store(request)
        if ranges.count > room { throw .messageSize }
    }

    private func allow(_ user: UserCommand) throws(Errno) {
        let request = try user.load(IOASAllowIOVAs())
        guard request.reserved == 0 else { throw .notSupported }
        let ioas = try find(request.ioasID)
        var allowed: [IOASIOVARange] = []
        for index in 0..<Int(request.rangeCount) {
            let pair = try UserMemory.load(
                IOASIOVARange(), from: HostAddress(request.ranges) + index * 16)
            guard pair.start < pair.last else { throw .invalid }
            // Sorted by the first address: neighbours are all that it can overlap with.
            let place = allowed.insertionIndex(of: pair)
            if place > 0 && allowed[place - 1].last >= pair.start { throw .invalid }
            if place < allowed.count && allowed[place].start <= pair.last { throw .invalid }
            allowed.insert(pair, at: place)
        }
        try ioas.allow(allowed)
    }

    private func map(_ user: UserCommand) throws(Errno) {
        var request = try user.load(IOASMap())
        guard request.flags.isSubset(of: [.fixedIOVA, .writeable, .readable]), request.reserved == 0 else {
            throw .notSupported
        }
        guard request.iova != .max && request.length != .max else { throw .overflow }
        guard !request.flags.isDisjoint(with: [.readable, .writeable]) else { throw .invalid }
        let ioas = try find(request.ioasID)
        request.iova = try ioas.map(request)
        do throws(Errno) {
            try user.store(request)
        } catch {
            _ = try? ioas.unmap(request.iova, request.length)
            throw error
        }
    }

    private func unmap(_ user: UserCommand) throws(Errno) {
        var request = try user.load(IOASUnmap())
        let ioas = try find(request.ioasID)
        if request.iova == 0 && request.length == .max {
            request.length = try ioas.unmapAll()
        } else {
            guard request.iova != .max && request.length != .max else { throw .overflow }
            let removed = try ioas.unmap(request.iova, request.length)
            if let failure = removed.failure { throw failure }
            guard removed.byteCount > 0 else { throw .noSuchEntry }
            request.length = removed.byteCount
        }
        try user.store(request)
    }
}

/// The requests of an iommufd, with the sizes of their structures (kernel.md F.1).
enum CommandShape {
    case destroy, ioasAllocate, ioasAllow, ioasCopy, ioasRanges, ioasMap, ioasUnmap, option, compat
    case ioasMapFile, changeProcess, tableAllocate, hardwareInfo, setDirty, getDirty, invalidate
    case faultQueue, virtualIOMMU, virtualDevice, eventQueue, hardwareQueue

    init?(_ request: Request) {
        switch request {
        case .iommufdDestroy: self = .destroy
        case .ioasAlloc: self = .ioasAllocate
        case .ioasAllowIOVAs: self = .ioasAllow
        case .ioasCopy: self = .ioasCopy
        case .ioasIOVARanges: self = .ioasRanges
        case .ioasMap: self = .ioasMap
        case .ioasUnmap: self = .ioasUnmap
        case .iommufdOption: self = .option
        case .iommufdVFIOIOAS: self = .compat
        case .hwptAlloc: self = .tableAllocate
        case .iommufdGetHWInfo: self = .hardwareInfo
        case .hwptSetDirtyTracking: self = .setDirty
        case .hwptGetDirtyBitmap: self = .getDirty
        case .hwptInvalidate: self = .invalidate
        case .faultQueueAlloc: self = .faultQueue
        case .ioasMapFile: self = .ioasMapFile
        case .viommuAlloc: self = .virtualIOMMU
        case .vdeviceAlloc: self = .virtualDevice
        case .ioasChangeProcess: self = .changeProcess
        case .veventQueueAlloc: self = .eventQueue
        case .hwQueueAlloc: self = .hardwareQueue
        default: return nil
        }
    }

    /// The smallest size that a user may declare.
    var leastByteCount: UInt32 {
        switch self {
        case .destroy, .changeProcess: 8
        case .ioasAllocate, .compat: 12
        case .ioasAllow, .ioasUnmap, .option, .tableAllocate, .virtualIOMMU, .virtualDevice: 24
        case .eventQueue: 28
        case .ioasRanges, .hardwareInfo, .invalidate: 32
        case .setDirty, .faultQueue: 16
        case .getDirty: 48
        case .ioasMap, .ioasCopy, .ioasMapFile, .hardwareQueue: 40
        }
    }

    /// The size of the structure.
    var byteCount: Int {
        switch self {
        case .tableAllocate: 48
        case .hardwareInfo, .virtualIOMMU: 40
        case .eventQueue: 32
        default: Int(leastByteCount)
        }
    }
}
