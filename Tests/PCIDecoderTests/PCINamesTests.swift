import PCIDecoder
import Testing

@Suite("The names in a pci.ids")
struct PCINamesTests {
    /// A file in the form of the real one, with everything that it has.
    private static let file = """
        #
        #\tList of PCI ID's
        #
        # Vendors, devices and subsystems.

        8086  Intel Corporation
        \t10d3  82574L Gigabit Network Connection
        \t\t103c 3250  Ethernet 1Gb 1-port NIC
        # A remark between
        \t\t8086 a01f  Gigabit CT Desktop Adapter
        \t1533  I210 Gigabit Network Connection
        1b36  Red Hat, Inc.\r
        \t0010  QEMU NVM Express Controller
        ffff  Illegal Vendor ID

        # List of known device classes
        C 01  Mass storage controller
        \t08  Non-Volatile memory controller
        \t\t01  NVMHCI
        \t\t02  NVM Express
        C 0c  Serial bus controller
        \t03  USB controller
        \t\t30  XHCI
        """

    private let names = PCINames(parsing: Array(file.utf8))

    @Test("vendors, devices and subsystems are named")
    func devices() {
        #expect(!names.isEmpty)
        #expect(names.vendor(0x8086) == "Intel Corporation")
        #expect(names.vendor(0x1b36) == "Red Hat, Inc.")
        #expect(names.device(0x10d3, of: 0x8086) == "82574L Gigabit Network Connection")
        #expect(names.device(0x1533, of: 0x8086) == "I210 Gigabit Network Connection")
        #expect(
            names.subsystem(0x3250, of: 0x103c, on: 0x10d3, of: 0x8086) == "Ethernet 1Gb 1-port NIC")
        #expect(
            names.subsystem(0xa01f, of: 0x8086, on: 0x10d3, of: 0x8086) == "Gigabit CT Desktop Adapter")
    }

    @Test("classes are named by their sub-class or their base class, and interfaces too")
    func classes() {
        #expect(names.className(0x01_0802) == "Non-Volatile memory controller")
        #expect(names.className(0x01_7f00) == "Mass storage controller")
        #expect(names.programmingInterface(0x01_0802) == "NVM Express")
        #expect(names.programmingInterface(0x0c_0330) == "XHCI")
        #expect(names.programmingInterface(0x0c_0320) == nil)
    }

    @Test("what isn't there has no name, and a vendor's device isn't another's")
    func absent() {
        #expect(names.vendor(0x10de) == nil)
        #expect(names.device(0x0010, of: 0x8086) == nil)
        #expect(names.device(0x10d3, of: 0x1b36) == nil)
        #expect(names.subsystem(0xa01f, of: 0x8086, on: 0x1533, of: 0x8086) == nil)
        #expect(names.className(0x02_0000) == nil)
        #expect(PCINames().isEmpty && PCINames().vendor(0x8086) == nil)
    }

    @Test("a name can't move a terminal's cursor, and isn't endless")
    func hostileNames() {
        let names = PCINames(
            parsing: Array(
                "8086  a\u{1b}[2Jb\u{202e}c\n10de  \(String(repeating: "x", count: 10_000))\n".utf8))
        #expect(names.vendor(0x8086) == "a?[2Jb?c")
        #expect(names.vendor(0x10de)?.utf8.count == 256)
    }

    @Test("any bytes can be read")
    func anyBytes() {
        let seed = UInt64.random(in: .min ... .max)
        var state = seed
        func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
        let good = Array(Self.file.utf8)
        for _ in 0..<300 {
            var bytes = good
            for _ in 0..<(1 + next() % 40) {
                let place = Int(next() % UInt64(bytes.count))
                switch next() % 3 {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: next())
                case 1: bytes.removeSubrange(place..<min(bytes.count, place + Int(next() % 20) + 1))
                default: bytes.insert([0x09, 0x0a, 0x20, 0x43][Int(next() % 4)], at: place)
                }
                if bytes.isEmpty { bytes = [0x09] }
            }
            let names = PCINames(parsing: bytes)
            for vendor: UInt16 in [0x8086, 0x1b36, 0xffff] {
                let texts = [
                    names.vendor(vendor), names.device(0x10d3, of: vendor),
                    names.subsystem(0xa01f, of: 0x8086, on: 0x10d3, of: vendor), names.className(0x01_0802),
                    names.programmingInterface(0x0c_0330),
                ]
                for case let text? in texts {
                    #expect(!text.unicodeScalars.contains { $0.value < 0x20 }, "seed \(seed)")
                }
            }
        }
    }
}
