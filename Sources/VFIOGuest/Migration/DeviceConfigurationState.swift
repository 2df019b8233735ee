import LinuxSystem
import VFIO

/// A device's configuration space on its way to another host. What the device's driver in the host's kernel moves
/// is the device's own state; this belongs to whoever uses the device.
public struct DeviceConfigurationState: Sendable, Equatable {
    /// All registers, as a guest reads them; empty for what isn't a PCI device.
    public let bytes: [UInt8]

    /// The version of the form in which it travels.
    static let version: UInt16 = 1

    /// Reads a device's.
    public init(of device: Device) throws(VFIOGuestError) {
        let space = device.configuration
        var bytes: [UInt8] = []
        let count = min(space.byteCount, 4096)
        bytes.reserveCapacity(count)
        for offset in stride(from: 0, to: count & ~3, by: 4) {
            let word = try space.load32(offset)
            for index in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(8 * index))) }
        }
        self.bytes = bytes
    }

    /// Whether the guest had message-signalled interrupts on: whoever has the guest's interrupts has to set them up
    /// anew on this side.
    public var hasMSI: Bool { capability(0x05).map { number($0 + 2, 2) & 1 != 0 } ?? false }
    /// The same for MSI-X.
    public var hasMSIX: Bool { capability(0x11).map { number($0 + 2, 2) & 0x8000 != 0 } ?? false }

    // MARK: the stream

    var encoded: [UInt8] {
        var writer = MigrationWriter()
        writer.append(Self.version)
        writer.append(UInt16(bytes.count))
        writer.append(bytes: bytes)
        return writer.bytes
    }

    init(_ reader: inout MigrationReader) throws(VFIOGuestError) {
        let version = try reader.next(UInt16.self)
        guard version == Self.version else {
            throw MigrationReader.error(
                "a configuration space comes in version \(version); version \(Self.version) is understood here"
            )
        }
        let count = Int(try reader.next(UInt16.self))
        bytes = reader.rest()
        guard bytes.count == count, count % 4 == 0, count <= 4096 else {
            throw MigrationReader.error("a configuration space of \(count) bytes has \(bytes.count)")
        }
    }

    // MARK: registers

    private func number(_ offset: Int, _ width: Int) -> UInt32 {
        guard offset >= 0, offset + width <= bytes.count else { return 0 }
        var value: UInt32 = 0
        for index in 0..<width { value |= UInt32(bytes[offset + index]) << UInt32(8 * index) }
        return value
    }

    /// The capabilities and where they are; a list that loops ends.
    private var capabilities: [(id: Int, offset: Int)] {
        guard bytes.count >= 64, number(6, 2) & 0x10 != 0 else { return [] }
        var found: [(id: Int, offset: Int)] = []
        var offset = Int(number(0x34, 1) & 0xfc)
        while offset >= 0x40, found.count < 48 {
            found.append((Int(number(offset, 1)), offset))
            offset = Int(number(offset + 1, 1) & 0xfc)
        }
        return found
    }

    private func capability(_ id: Int) -> Int? { capabilities.first { $0.id == id }?.offset }

    /// What is compared before anything is written: what a guest takes for the device.
    private var fingerprint: [(what: String, value: String)] {
        var list: [(what: String, value: String)] = [
            ("the length of configuration space", "\(bytes.count) bytes"),
            ("vendor and device ID", Self.hex(number(0, 4))),
            ("class and revision", Self.hex(number(8, 4))),
            ("header type", Self.hex(number(0x0e, 1))),
            ("subsystem", Self.hex(number(0x2c, 4))),
        ]
        list.append(
            (
                "capabilities",
                capabilities.map { "\(Self.hex(UInt32($0.id))) at \(Self.hex(UInt32($0.offset)))" }.joined(
                    separator: ", ")
            ))
        return list
    }

    private static func hex(_ value: UInt32) -> String { "0x" + String(value, radix: 16) }

    /// Gives a device the registers that a guest's driver can set; message-signalled interrupts stay as they are.
    /// - Throws: if this is another kind of device, with what differs; nothing was written then.
    public func load(into device: Device) throws(VFIOGuestError) {
        let own = try DeviceConfigurationState(of: device)
        for (theirs, mine) in zip(fingerprint, own.fingerprint) where theirs.value != mine.value {
            throw VFIOGuestError(
                operation: "take over a device's configuration space", object: "\(device.id)",
                code: .unsuitableStream,
                cause: "\(theirs.what) differs: \(theirs.value) there, \(mine.value) here",
                remedy: "give the guest the same kind of device on both sides")
        }
        guard bytes.count >= 64 else { return }
        let space = device.configuration
        // Nothing answers or begins DMA while addresses change.
        try space.store16(4, UInt16(number(4, 2) & ~0x7))
        for offset in stride(from: 0x10, through: 0x24, by: 4) {
            try space.store32(offset, number(offset, 4))
        }
        try space.store32(0x30, number(0x30, 4))
        for offset in [0x0c, 0x0d, 0x3c] { try space.store8(offset, UInt8(number(offset, 1))) }
        for (id, offset) in capabilities { try load(id, offset, space) }
        try space.store16(4, UInt16(number(4, 2)))
        if let power = capability(0x01), number(power + 4, 2) & 3 != 0 {
            try space.store16(power + 4, UInt16(number(power + 4, 2) & 0x0f03))
        }
    }

    private func load(_ id: Int, _ offset: Int, _ space: ConfigurationSpace) throws(VFIOGuestError) {
        switch id {
        case 0x05:
            // Address, data, masks; that it is on is for whoever sets the interrupts up.
            let control = number(offset + 2, 2)
            let end = offset + (control & 0x80 != 0 ? 14 : 10) + (control & 0x100 != 0 ? 6 : 0)
            try space.store16(offset + 2, UInt16(control & ~1))
            for at in stride(from: offset + 4, to: min(end, 0xfe), by: 2) {
                try space.store16(at, UInt16(number(at, 2)))
            }
        case 0x10:
            // Device Control without the bit that resets the function, and Device Control 2.
            try space.store16(offset + 8, UInt16(number(offset + 8, 2) & 0x7fff))
            if number(offset + 2, 2) & 0xf >= 2, offset + 0x2a <= 0x100 {
                try space.store16(offset + 0x28, UInt16(number(offset + 0x28, 2)))
            }
        default: break
        }
    }
}
