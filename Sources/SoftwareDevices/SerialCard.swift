import DeviceModel
import LinuxSystem

/// A mediated card with one or two serial ports (``SerialPort``), as those of Linux's sample driver mtty
/// (kernel.md G.7): BAR 0 and, with two ports, BAR 1 are a port's eight registers each; one interrupt, which the user
/// takes as a line or as a message; it can be moved to another host.
public final class SerialCard: MediatedDevice, MovableMediatedDevice {
    /// Its interrupt.
    public let port = MediatedPort(hasInterrupt: true)
    /// The ports.
    public private(set) var ports: [SerialPort]
    private var configuration: [UInt8]

    private static let configurationIndex: UInt32 = 7
    private static let configurationByteCount = 255
    private static let portByteCount: UInt64 = 8
    private static let magic: UInt64 = 0x7e9d_0989_8c3e_2c4e

    /// A card.
    /// - Parameter portCount: 1 or 2; anything else counts as the nearer of the two.
    public init(portCount: Int) {
        ports = [SerialPort](repeating: SerialPort(), count: min(max(portCount, 1), 2))
        configuration = [UInt8](repeating: 0, count: Self.configurationByteCount)
        configuration.put(0x32_53_43_48, at: 0)
        configuration.put(0x0200_0001, at: 4)
        configuration.put(0x0700_0210, at: 8)
        for index in ports.indices { configuration.put(1, at: 0x10 + 4 * index) }
        configuration.put(0x32_53_43_48, at: 0x2c)
        configuration[0x3d] = 1
        for (place, value) in [(0x40, 0x23), (0x43, 0x80), (0x44, 0x23), (0x48, 0x23), (0x4c, 0x23)] {
            configuration[place] = UInt8(value)
        }
        for (index, byte) in "PCI Serial/UART".utf8.enumerated() { configuration[0x60 + index] = byte }
    }

    /// Those of a PCI device.
    public var regionCount: UInt32 { 9 }

    /// All nine, mostly empty.
    public var regions: [MediatedRegion] {
        (0..<regionCount).map { index in
            let byteCount: UInt64 =
                switch index {
                case Self.configurationIndex: UInt64(Self.configurationByteCount)
                case 0..<UInt32(ports.count): Self.portByteCount
                default: 0
                }
            return MediatedRegion(index, at: UInt64(index) << 40, byteCount: byteCount)
        }
    }

    /// Reads configuration space, or a register: only the first byte of an access is one.
    public func read(region: UInt32, at offset: UInt64, width: Int) -> UInt32 {
        if region == Self.configurationIndex { return configuration.get(at: offset, width: width) }
        guard Int(region) < ports.count else { return 0 }
        return UInt32(ports[Int(region)].read(offset) { port.raise() })
    }

    /// Writes configuration space or a register.
    public func write(region: UInt32, at offset: UInt64, width: Int, value: UInt32) {
        if region == Self.configurationIndex { return configure(offset, value) }
        guard Int(region) < ports.count else { return }
        ports[Int(region)].write(offset, UInt8(truncatingIfNeeded: value)) { port.raise() }
    }

    /// Only the BARs and the interrupt line's number can be written.
    private func configure(_ offset: UInt64, _ value: UInt32) {
        switch offset {
        case 0x10, 0x14:
            guard Int(offset - 0x10) / 4 < ports.count else { return }
            let address = value == .max ? ~UInt32(Self.portByteCount - 1) : value
            configuration.put(address | configuration.get(at: offset, width: 4) & 3, at: Int(offset))
        case 0x3c: configuration[0x3c] = UInt8(truncatingIfNeeded: value)
        default: break
        }
    }

    /// As mtty.
    public var remembersInterruptCount: Bool { true }

    /// The ports stay as they are, as with mtty.
    public func reset() {}

    // MARK: migration

    /// The card itself.
    public var movable: (any MovableMediatedDevice)? { self }

    /// All there is.
    public var migrationCapabilities: MigrationCapabilities { [.stopCopy, .peerToPeer, .preCopy] }

    /// 60 for one port, 96 for two.
    public var stateByteCount: Int { stateHeader.count + ports.count * SerialPort.stateByteCount }

    /// A mark, the version 1.0, the number of ports, and flags, of which there are none.
    public var stateHeader: [UInt8] {
        var writer = StateWriter()
        writer.append(Self.magic)
        writer.append(UInt32(1))
        writer.append(UInt32(0))
        writer.append(UInt32(ports.count))
        writer.append(UInt32(0))
        return writer.bytes
    }

    /// The ports, one after the other.
    public func saveState() -> [UInt8] {
        var writer = StateWriter()
        for port in ports { port.save(to: &writer) }
        return writer.bytes
    }

    /// Only that of a card with as many ports.
    public func accepts(header: [UInt8]) -> Bool { header == stateHeader }

    /// Takes over the ports.
    public func loadState(_ bytes: [UInt8]) throws(MigrationError) {
        var reader = StateReader(bytes)
        var loaded: [SerialPort] = []
        for _ in ports.indices { loaded.append(try SerialPort(from: &reader)) }
        try reader.finish()
        ports = loaded
    }
}

/// What serial cards are made of: the parent of Linux's sample driver mtty, with 24 ports.
public final class SerialCardParent: MediatedParent {
    /// "mtty"
    public let name = "mtty"
    /// "mtty"
    public let driver = "mtty"
    /// Cards with one port and with two.
    public let types = [
        MediatedType("1", title: "Single port serial"), MediatedType("2", title: "Dual port serial"),
    ]
    private var pool: MediatedPool

    /// A parent.
    /// - Parameter portCount: how many ports there are for all cards together.
    public init(portCount: Int = 24) { pool = MediatedPool(portCount, refusal: .noSpace) }

    /// As many as there are ports for.
    public func availableInstances(of type: Int) -> Int { pool.instances(taking: type + 1) }

    /// Makes a card.
    /// - Throws: `ENOSPC` where too few ports are left.
    public func makeDevice(of type: Int) throws(Errno) -> any MediatedDevice {
        try pool.take(type + 1)
        return SerialCard(portCount: type + 1)
    }

    /// Its ports are free again.
    public func reclaimDevice(of type: Int) { pool.giveBack(type + 1) }
}
