import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOABI

/// The memory that a client has mapped for its device: where it lies in this process, and the way to it.
///
/// A device reads the map under a lock that any number of its threads may hold; mapping and unmapping wait for
/// accesses under way to end. No client is ever waited for with the lock held.
///
/// **Memory without a descriptor** is in the map with no permission at all, and with the client's permissions in
/// its tag: here a device that wants it is refused (`notLendable`). Reaching it takes messages to the client, which
/// ``ServerSlot`` sends.
final class ClientMemory: @unchecked Sendable {
    // SAFETY: everything is changed under the write lock only, and by the connection's thread alone.
    private let lock = ReadWriteLock()
    private var map = IOVAMap(mergingAdjacent: false)
    /// The pages that the device wrote, by the tags of the mappings that they lie in; nil while that isn't logged.
    private var dirtyLog: DirtyLog?
    /// The client's files in this process, by the number that their mapping has as its tag.
    private var files: [GuardedMapping?] = []
    private var freeFiles: [UInt32] = []
    private let limit: Int
    /// How many mappings have no descriptor. The connection's thread.
    private(set) var remoteCount = 0
    /// How many mappings the process had lost when lost ones were last taken out of the map.
    private var knownLostCount: UInt64 = 0

    /// The tag's bit that tells memory without a descriptor from a file's number.
    private static let messageTag: UInt32 = 1 << 31

    /// Is told how much is mapped.
    private let monitor: ServerMonitor

    init(limit: Int, _ monitor: ServerMonitor) {
        self.limit = limit
        self.monitor = monitor
    }

    deinit { removeAll() }

    /// The map has changed. The write lock is held.
    private func hasChanged() { monitor.noteMappings(map.count, byteCount: map.byteCount) }

    /// Whether mapping and unmapping would wait for no access that is under way: one of the calling thread's own
    /// would never end.
    var canChangeNow: Bool { lock.isFree }

    /// How many mappings there are.
    var count: Int { lock.withReadLock { map.count } }

    // MARK: mapping

    /// `VFIO_USER_DMA_MAP`.
    /// - Throws: `EINVAL` for flags and ranges that make no sense and for a file that is too short; `EEXIST` where
    ///   something is mapped already; `ENOSPC` for one mapping too many; the errno of mmap(2).
    func map(_ request: UserDMAMap, _ descriptor: consuming Descriptor?) throws(Errno) {
        guard request.flags.isSubset(of: .known),
            !request.flags.isDisjoint(with: [.read, .write]),
            let range = IOVARange(IOVA(request.address), byteCount: request.size)
        else { throw .invalid }
        let memory = request.flags.intersection([.mmap, .fileIO])
        guard let descriptor else {
            guard memory.isEmpty else { throw .invalid }
            let tag = Self.messageTag | request.flags.rawValue & 3
            try insert(IOVAMapping(range, backing: 0, permissions: [], tag: tag))
            remoteCount += 1
            return
        }
        guard map.count < limit else { throw .noSpace }
        guard !map.overlaps(range) else { throw .exists }
        let file = try Self.mapFile(descriptor, request)
        let permissions = IOVAPermissions(rawValue: UInt8(truncatingIfNeeded: request.flags.rawValue & 3))
        try lock.withWriteLock { () throws(Errno) in
            let tag = keep(file.mapping)
            let backing = UInt64(file.address)
            do throws(Errno) {
                try dirtyLog?.add(range, permissions, tag)
            } catch {
                drop(tag)
                throw error
            }
            do throws(IOVAMapError) {
                try map.map(IOVAMapping(range, backing: backing, permissions: permissions, tag: tag))
            } catch {
                drop(tag)
                throw .invalid
            }
            hasChanged()
        }
    }

    private func insert(_ mapping: IOVAMapping) throws(Errno) {
        guard map.count < limit else { throw .noSpace }
        try lock.withWriteLock { () throws(Errno) in
            do throws(IOVAMapError) {
                try map.map(mapping)
            } catch {
                switch error {
                case .overlaps: throw .exists
                default: throw .invalid
                }
            }
            hasChanged()
        }
    }

    /// Maps a client's file.
    /// - Returns: the mapping, and the address in it where the part that was asked for begins: the mapping itself
    ///   begins with a whole page.
    private static func mapFile(
        _ descriptor: borrowing Descriptor, _ request: UserDMAMap
    ) throws(Errno) -> (mapping: GuardedMapping, address: UInt) {
        let (end, overflow) = request.offset.addingReportingOverflow(request.size)
        guard !overflow, end <= UInt64(Int.max) else { throw .invalid }
        let status = try descriptor.status()
        // What lies behind the file's end can't be touched; the client may still cut it later, hence the guard.
        guard status.kind == .regular && end <= status.byteCount else { throw .invalid }
        var protection: Mapping.Protection = []
        if request.flags.contains(.read) { protection.insert(.read) }
        if request.flags.contains(.write) { protection.formUnion([.read, .write]) }
        // A file on huge pages is mapped in whole ones.
        for page in [pageSize, 2 << 20, 1 << 30] {
            let start = request.offset & ~UInt64(page - 1)
            guard let byteCount = Int(end - start).roundedUp(toMultipleOf: page) else { throw .invalid }
            do throws(Errno) {
                let mapping = try GuardedMapping(
                    sharing: descriptor.number, at: start, byteCount: byteCount, protection: protection)
                return (mapping, mapping.window.address.rawValue &+ UInt(request.offset - start))
            } catch .invalid where page < 1 << 30 {
                continue
            }
        }
        throw .invalid
    }

    /// Keeps a mapping and gives it a number. The write lock is held.
    private func keep(_ mapping: GuardedMapping) -> UInt32 {
        if let number = freeFiles.popLast() {
            files[Int(number)] = mapping
            return number
        }
        files.append(mapping)
        return UInt32(files.count - 1)
    }

    /// A mapping has ended. The write lock is held.
    private func drop(_ tag: UInt32) {
        guard tag & Self.messageTag == 0 else {
            remoteCount -= 1
            return
        }
        dirtyLog?.remove(tag)
        files[Int(tag)] = nil
        freeFiles.append(tag)
    }

    // MARK: unmapping

    /// `VFIO_USER_DMA_UNMAP`: one mapping, or all mappings that lie wholly in a range.
    ///
    /// Dirty pages are told in the same step: what a thread of the device writes before it is told, and afterwards
    /// it finds nothing to write to.
    /// - Parameter dirty: where the bits of the range's dirty pages go, all of which have to be there; nil where
    ///   nobody asks for them.
    /// - Throws: `EINVAL` for flags and ranges that make no sense, where a mapping would be cut, and where dirty pages
    ///   are asked for and nothing is logged; `ENOENT` where nothing is mapped. Then the pages are as dirty as before.
    func unmap(
        _ request: UserDMAUnmap, dirty: (range: DirtyRange, words: MemoryWindow)? = nil
    ) throws(Errno) {
        if request.flags == .all {
            guard request.address == 0, request.size == 0 else { throw .invalid }
            removeAll()
            return
        }
        guard request.flags.subtracting(.getDirtyBitmap).isEmpty,
            let range = IOVARange(IOVA(request.address), byteCount: request.size)
        else { throw .invalid }
        try lock.withWriteLock { () throws(Errno) in
            if dirty != nil && dirtyLog == nil { throw .invalid }
            do throws(IOVAMapError) {
                let removal = try map.unmap(in: range, cutting: .refuse) { mapping in
                    if let dirty {
                        dirtyLog?.report(
                            dirty.range.addresses, of: mapping.tag, pageShift: dirty.range.pageShift,
                            clears: false, into: dirty.words)
                    }
                    drop(mapping.tag)
                }
                if removal.mappingCount == 0 { throw IOVAMapError.notMapped(range) }
            } catch {
                switch error {
                case .notMapped: throw .noSuchEntry
                default: throw .invalid
                }
            }
            hasChanged()
        }
    }

    /// Unmaps everything, as when the client has gone.
    func removeAll() {
        lock.withWriteLock {
            map.removeAll()
            hasChanged()
            remoteCount = 0
            files = []
            freeFiles = []
            dirtyLog?.removeAll()
        }
    }

    /// Takes out of the map what clients have cut off from under it, here or at other servers in the process: what
    /// a device finds there now is nobody's.
    private func forgetLostFiles(_ count: UInt64) {
        lock.withWriteLock {
            knownLostCount = count
            var lost: [IOVARange] = []
            map.forEachMapping { mapping in
                if mapping.tag & Self.messageTag == 0, files[Int(mapping.tag)]?.isLost == true {
                    lost.append(mapping.range)
                }
            }
            for range in lost {
                if let mapping = map.removeMapping(startingAt: range.first) { drop(mapping.tag) }
            }
            hasChanged()
        }
    }

    // MARK: dirty pages

    /// Begins to log the pages that the device writes. What is logged already stays.
    /// - Throws: `EINVAL` where pages of another size are being logged; `ENOSPC` where there would be too many;
    ///   `ENOMEM`.
    func startLogging(pageSize: UInt64) throws(Errno) {
        try lock.withWriteLock { () throws(Errno) in
            if let dirtyLog {
                guard dirtyLog.pageSize == pageSize else { throw .invalid }
                return
            }
            let log = DirtyLog(pageSize: pageSize)
            try map.forEachMapping { (mapping) throws(Errno) in
                guard mapping.tag & Self.messageTag == 0 else { return }
                try log.add(mapping.range, mapping.permissions, mapping.tag)
            }
            dirtyLog = log
        }
    }

    /// Ends logging; what was logged is forgotten.
    func stopLogging() { lock.withWriteLock { dirtyLog = nil } }

    /// Sets, in `words`, the bits of a range's dirty pages, which count as clean from now on. All bits have to be
    /// there.
    /// - Throws: `EINVAL` where nothing is logged.
    func reportDirty(
        _ range: IOVARange, pageShift: UInt64, into words: MemoryWindow
    ) throws(Errno) {
        try lock.withWriteLock { () throws(Errno) in
            guard let dirtyLog else { throw .invalid }
            map.forEachMapping(overlapping: range) { mapping in
                dirtyLog.report(
                    range, of: mapping.tag, pageShift: pageShift, clears: true, into: words)
            }
        }
    }

    // MARK: the device's accesses

    func read(at iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault) {
        try MemoryWindow.withWindow(on: &bytes) { (target) throws(DMAFault) in
            try copy(iova, target, .read)
        }
    }

    func write(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault) {
        try MemoryWindow.withReadOnlyWindow(on: bytes) { (source) throws(DMAFault) in
            try copy(iova, source, .write)
        }
    }

    func lend(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        try transfer(iova, byteCount, access) { (piece, _) in body(piece) }
    }

    // MARK: memory of which a part has no descriptor

    /// A piece of memory as one mapping has it.
    struct Stretch {
        /// How long it is, up to the end of what was asked for.
        let byteCount: Int
        /// Whether it is reached here; the client has to be asked otherwise.
        let isShared: Bool
    }

    /// What lies at `done` bytes from the beginning of a range of `byteCount` bytes.
    func stretch(
        _ iova: IOVA, _ done: Int, _ byteCount: Int, _ access: DMAAccess
    ) throws(DMAFault) -> Stretch {
        guard let range = IOVARange(iova, byteCount: UInt64(byteCount)) else {
            throw DMAFault(iova: iova, access: access, reason: .outOfRange)
        }
        let at = IOVA(iova.rawValue &+ UInt64(done))
        guard let mapping = lock.withReadLock({ map.mapping(containing: at) }) else {
            throw DMAFault(iova: at, access: access, reason: .notMapped)
        }
        let isShared = mapping.tag & Self.messageTag == 0
        let permissions =
            isShared
            ? mapping.permissions : IOVAPermissions(rawValue: UInt8(truncatingIfNeeded: mapping.tag & 3))
        guard permissions.contains(access == .read ? .read : .write) else {
            throw DMAFault(iova: at, access: access, reason: .notPermitted)
        }
        let last = min(mapping.range.last.rawValue, range.last.rawValue)
        return Stretch(byteCount: Int(last - at.rawValue) + 1, isShared: isShared)
    }

    /// Copies between a device and memory that has a descriptor.
    @inline(__always)
    func copy(_ iova: IOVA, _ data: MemoryWindow, _ access: DMAAccess) throws(DMAFault) {
        try transfer(iova, data.byteCount, access) { (piece, offset) in
            if access == .read {
                data.copy(from: piece, at: 0, to: offset, byteCount: piece.byteCount)
            } else {
                piece.copy(from: data, at: offset, to: 0, byteCount: piece.byteCount)
            }
            return true
        }
    }

    private func transfer(
        _ iova: IOVA, _ byteCount: Int, _ access: DMAAccess, _ body: (MemoryWindow, Int) -> Bool
    ) throws(DMAFault) {
        guard byteCount > 0 else { return }
        guard let range = IOVARange(iova, byteCount: UInt64(byteCount)) else {
            throw DMAFault(iova: iova, access: access, reason: .outOfRange)
        }
        let lostCount = GuardedMapping.lostCount
        if lock.withReadLock({ knownLostCount != lostCount }) { forgetLostFiles(lostCount) }
        do throws(IOVAFault) {
            try lock.withReadLock { () throws(IOVAFault) in
                try map.forEachWindow(of: range, for: access, body)
                // Behind the writing: a report that comes between the two would forget the page, and who copies
                // it then might still see what was there before. The lock keeps reports away anyway.
                if access == .write, let dirtyLog {
                    map.forEachMapping(overlapping: range) { dirtyLog.mark(range, in: $0.tag) }
                }
            }
        } catch {
            switch error {
            case .unmapped(let at): throw DMAFault(iova: at, access: access, reason: .notMapped)
            case .denied(let at, []): throw DMAFault(iova: at, access: access, reason: .notLendable)
            case .denied(let at, _): throw DMAFault(iova: at, access: access, reason: .notPermitted)
            }
        }
    }
}
