import DeviceModel
import LinuxSystem
import VFIOABI

/// A mediated device's way to another host, as Linux's sample driver mtty has it (kernel.md G.7): what goes out while
/// it works is the header of its state, and all of it once it is stopped; what comes in is looked at when the header
/// is there and when the device leaves `resuming`.
struct MediatedMigration {
    private let device: any MovableMediatedDevice
    /// The state that the device is in.
    private(set) var phase = MigrationPhase.running
    /// The open way for its state.
    private(set) var session: MigrationFile?
    /// Whether the user knows the flags of `VFIO_MIG_GET_PRECOPY_INFO`.
    var tellsPrecopyFlags = false
    private var bytes: [UInt8] = []
    private var position = 0
    private var isRefused = false

    init(_ device: any MovableMediatedDevice) { self.device = device }

    var capabilities: MigrationCapabilities { device.migrationCapabilities }
    var stateByteCount: Int { device.stateByteCount }

    /// The device is running, and nothing goes out or comes in.
    mutating func reset() {
        phase = .running
        closeSession()
    }

    /// Ends the way for the state.
    mutating func closeSession() {
        session = nil
        bytes = []
        position = 0
        isRefused = false
    }

    /// Brings the device to another state, arc by arc.
    /// - Parameter open: makes the way for the state; the argument says whether it comes in.
    /// - Returns: the way, if one has opened.
    mutating func move(
        to target: MigrationPhase, open: (Bool) -> MigrationFile
    ) throws(Errno) -> MigrationFile? {
        var opened: MigrationFile?
        // A longer way than the longest, which has four arcs, would be a loop in the table.
        for _ in 0..<8 where phase != target {
            guard let next = phase.hop(to: target, capabilities) else { throw .invalid }
            opened = nil
            if phase == .resuming { try load() }
            if next.isSaving {
                if !phase.isSaving {
                    opened = open(false)
                    session = opened
                    bytes = device.stateHeader
                    position = 0
                }
                if next == .stopCopy { bytes += device.saveState() }
            } else if next == .resuming {
                opened = open(true)
                session = opened
                bytes = []
            } else {
                closeSession()
            }
            phase = next
        }
        return opened
    }

    /// Takes over what was written.
    private func load() throws(Errno) {
        guard !isRefused, bytes.count == device.stateByteCount else { throw .invalid }
        do throws(MigrationError) {
            try device.loadState(Array(bytes[device.stateHeader.count...]))
        } catch {
            throw .invalid
        }
    }

    /// How many bytes are left to be read.
    var readableCount: Int { bytes.count - position }

    mutating func read(into span: inout MutableRawSpan) -> Int {
        let count = min(readableCount, span.byteCount)
        for index in 0..<count {
            span.storeBytes(of: bytes[position + index], toByteOffset: index, as: UInt8.self)
        }
        position += count
        return count
    }

    /// - Throws: `ENOMEM` for more than a state has; `EFAULT` for a header of something else, when it is complete.
    mutating func write(_ more: RawSpan) throws(Errno) {
        guard more.byteCount <= device.stateByteCount - bytes.count else { throw .noMemory }
        let headerByteCount = device.stateHeader.count
        let wasIncomplete = bytes.count < headerByteCount
        for index in 0..<more.byteCount {
            // SAFETY: the index is below the span's length; any byte is a UInt8.
            bytes.append(unsafe more.unsafeLoad(fromByteOffset: index, as: UInt8.self))
        }
        guard wasIncomplete, bytes.count >= headerByteCount else { return }
        guard device.accepts(header: Array(bytes[..<headerByteCount])) else {
            isRefused = true
            throw .badAddress
        }
    }
}

extension MediatedBusDriver: DeviceMover {
    var mover: (any DeviceMover)? { device.movable == nil ? nil : self }

    var migrationPhase: MigrationPhase { lock.withLock { migration?.phase ?? .running } }

    func setMigrationState(
        _ state: MigrationState, of owner: MachineDevice
    ) throws(Errno) -> MigrationFile? {
        guard let target = MigrationPhase(rawValue: state.rawValue) else { throw .invalid }
        return try lock.withLock { () throws(Errno) in
            try migration?.move(to: target) { MigrationFile(self, owner, isIncoming: $0) }
        }
    }

    func endSession(_ file: MigrationFile) {
        lock.withLock { if migration?.session === file { migration?.closeSession() } }
    }

    func readState(through file: MigrationFile, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        lock.lock()
        defer { lock.unlock() }
        guard migration?.session === file else { throw .noDevice }
        // Also before the device is stopped it is just the end that is told of.
        return migration?.read(into: &bytes) ?? 0
    }

    func writeState(through file: MigrationFile, _ bytes: RawSpan) throws(Errno) -> Int {
        lock.lock()
        defer { lock.unlock() }
        if bytes.byteCount > migration?.stateByteCount ?? 0 { throw .noMemory }
        guard migration?.session === file else { throw .noDevice }
        try migration?.write(bytes)
        return bytes.byteCount
    }

    func describePrecopy(of file: MigrationFile, _ info: inout PrecopyInfo) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            guard let migration, migration.phase.isSaving, migration.phase.isWorking else { throw .invalid }
            guard migration.session === file else { throw .noDevice }
            info.initialBytes = UInt64(migration.readableCount)
            info.dirtyBytes = 0
            if migration.tellsPrecopyFlags { info.flags = [] }
        }
    }

    /// Carries out a feature of migration or logging but the setting of states. These devices write to no memory, so
    /// a log of what they write is always empty.
    /// - Returns: nil if it is none of them.
    func migrationFeature(
        _ feature: Feature, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32? {
        guard let mobile = lock.withLock({ migration }) else { return nil }
        func isWanted(_ possible: FeatureOperation, _ byteCount: Int) throws(Errno) -> Bool {
            try operation.isWanted(of: possible, isProbe, room, needs: UInt32(byteCount))
        }
        switch feature {
        case .migration:
            guard try isWanted(.get, MigrationFeature.byteCount) else { break }
            let flags = MigrationFlags(rawValue: mobile.capabilities.rawValue)
            try UserMemory.store(MigrationFeature(flags: flags), to: payload)
        case .migrationDataSize:
            guard try isWanted(.get, MigrationDataSize.byteCount) else { break }
            try UserMemory.store(
                MigrationDataSize(stopCopyLength: UInt64(mobile.stateByteCount)), to: payload)
        case .migrationPrecopyInfoV2:
            guard mobile.capabilities.contains(.preCopy) else { throw .invalid }
            guard try isWanted(.set, 0) else { break }
            lock.withLock { migration?.tellsPrecopyFlags = true }
        case .dmaLoggingStart:
            guard try isWanted(.set, DMALoggingControl.byteCount) else { break }
            let request = try DMALoggingRequest(from: payload)
            try UserMemory.store(request.control, to: payload)
        case .dmaLoggingStop:
            _ = try isWanted(.set, 0)
        case .dmaLoggingReport:
            guard try isWanted(.get, DMALoggingReport.byteCount) else { break }
            _ = try DMALoggingQuestion(from: payload)
        default: return nil
        }
        return 0
    }
}
