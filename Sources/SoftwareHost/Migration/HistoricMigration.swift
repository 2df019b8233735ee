import DeviceModel
import LinuxSystem
import VFIOABI

/// The registers of migration by version 1, which Linux had from 5.8 to 5.17: a region of the device that begins with
/// `struct vfio_device_migration_info`, with a window for data behind it (kernel.md E.7).
///
/// The device's state goes through the window packet by packet. What was read of `pending_bytes` commits to nothing;
/// reading `data_offset` puts the next packet into the window, and the next reading of `pending_bytes` says that it was
/// taken.
struct HistoricMigration {
    /// Where the window begins in the region.
    static let dataOffset: UInt64 = 0x1000
    /// The bytes of the window: the longest packet.
    static let packetByteLimit = 0x10000
    /// The bytes of the region.
    static let byteCount = dataOffset + UInt64(packetByteLimit)

    /// Where the registers are.
    enum Register {
        static let deviceState: UInt64 = 0
        static let pendingBytes: UInt64 = 8
        static let dataOffset: UInt64 = 16
        static let dataSize: UInt64 = 24
    }

    /// The bits of `device_state` that aren't the state: kept as they were written.
    var otherBits: UInt32 = 0
    /// The packet that goes out, until it was taken; or what was written for one that comes in.
    var packet: [UInt8] = []
}

extension MigrationPhase {
    /// The state as version 1 calls it.
    var historic: LegacyMigrationState {
        switch self {
        case .error: [.saving, .resuming]
        case .stop: .stop
        case .running, .runningP2P: .running
        case .stopCopy: .saving
        case .resuming: .resuming
        case .preCopy, .preCopyP2P: [.running, .saving]
        }
    }

    /// The state that version 1 calls so.
    /// - Returns: nil for what isn't a state that a device can be brought to.
    init?(_ state: LegacyMigrationState) {
        switch state.intersection(.mask) {
        case .stop: self = .stop
        case .running: self = .running
        case .saving: self = .stopCopy
        case .resuming: self = .resuming
        case [.running, .saving]: self = .preCopy
        default: return nil
        }
    }
}

/// The region of version 1. With the device's lock held.
extension PCIBusDriver {
    func describeHistoricMigration(_ offset: UInt64) -> RegionDescription {
        let flags: RegionFlags = [.read, .write]
        var region = RegionDescription(
            flags: flags.rawValue, size: HistoricMigration.byteCount, offset: offset)
        region.type = (
            RegionType.migrationDeprecated.rawValue, RegionSubtype.migrationDeprecated.rawValue
        )
        return region
    }

    func readHistoricMigration(_ position: UInt64, _ bytes: inout MutableRawSpan) throws(Errno) -> Int {
        guard let historic = historicMigration else { throw .invalid }
        if position >= HistoricMigration.dataOffset {
            return try readPacket(position - HistoricMigration.dataOffset, &bytes)
        }
        let width = bytes.byteCount
        // Between the registers and the window is nothing.
        guard position + UInt64(width) <= UInt64(LegacyMigrationInfo.byteCount) else { throw .invalid }
        let phase = migration?.progress.phase ?? .running
        switch (position, width) {
        case (HistoricMigration.Register.deviceState, 4):
            bytes.storeUnit(UInt64(phase.historic.rawValue | historic.otherBits), 4, at: 0)
        case (HistoricMigration.Register.pendingBytes, 8):
            // What was in the window has been taken.
            if phase != .resuming { historicMigration?.packet = [] }
            bytes.storeUnit(UInt64(phase.isSaving ? migration?.progress.readableCount ?? 0 : 0), 8, at: 0)
        case (HistoricMigration.Register.dataOffset, 8):
            guard phase.isSaving || phase == .resuming else { throw .invalid }
            if phase.isSaving { try fillWindow() }
            bytes.storeUnit(HistoricMigration.dataOffset, 8, at: 0)
        case (HistoricMigration.Register.dataSize, 8):
            bytes.storeUnit(UInt64(phase.isSaving ? historic.packet.count : 0), 8, at: 0)
        default: throw .invalid
        }
        return width
    }

    func writeHistoricMigration(_ position: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        guard historicMigration != nil else { throw .invalid }
        if position >= HistoricMigration.dataOffset {
            return try writePacket(position - HistoricMigration.dataOffset, bytes)
        }
        let width = bytes.byteCount
        switch (position, width) {
        case (HistoricMigration.Register.deviceState, 4):
            try setHistoricState(UInt32(truncatingIfNeeded: bytes.loadUnit(4, at: 0)))
        case (HistoricMigration.Register.dataSize, 8): try takePacket(bytes.loadUnit(8, at: 0))
        default: throw .invalid
        }
        return width
    }

    /// Brings the device to another state.
    /// - Throws: `EINVAL` for what isn't a state, or where there is no way; what the device has against it.
    private func setHistoricState(_ value: UInt32) throws(Errno) {
        let state = LegacyMigrationState(rawValue: value)
        guard let target = MigrationPhase(state) else { throw .invalid }
        let before = migration?.progress.phase
        // There is no word for a device that spares others: to its user it is running, or saving, as before.
        if before?.historic != target.historic { try go(to: target) }
        historicMigration?.otherBits = value & ~LegacyMigrationState.mask.rawValue
        // A packet that goes out can still be taken when the device has stopped.
        let goesOn = before?.isSaving == true && target.isSaving
        if !goesOn && before != target { historicMigration?.packet = [] }
    }

    // MARK: the window

    /// Puts the next packet of the state into the window, unless there is one.
    private func fillWindow() throws(Errno) {
        guard let historic = historicMigration, historic.packet.isEmpty,
            let left = migration?.progress.readableCount
        else { return }
        var packet = [UInt8](repeating: 0, count: min(left, HistoricMigration.packetByteLimit))
        var span = packet.mutableSpan
        // SAFETY: any byte is a value of UInt8.
        var raw = unsafe span.mutableBytes
        do throws(MigrationError) { _ = try migration?.progress.read(into: &raw) } catch {
            throw Self.errno(error)
        }
        historicMigration?.packet = packet
    }

    private func readPacket(_ start: UInt64, _ bytes: inout MutableRawSpan) throws(Errno) -> Int {
        guard let historic = historicMigration, start < UInt64(historic.packet.count) else { throw .invalid }
        let count = min(bytes.byteCount, historic.packet.count - Int(start))
        for index in 0..<count {
            bytes.storeBytes(of: historic.packet[Int(start) + index], toByteOffset: index, as: UInt8.self)
        }
        return count
    }

    private func writePacket(_ start: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let limit = HistoricMigration.packetByteLimit
        guard migration?.progress.phase == .resuming, start < UInt64(limit) else { throw .invalid }
        let count = min(bytes.byteCount, limit - Int(start))
        let end = Int(start) + count
        let have = historicMigration?.packet.count ?? 0
        if have < end {
            historicMigration?.packet.append(contentsOf: repeatElement(0, count: end - have))
        }
        for index in 0..<count {
            // SAFETY: the index is below the span's length; any byte is a UInt8.
            historicMigration?.packet[Int(start) + index] = unsafe bytes.unsafeLoad(
                fromByteOffset: index, as: UInt8.self)
        }
        return count
    }

    /// A packet is whole: the device takes it.
    private func takePacket(_ byteCount: UInt64) throws(Errno) {
        guard let historic = historicMigration, migration?.progress.phase == .resuming,
            byteCount <= UInt64(historic.packet.count)
        else { throw .invalid }
        let packet = Array(historic.packet[..<Int(byteCount)])
        historicMigration?.packet = []
        // SAFETY: a UInt8 has no padding.
        let bytes = unsafe packet.span.bytes
        do throws(MigrationError) { try migration?.progress.write(bytes) } catch {
            throw Self.errno(error)
        }
    }
}
