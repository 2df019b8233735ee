import PCIDecoder
import Testing

@Suite("A configuration space taken apart")
struct DecodedConfigurationTests {
    @Test("a header names its registers, the flags that are set, and where the BARs are")
    func header() throws {
        var space = Space()
        space.put(0x06, [0x10, 0x00])
        space.put(0x04, [0x06, 0x05])
        space.put(0x10, [0x04, 0x40, 0xb1, 0xfe, 1, 0, 0, 0, 0x01, 0xc0])
        let decoded = DecodedConfiguration(decoding: space.bytes)
        #expect(decoded.headerType == 0)
        #expect(
            decoded.register(at: 4)?.summary == "Memory Space, Bus Master, SERR#, Interrupt Disable")
        #expect(decoded.register(at: 9)?.summary == "NVMe controller")
        #expect(decoded.register(at: 0x10)?.summary == "memory at 0x1feb14000, 64-bit non-prefetchable")
        #expect(decoded.register(at: 0x18)?.summary == "I/O ports at 0xc000")
        #expect(decoded.problems.isEmpty)
        let flag = try #require(decoded.register(at: 4)?["Bus Master"])
        #expect(flag.isFlag && flag.value == 1 && flag.bits == 2...2)
    }

    @Test("a bridge names its buses and windows; one that is shut is said to be")
    func bridge() {
        var space = Space()
        space.put(0x0e, [0x81])
        space.put(0x18, [0, 3, 5])
        space.put(0x1c, [0xc1, 0xd1])
        space.put(0x20, [0x80, 0xfe, 0x90, 0xfe])
        space.put(0x24, [0xf1, 0xff, 0x01, 0x00])
        let decoded = DecodedConfiguration(decoding: space.bytes)
        #expect(decoded.headerType == 1)
        #expect(decoded.register(at: 0x0e)?.summary == "Layout 1 (bridge), Multi-Function Device")
        #expect(decoded.register(at: 0x1a)?.summary == "05")
        #expect(decoded.register(at: 0x1c)?.summary == "0xc000 to 0xdfff")
        #expect(decoded.register(at: 0x20)?.summary == "0xfe800000 to 0xfe9fffff")
        #expect(decoded.register(at: 0x24)?.summary == "none")
    }

    @Test("power management, MSI, MSI-X and PCI Express say what matters in a few words")
    func capabilities() throws {
        var space = Space()
        space.list([
            (0x40, 0x01, [0x03, 0xfe, 0x0b, 0x01]),
            (0x50, 0x05, [0x89, 0x01]),
            (0x70, 0x11, [0x0f, 0xc0, 0x02, 0x20, 0, 0, 0x02, 0x30]),
            (
                0x80, 0x10,
                [0x02, 0x00, 0x22, 0x80, 0, 0x10, 0x50, 0x28, 0, 0, 0x44, 0x0c, 0, 0, 0, 0, 0x42, 0]
            ),
        ])
        let decoded = DecodedConfiguration(decoding: space.bytes)
        #expect(decoded.problems.isEmpty)
        #expect(decoded.capabilities.map(\.id) == [1, 5, 0x11, 0x10])
        #expect(decoded.capability(1)?.summary == "D3hot")
        #expect(
            decoded.capability(1)?["Power Management Capabilities"]?.summary
                == "Version 3, D1 Support, D2 Support, PME from D0 D1 D2 D3hot D3cold")
        #expect(decoded.capability(5)?.summary == "16 vectors, enabled")
        #expect(decoded.capability(5)?["Mask Bits"]?.offset == 0x60)
        #expect(decoded.capability(0x11)?.summary == "16 vectors, enabled")
        #expect(decoded.capability(0x11)?["Message Control"]?["Function Mask"]?.value == 1)
        #expect(decoded.capability(0x11)?["Table"]?.summary == "BIR BAR 2, Offset 0x2000")
        let express = try #require(decoded.capability(0x10))
        #expect(express.summary == "Endpoint")
        #expect(express["Device Capabilities"]?["Function Level Reset"]?.value == 1)
        #expect(express["Device Control"]?["Max Payload Size"]?.meaning == "512 bytes")
        #expect(express["Device Control"]?["Max Read Request Size"]?.meaning == "512 bytes")
        #expect(express["Link Capabilities"]?["Max Link Speed"]?.meaning == "16 GT/s")
        #expect(express["Link Status"]?["Negotiated Link Width"]?.meaning == "x4")
        #expect(express["Slot Capabilities"] == nil, "an endpoint has no slot")
    }

    @Test("extended capabilities: SR-IOV, ACS, resizable BARs, L1 substates and serial numbers in words")
    func extended() throws {
        var space = Space(count: 4096)
        space.extended([
            (0x100, 0x10, 1, [0, 0, 0, 0, 0x09, 0, 0, 0, 4, 0, 8, 0, 3, 0, 0, 0, 1, 0, 2, 0]),
            (0x140, 0x0d, 1, [0x5f, 0, 0x1d, 0]),
            (0x150, 0x15, 1, [0xf0, 0x3f, 0, 0, 0x20, 0x08, 0, 0]),
            (0x160, 0x1e, 1, [0x1f, 0x0a, 0x28, 0, 0x0f, 0x0a, 0x64, 0x40, 0x29, 0, 0, 0]),
            (0x170, 0x03, 1, [0x56, 0x34, 0x12, 0xff, 0xff, 0, 0x54, 0x52]),
        ])
        let decoded = DecodedConfiguration(decoding: space.bytes)
        #expect(decoded.problems.isEmpty && decoded.extendedCapabilities.allSatisfy(\.problems.isEmpty))
        #expect(decoded.extendedCapability(0x10)?.summary == "3 of 8 virtual functions")
        #expect(decoded.extendedCapability(0x10)?["VF Stride"]?.value == 2)
        #expect(decoded.extendedCapability(0x0d)?.summary == "isolates")
        #expect(decoded.extendedCapability(0x15)?["BAR 0 Control"]?.summary == "BAR 0, 256 MiB")
        #expect(
            decoded.extendedCapability(0x15)?["BAR 0 Capability"]?.summary.hasSuffix("256 MiB, 512 MiB")
                == true)
        let substates = try #require(decoded.extendedCapability(0x1e))
        #expect(substates["L1 PM Substates Control 1"]?["LTR_L1.2_THRESHOLD"]?.meaning == "102400 ns")
        #expect(substates["L1 PM Substates Control 2"]?["T_POWER_ON"]?.meaning == "50 µs")
        #expect(decoded.extendedCapability(0x03)?.summary == "52-54-00-ff-ff-12-34-56")
    }

    @Test("CXL's capabilities are known by their vendor and ID; a vendor's own are shown as bytes")
    func designated() throws {
        var space = Space(count: 4096)
        space.extended([
            (0x100, 0x23, 1, [0x98, 0x1e, 0x81, 0x03, 0, 0, 0x06, 0x40, 0x06, 0]),
            (0x200, 0x23, 1, [0x86, 0x80, 0x00, 0x01, 0x07, 0, 1, 2, 3, 4, 5, 6]),
            (0x300, 0x0b, 1, [0x42, 0, 0xc3, 0x00, 9, 8, 7, 6]),
        ])
        let decoded = DecodedConfiguration(decoding: space.bytes)
        let all = decoded.extendedCapabilities
        #expect(all.map(\.summary) == ["CXL device", "vendor 0x8086 ID 0x0007", "ID 0x0042 revision 3"])
        #expect(all[0]["CXL Control"]?.summary == "IO Enable, Mem Enable")
        #expect(all[1]["Data"]?.summary == "01 02 03 04 05 06")
        #expect(all[2]["Data"]?.summary == "09 08 07 06")
    }

    @Test("a virtio device's own capabilities say where its structures are; another vendor's are bytes")
    func virtio() {
        let body: [UInt8] = [0x14, 2, 4, 0, 0, 0, 0x00, 0x30, 0, 0, 0x00, 0x10, 0, 0, 4, 0, 0, 0]
        var space = Space()
        space.list([(0x40, 0x09, body)])
        #expect(
            DecodedConfiguration(decoding: space.bytes).capability(9)?["Vendor Specific Data"]?.byteCount
                == 17)
        space.put(0, [0xf4, 0x1a])
        let capability = DecodedConfiguration(decoding: space.bytes).capability(9)
        #expect(capability?.summary == "virtio notifications in BAR 4 at 0x3000")
        #expect(capability?["Length"]?.value == 20, "the capability's own length comes first")
        #expect(capability?["Notify Offset Multiplier"]?.value == 4)
    }

    @Test("every field lies inside its register and its value inside its bits")
    func fields() {
        var space = Space(count: 4096)
        space.fill(0xa5)
        space.list((1...0x15).map { (0x40 + 8 * (Int($0) - 1), UInt8($0), []) })
        space.extended((1...0x31).map { (0x100 + 0x40 * (Int($0) - 1), UInt16($0), 1, []) })
        let decoded = DecodedConfiguration(decoding: space.bytes)
        #expect(decoded.capabilities.count == 0x15 && decoded.extendedCapabilities.count == 0x31)
        Self.check(decoded)
    }

    /// What holds for every configuration space, whatever it says.
    static func check(_ decoded: DecodedConfiguration) {
        for register in decoded.header
            + (decoded.capabilities + decoded.extendedCapabilities).flatMap(\.registers)
        {
            #expect(register.offset >= 0 && register.offset + register.byteCount <= decoded.byteCount)
            #expect(register.bits == 0...(8 * register.byteCount - 1))
            var lowest = 0
            for field in register.fields {
                #expect(field.bits.upperBound <= register.bits.upperBound, "\(register.name): \(field.name)")
                #expect(field.bits.count >= 64 || field.value < 1 << UInt64(field.bits.count))
                // Overlapping fields would tell one bit twice.
                #expect(field.bits.lowerBound >= lowest, "\(register.name): \(field.name)")
                lowest = field.bits.upperBound + 1
            }
        }
    }
}

/// A configuration space that is written by hand.
struct Space {
    var bytes: [UInt8]

    /// An NVMe controller's header, with zeros behind it.
    init(count: Int = 256) {
        bytes = [UInt8](repeating: 0, count: count)
        put(0, [0x36, 0x1b, 0x10, 0x00])
        put(8, [0x02, 0x02, 0x08, 0x01])
    }

    mutating func put(_ offset: Int, _ values: [UInt8]) {
        for (index, value) in values.enumerated() { bytes[offset + index] = value }
    }

    /// Fills everything behind the header.
    mutating func fill(_ value: UInt8) { for index in 64..<bytes.count { bytes[index] = value } }

    /// A list of capabilities: offset, ID, and what follows the link.
    mutating func list(_ capabilities: [(Int, UInt8, [UInt8])]) {
        put(0x06, [0x10, 0x00])
        put(0x34, [UInt8(capabilities.first?.0 ?? 0)])
        for (index, (offset, id, body)) in capabilities.enumerated() {
            let next = index + 1 < capabilities.count ? capabilities[index + 1].0 : 0
            put(offset, [id, UInt8(next)] + body)
        }
    }

    /// A list of extended capabilities: offset, ID, version, and what follows the header.
    mutating func extended(_ capabilities: [(Int, UInt16, UInt8, [UInt8])]) {
        for (index, (offset, id, version, body)) in capabilities.enumerated() {
            let next = index + 1 < capabilities.count ? capabilities[index + 1].0 : 0
            let head = UInt32(id) | UInt32(version) << 16 | UInt32(next) << 20
            put(offset, (0..<4).map { UInt8(truncatingIfNeeded: head >> (8 * $0)) } + body)
        }
    }
}
