import Testing
import VFIOHost

@Suite("PCI addresses")
struct PCIAddressTests {
    @Test("are read with and without a segment")
    func reading() {
        #expect(PCIAddress("0000:01:00.0") == PCIAddress(bus: 1, device: 0, function: 0))
        #expect(PCIAddress("ff:1f.7") == PCIAddress(bus: 255, device: 31, function: 7))
        #expect(
            PCIAddress("10000:E1:00.3") == PCIAddress(segment: 0x10000, bus: 0xe1, device: 0, function: 3))
    }

    @Test(
        "are nothing else",
        arguments: [
            "", "01:00", "0000:01:00", "01:00.8", "01:20.0", "100:00.0", "0000:01:00.0 ", " 01:00.0",
            "01:00.0.0",
            "0000:0000:01:00.0", "01:.0", ":01:00.0", "01:00.", "g1:00.0", "123456789:01:00.0", "01.00:0",
            "vfio0",
        ])
    func malformed(text: String) { #expect(PCIAddress(text) == nil) }

    @Test("print as sysfs names them, and read back")
    func printing() {
        let address = PCIAddress(segment: 2, bus: 0xa, device: 3, function: 1)
        #expect(address.description == "0002:0a:03.1")
        #expect(PCIAddress(address.description) == address)
    }
}
