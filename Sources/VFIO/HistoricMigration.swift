import LinuxSystem
import VFIOABI
import VFIOHost

/// A device's way to another host by version 1 of migration: a region with registers and a window for data. Linux had
/// it from 5.8 to 5.17; version 2 (``Device/setMigrationState(_:)``) took its place.
///
/// ```swift
/// guard let from = try source.historicMigration(), let to = try target.historicMigration() else { … }
/// try from.setState([.running, .saving])        // pre-copy: it works, and what is known goes out
/// var state = try from.takeAll()
/// try from.setState(.saving)                    // stop-and-copy
/// state += try from.takeAll()
/// try from.setState(.stop)
/// try to.setState(.resuming)
/// try to.give(state)
/// try to.setState(.running)
/// ```
///
/// Not for several threads at once: a packet is several accesses.
public final class HistoricMigration: Sendable {
    private let region: Region

    private enum Register {
        static let deviceState = 0
        static let pendingBytes = 8
        static let dataOffset = 16
        static let dataSize = 24
        static let end = LegacyMigrationInfo.byteCount
    }

    init(_ region: Region) { self.region = region }

    /// The state that the device is in: `device_state`.
    /// - Throws: what the region's accesses have.
    public func state() throws(VFIOError) -> LegacyMigrationState {
        LegacyMigrationState(rawValue: try region.load32(Register.deviceState)).intersection(.mask)
    }

    /// Brings the device to another state. Bits whose meaning isn't known stay as they are.
    /// - Throws: an error with the cause, if the device doesn't get there: it is where it was, or its state
    ///   says that it failed (``/VFIOABI/LegacyMigrationState/isError``), and only a reset helps.
    public func setState(_ state: LegacyMigrationState) throws(VFIOError) {
        let operation = "bring it to migration state \(state.rawValue) of version 1"
        guard state.isValid, state.isSubset(of: .mask) else {
            throw VFIOError(
                operation: operation, object: region.object, errno: .invalid, cause: "there is no such state")
        }
        let old = try region.load32(Register.deviceState)
        do throws(VFIOError) {
            try region.store32(
                Register.deviceState, old & ~LegacyMigrationState.mask.rawValue | state.rawValue)
        } catch {
            var error = error
            error.operation = operation
            if LegacyMigrationState(rawValue: try region.load32(Register.deviceState)).isError {
                error.cause = "the device has failed"
                error.remedy = "reset it"
            }
            throw error
        }
    }

    // MARK: state goes out

    /// How many bytes are still to be taken, as far as is known: `pending_bytes`. Says besides that the last packet was
    /// taken. 0 is the end when the device is stopped, and nothing for now while it works.
    public func pendingByteCount() throws(VFIOError) -> UInt64 {
        try region.load64(Register.pendingBytes)
    }

    /// Takes the next packet; empty where there is none.
    /// - Throws: ``VFIOError/Code/outOfBounds`` for a packet that doesn't lie in the region.
    public func takePacket() throws(VFIOError) -> [UInt8] {
        let offset = try region.load64(Register.dataOffset)
        let count = try region.load64(Register.dataSize)
        if count == 0 { return [] }
        let place = try checkedPlace(offset, count, "take a packet of \(count) bytes")
        var packet = [UInt8](repeating: 0, count: Int(count))
        var span = packet.mutableSpan
        // SAFETY: any byte is a value of UInt8.
        var bytes = unsafe span.mutableBytes
        try region.read(at: place, into: &bytes)
        return packet
    }

    /// Takes packet by packet until nothing is left, or nothing for now.
    /// - Parameter limit: the most bytes; a state may be of any length.
    /// - Throws: ``VFIOError/Code/outOfBounds`` beyond the limit.
    public func takeAll(limit: Int = 1 << 30) throws(VFIOError) -> [UInt8] {
        var all: [UInt8] = []
        while try pendingByteCount() > 0 {
            let packet = try takePacket()
            // A device that announces what it doesn't give would be asked forever.
            if packet.isEmpty { break }
            guard packet.count <= limit - all.count else {
                throw VFIOError(
                    operation: "read its state", object: region.object, code: .outOfBounds,
                    cause: "it has more than \(limit) bytes")
            }
            all += packet
        }
        return all
    }

    // MARK: state comes in

    /// Gives the device bytes of a state, in packets that fit into its window.
    ///
    /// A device may want the packets as they were taken from another one: give those one by one.
    public func give(_ state: [UInt8]) throws(VFIOError) {
        var done = 0
        while done < state.count {
            let offset = try region.load64(Register.dataOffset)
            let room = try checkedPlace(offset, 1, "give a packet")
            let count = Int(min(UInt64(state.count - done), region.byteCount - UInt64(room)))
            // SAFETY: a UInt8 has no padding.
            try region.write(at: room, unsafe state.span.bytes.extracting(done..<done + count))
            try region.store64(Register.dataSize, UInt64(count))
            done += count
        }
    }

    /// The place of data in the region, behind the registers.
    private func checkedPlace(
        _ offset: UInt64, _ count: UInt64, _ operation: String
    ) throws(VFIOError) -> Int {
        guard offset >= UInt64(Register.end), offset < region.byteCount, count <= region.byteCount - offset
        else {
            throw VFIOError(
                operation: operation, object: region.object, code: .outOfBounds,
                cause: "the device says that its data begins at \(offset), which isn't in the region")
        }
        return Int(offset)
    }
}

extension Device {
    /// The device's way to another host by version 1 of migration; nil for a device that hasn't got that.
    public func historicMigration() throws(VFIOError) -> HistoricMigration? {
        let kind = Region.Kind(type: .migrationDeprecated, subtype: .migrationDeprecated)
        do throws(VFIOError) {
            return HistoricMigration(try region(of: kind))
        } catch {
            if error.code == .notSupported { return nil }
            throw error
        }
    }
}
