import LinuxSystem

/// A device's way through the states of migration, and the bytes that go out and come in on it. For hosts.
///
/// A stream of state has two parts. The first describes the device and goes out in the pre-copy states already, so
/// that another host finds out early that it has no such device; the second is the state itself. Each begins with
/// a mark, its length and a checksum.
///
/// A device that can't be moved has a place here too: it is running, and no way leads anywhere.
public struct DeviceMigration {
    /// The state that it is in.
    public private(set) var phase = MigrationPhase.running
    /// How it can be moved; empty for not at all.
    public let capabilities: MigrationCapabilities
    /// What goes wrong on the way, once; nil for nothing.
    public var nextFailure: MigrationFailure?
    private let model: any DeviceModel
    private let device: (any MigratableDevice)?
    private var outgoing: [UInt8] = []
    private var outgoingPosition = 0
    private var incoming: [UInt8] = []

    /// A device that is running.
    public init(_ model: any DeviceModel) {
        self.model = model
        device = model.migratable
        capabilities = device?.migrationCapabilities ?? []
    }

    // MARK: states

    /// Brings the device to another state, arc by arc. To be where it is already is fine.
    /// - Throws: ``MigrationError``. The arcs before the one that failed have been gone; the device is in the state
    ///   that ``phase`` names.
    public mutating func move(to target: MigrationPhase) throws(MigrationError) {
        guard let device else { throw .notMigratable }
        // A longer way than the longest, which has four arcs, would be a loop in the table.
        for _ in 0..<8 {
            if phase == target { return }
            guard let next = phase.hop(to: target, capabilities) else { throw .noWay }
            try go(to: next, device)
        }
        throw .noWay
    }

    /// Goes one arc.
    private mutating func go(to next: MigrationPhase, _ device: any MigratableDevice) throws(MigrationError) {
        if let failure = nextFailure, failure.target == next {
            nextFailure = nil
            if failure.isFatal { breakDown(device) }
            throw .deviceFailed
        }
        if phase == .resuming { try load(device) }
        // Before it goes on, and not again before it stands still.
        if next.sparesPeers && !phase.sparesPeers { device.sparePeers(true) }
        if phase.isWorking && !next.isWorking {
            device.freeze()
            model.function.setFrozen(true)
        } else if !phase.isWorking && next.isWorking {
            model.function.setFrozen(false)
            device.thaw()
        }
        if phase.sparesPeers && !next.sparesPeers { device.sparePeers(false) }
        if next.isSaving {
            if !phase.isSaving { outgoing = StatePart.description.wrap(description(device)) }
            if next == .stopCopy { outgoing += StatePart.state.wrap(state(device)) }
        } else {
            outgoing = []
            outgoingPosition = 0
        }
        if next == .resuming { incoming = [] }
        phase = next
    }

    /// The device is of no use any more until it is reset: it does nothing, and nothing goes out or comes in.
    private mutating func breakDown(_ device: any MigratableDevice) {
        if phase.isWorking {
            device.freeze()
            model.function.setFrozen(true)
        }
        if phase.sparesPeers { device.sparePeers(false) }
        outgoing = []
        outgoingPosition = 0
        incoming = []
        phase = .error
    }

    /// The device was reset, by whatever way: it is running, and nothing goes out or comes in.
    public mutating func reset() {
        outgoing = []
        outgoingPosition = 0
        incoming = []
        if let device {
            if phase.sparesPeers { device.sparePeers(false) }
            if !phase.isWorking {
                model.function.setFrozen(false)
                device.thaw()
            }
        }
        phase = .running
    }

    // MARK: state goes out

    /// How many bytes can be read now.
    public var readableCount: Int { outgoing.count - outgoingPosition }

    /// Reads state, as much as there is and fits.
    /// - Returns: how many bytes; 0 when all has gone out: in `stopCopy` for good, in the pre-copy states for now.
    /// - Throws: `wrongPhase`.
    public mutating func read(into bytes: inout MutableRawSpan) throws(MigrationError) -> Int {
        guard phase.isSaving else { throw .wrongPhase }
        let count = min(readableCount, bytes.byteCount)
        for index in 0..<count {
            bytes.storeBytes(of: outgoing[outgoingPosition + index], toByteOffset: index, as: UInt8.self)
        }
        outgoingPosition += count
        return count
    }

    // MARK: state comes in

    /// Takes more bytes of a state; they are looked at when the device leaves `resuming`, except that a description
    /// that isn't this device's is refused at once.
    /// - Throws: `wrongPhase`, `tooLong`, `differentDevice` and what else is wrong with a description. Bytes that
    ///   were refused are forgotten.
    public mutating func write(_ bytes: RawSpan) throws(MigrationError) {
        guard phase == .resuming, let device else { throw .wrongPhase }
        let before = incoming.count
        guard bytes.byteCount <= byteLimit(device) - before else { throw .tooLong }
        for index in 0..<bytes.byteCount {
            // SAFETY: the index is below the span's length; any byte is a UInt8.
            incoming.append(unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self))
        }
        let expected = StatePart.description.wrap(description(device))
        guard before < expected.count, incoming.count >= expected.count else { return }
        var reader = StateReader(incoming)
        do throws(MigrationError) {
            try checkDescription(&reader, device)
        } catch {
            incoming.removeLast(incoming.count - before)
            throw error
        }
    }

    /// The most bytes that a stream of this device's state can have; 0 where it can't be moved.
    public var streamByteLimit: Int { device.map { byteLimit($0) } ?? 0 }

    /// The most bytes of a stream for this device.
    private func byteLimit(_ device: any MigratableDevice) -> Int {
        StatePart.description.wrap(description(device)).count + StatePart.overhead
            + model.function.stateByteLimit + 8 + device.stateByteLimit
    }

    private func description(_ device: any MigratableDevice) -> [UInt8] {
        var own = StateWriter()
        device.describe(to: &own)
        var writer = StateWriter()
        writer.append(device.stateVersion)
        model.function.describe(to: &writer)
        writer.append(counted: own.bytes)
        return writer.bytes
    }

    private func checkDescription(
        _ reader: inout StateReader, _ device: any MigratableDevice
    ) throws(MigrationError) {
        var part = try StatePart.description.unwrap(&reader)
        var ahead = part
        guard try ahead.next(UInt16.self) == device.stateVersion else { throw .version }
        let theirs = try part.next(byteCount: part.remainingCount)
        guard theirs.elementsEqual(description(device)) else { throw .differentDevice }
    }

    private func state(_ device: any MigratableDevice) -> [UInt8] {
        var function = StateWriter()
        model.function.saveState(to: &function)
        var own = StateWriter()
        device.saveState(to: &own)
        var writer = StateWriter()
        writer.append(counted: function.bytes)
        writer.append(counted: own.bytes)
        return writer.bytes
    }

    /// Takes over what was written, all or nothing. What was refused is forgotten, so that a state can be written
    /// anew.
    private mutating func load(_ device: any MigratableDevice) throws(MigrationError) {
        let bytes = incoming
        incoming = []
        var reader = StateReader(bytes)
        try checkDescription(&reader, device)
        var part = try StatePart.state.unwrap(&reader)
        try reader.finish()
        var functionPart = try part.nextPart()
        var ownPart = try part.nextPart()
        try part.finish()
        let function = try PCIFunctionState(&functionPart, model.function)
        try functionPart.finish()
        try device.loadState(from: &ownPart)
        model.function.load(function)
    }
}

/// A part of a stream of state: a mark, the length and the checksum of what follows, and that.
private enum StatePart: UInt32 {
    /// "SVD1": what a device must be to take the state.
    case description = 0x3144_5653
    /// "SVS1": the state.
    case state = 0x3153_5653

    /// The bytes around a part's contents.
    static var overhead: Int { 16 }

    /// FNV-1a: finds what was damaged, not who lies.
    private static func checksum(_ bytes: [UInt8]) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return hash
    }

    func wrap(_ bytes: [UInt8]) -> [UInt8] {
        var writer = StateWriter()
        writer.append(rawValue)
        writer.append(UInt32(truncatingIfNeeded: bytes.count))
        writer.append(StatePart.checksum(bytes))
        writer.append(bytes: bytes)
        return writer.bytes
    }

    func unwrap(_ reader: inout StateReader) throws(MigrationError) -> StateReader {
        guard try reader.next(UInt32.self) == rawValue else { throw .malformed }
        let count = Int(try reader.next(UInt32.self))
        let checksum = try reader.next(UInt64.self)
        let bytes = try reader.next(byteCount: count)
        guard StatePart.checksum(bytes) == checksum else { throw .malformed }
        return StateReader(bytes)
    }
}
