import DeviceModel
import LinuxSystem
import VFIOABI

/// The graphics of an Intel processor, as far as somebody needs it who passes it through: its identity, its BARs,
/// and the three regions by which its driver gets to know the machine. It shows nothing.
///
/// | region | what it is |
/// |---|---|
/// | BAR 0 | 16 MiB: registers, of which the first 64 KiB hold what was written and the rest is 0 |
/// | BAR 2 | the aperture: 256 KiB of memory that may be mapped |
/// | BAR 4 | 64 bytes of ports |
/// | 9 | the operation region: head, and a Video BIOS Table in mailbox 4 |
/// | 10 | the configuration space of the host bridge |
/// | 11 | the configuration space of the LPC bridge |
///
/// Its driver knows the chipset by the LPC bridge, finds stolen memory by the host bridge, and the displays in the
/// Video BIOS Table.
public final class IntegratedGraphics: DeviceModel {
    /// The length of the operation region in bytes.
    public static let operationRegionByteCount = 8192
    /// What the Video BIOS Table is called.
    public static let tableName = "$VBT SKYLAKE        "

    /// The device's PCI side: 8086:1912.
    public let function: PCIFunction
    private let file: Descriptor
    private let aperture: Mapping
    /// The first 64 KiB of registers, and behind them the ports.
    private var registers = [UInt8](repeating: 0, count: 0x10040)

    /// Makes the device.
    /// - Throws: `ENOMEM`, `EMFILE`.
    public init() throws(Errno) {
        file = try MemoryFile.create("graphics aperture", byteCount: 256 << 10)
        aperture = try Mapping(sharing: file.number, at: 0, byteCount: 256 << 10)
        function = PCIFunction(
            PCIIdentity(vendor: 0x8086, device: 0x1912, classCode: 0x03_0000, revision: 6),
            bars: [
                0: BAR(.memory64, byteCount: 16 << 20),
                2: BAR(.memory64, byteCount: 256 << 10, isPrefetchable: true),
                4: BAR(.io, byteCount: 64),
            ])
        function.addPowerManagement()
        function.addAdvancedFeatures()
        function.addMemory(
            BARMemory(bar: 2, offset: 0, window: aperture.window, descriptor: file.number))
        let family = RegionType(pciVendor: 0x8086)
        for (subtype, contents) in [
            (.intelIGDOpRegion, Self.operationRegion()), (.intelIGDHostConfiguration, Self.hostBridge()),
            (.intelIGDLPCConfiguration, Self.isaBridge()),
        ] as [(RegionSubtype, [UInt8])] {
            function.addRegion(TypedRegion(family, subtype, contents: contents))
        }
    }

    /// The region that the firmware leaves in memory: 256 bytes of head, mailboxes, the table of displays.
    private static func operationRegion() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: operationRegionByteCount)
        put([UInt8]("IntelGraphicsMem".utf8), &bytes, 0)
        put(number(UInt64(operationRegionByteCount >> 10), 4), &bytes, 16)
        // Version 2.0, and the mailboxes 1, 3 and 4.
        put([0, 0, 0, 2], &bytes, 0x14)
        put(number(0b1101, 4), &bytes, 0x58)
        let table = videoTable()
        put(table, &bytes, 0x400)
        return bytes
    }

    /// "$VBT" and the name; version, head and whole in bytes; no blocks of data behind it.
    private static func videoTable() -> [UInt8] {
        var table = [UInt8](repeating: 0, count: 48)
        put([UInt8](tableName.utf8), &table, 0)
        put(number(100, 2) + number(48, 2) + number(48, 2), &table, 20)
        // All bytes of the table add up to 0.
        var sum: UInt8 = 0
        for byte in table { sum &+= byte }
        table[26] = 0 &- sum
        return table
    }

    /// 8086:191f: 64 MiB of stolen memory, which begins at 0x7c000000.
    private static func hostBridge() -> [UInt8] {
        var bytes = bridge(device: 0x191f, classCode: 0x06_0000)
        put(number(0x02c1, 2), &bytes, 0x50)
        put(number(0x7c00_0001, 4), &bytes, 0x5c)
        return bytes
    }

    /// 8086:a145, by which a driver knows the chipset.
    private static func isaBridge() -> [UInt8] { bridge(device: 0xa145, classCode: 0x06_0100) }

    private static func bridge(device: UInt16, classCode: UInt32) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 256)
        put(number(0x8086, 2) + number(UInt64(device), 2), &bytes, 0)
        put([0x31] + number(UInt64(classCode), 3), &bytes, 8)
        return bytes
    }

    private static func number(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    }

    private static func put(_ part: [UInt8], _ bytes: inout [UInt8], _ offset: Int) {
        for index in part.indices { bytes[offset + index] = part[index] }
    }

    /// Where a register is kept; nil for one that isn't.
    private static func place(_ bar: Int, _ offset: UInt64) -> Int? {
        if bar == 4 { return 0x10000 + Int(offset) }
        return bar == 0 && offset < 0x10000 ? Int(offset) : nil
    }

    /// What was written.
    public func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        guard let place = Self.place(bar, offset) else { return 0 }
        return (0..<width).reduce(0) { $0 | UInt64(registers[place + $1]) << UInt64(8 * $1) }
    }

    /// Keeps it.
    public func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        guard let place = Self.place(bar, offset) else { return }
        for index in 0..<width {
            registers[place + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
        }
    }

    /// All that was written is forgotten, the aperture included.
    public func reset(_ kind: ResetKind) {
        for index in registers.indices { registers[index] = 0 }
        for offset in stride(from: 0, to: aperture.window.byteCount, by: 8) {
            aperture.window.store64(offset, 0)
        }
    }
}
