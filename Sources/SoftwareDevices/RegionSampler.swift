import DeviceModel
import LinuxSystem

/// A device with one region of every kind that PCI has, for those who test how regions are reached. All of its
/// registers are scratch: they hold what was written, of any width.
///
/// | region | what it is |
/// |---|---|
/// | BAR 0 | 16 KiB below 4 GiB: registers, but the second and third page may be mapped |
/// | BAR 1 | 32 bytes of ports |
/// | BAR 2 | 64 KiB of prefetchable 64-bit memory that may be mapped |
/// | BAR 4 | 16 KiB of memory below 4 GiB that may be mapped, with the MSI-X table at 0x2000 |
/// | BAR 5 | 256 bytes of registers: less than a page |
/// | ROM | an image of 1 KiB that begins as one must |
///
/// It has power management, PCI Express with function level reset, error reporting and Vital Product Data
/// besides. As a VGA device it is a conventional one, with the reset of Advanced Features, and answers the legacy
/// windows too.
public final class RegionSampler: DeviceModel {
    /// What the Vital Product Data says: an identifier string, and the end tag.
    public static let productName = "A sample of every region"
    /// Where the MSI-X table lies in BAR 4, for four vectors.
    public static let tableOffset: UInt64 = 0x2000
    /// The part of BAR 0 that may be mapped.
    public static let sharedPart: Range<UInt64> = 0x1000..<0x3000

    /// The device's PCI side: 1234:11ea.
    public let function: PCIFunction
    private let file: Descriptor
    private let memory: Mapping
    /// The registers of BARs 0, 1 and 5.
    private var registers: [[UInt8]]
    /// The legacy frame buffer and the legacy ports; empty unless it is a VGA device.
    private var legacyMemory: [UInt8] = []
    private var legacyPorts: [UInt8] = []

    /// The memory of BARs 2, 4 and 0, one behind the other.
    private static let parts: [(bar: Int, offset: UInt64, byteCount: Int)] = [
        (2, 0, 64 << 10), (4, 0, 16 << 10), (0, 0x1000, 0x2000),
    ]
    private static let ports: UInt32 = 0x3b0

    /// Makes the device.
    /// - Parameter isVGA: whether it is a VGA device, with the legacy windows.
    /// - Throws: `ENOMEM`, `EMFILE`.
    public init(isVGA: Bool = false) throws(Errno) {
        let byteCount = Self.parts.reduce(0) { $0 + $1.byteCount }
        file = try MemoryFile.create("region sampler", byteCount: UInt64(byteCount))
        memory = try Mapping(sharing: file.number, at: 0, byteCount: byteCount)
        registers = [16384, 32, 0, 0, 0, 256].map { [UInt8](repeating: 0, count: $0) }
        if isVGA {
            legacyMemory = [UInt8](repeating: 0, count: 0x20000)
            legacyPorts = [UInt8](repeating: 0, count: 0x30)
        }
        function = PCIFunction(
            PCIIdentity(
                vendor: 0x1234, device: 0x11ea, classCode: isVGA ? 0x03_0000 : 0x00_ff00, revision: 1),
            bars: [
                0: BAR(.memory32, byteCount: 16384), 1: BAR(.io, byteCount: 32),
                2: BAR(.memory64, byteCount: 64 << 10, isPrefetchable: true),
                4: BAR(.memory32, byteCount: 16384), 5: BAR(.memory32, byteCount: 256),
            ], isExpress: !isVGA, rom: Self.romImage())
        function.addPowerManagement()
        if isVGA {
            function.addAdvancedFeatures()
        } else {
            function.addExpress()
            function.addErrorReporting()
        }
        function.addMSIX(
            vectors: 4, table: (bar: 4, offset: Self.tableOffset), pending: (bar: 4, offset: 0x3000))
        function.addVitalProductData(Self.productData())
        var start = 0
        for part in Self.parts {
            function.addMemory(
                BARMemory(
                    bar: part.bar, offset: part.offset,
                    window: memory.window.window(at: start, byteCount: part.byteCount),
                    descriptor: file.number, fileOffset: UInt64(start)))
            start += part.byteCount
        }
    }

    /// An expansion ROM without code: the signature, its length in units of 512 bytes, and numbers.
    private static func romImage() -> [UInt8] {
        var image = (0..<1024).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        image[0] = 0x55
        image[1] = 0xaa
        image[2] = 2
        return image
    }

    /// A large resource with the name, and the end tag (PCI 3.0, appendix I).
    private static func productData() -> [UInt8] {
        let name = [UInt8](productName.utf8)
        return [0x82, UInt8(truncatingIfNeeded: name.count), 0] + name + [0x78]
    }

    /// What was written.
    public func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        Self.load(registers[bar], Int(offset), width)
    }

    /// Keeps it.
    public func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        Self.store(value, &registers[bar], Int(offset), width)
    }

    /// All that was written is forgotten, the memory that may be mapped included.
    public func reset(_ kind: ResetKind) {
        for bar in registers.indices { Self.clear(&registers[bar]) }
        Self.clear(&legacyMemory)
        Self.clear(&legacyPorts)
        for offset in stride(from: 0, to: memory.window.byteCount, by: 8) { memory.window.store64(offset, 0) }
    }

    /// What was written to the legacy windows; all ones elsewhere.
    public func readLegacyVGA(_ address: UInt32, width: Int) -> UInt64 {
        guard !legacyMemory.isEmpty else { return UInt64.max >> UInt64(64 - 8 * width) }
        return address < 0x1000
            ? Self.load(legacyPorts, Int(address - Self.ports), width)
            : Self.load(legacyMemory, Int(address - 0xa0000), width)
    }

    /// Keeps it.
    public func writeLegacyVGA(_ address: UInt32, width: Int, value: UInt64) {
        if address < 0x1000 {
            Self.store(value, &legacyPorts, Int(address - Self.ports), width)
        } else {
            Self.store(value, &legacyMemory, Int(address - 0xa0000), width)
        }
    }

    private static func load(_ bytes: [UInt8], _ offset: Int, _ width: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<width where offset + index < bytes.count {
            value |= UInt64(bytes[offset + index]) << UInt64(8 * index)
        }
        return value
    }

    private static func store(_ value: UInt64, _ bytes: inout [UInt8], _ offset: Int, _ width: Int) {
        for index in 0..<width where offset + index < bytes.count {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
        }
    }

    private static func clear(_ bytes: inout [UInt8]) {
        for index in bytes.indices { bytes[index] = 0 }
    }
}
