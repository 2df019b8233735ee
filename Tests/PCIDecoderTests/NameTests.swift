import PCIDecoder
import Testing

@Suite("PCI's numbers in words")
struct NameTests {
    @Test("a class is named by its programming interface, its sub-class or its base class")
    func classes() {
        #expect(PCIClass.name(0x01_0802) == "NVMe controller")
        #expect(PCIClass.name(0x02_0000) == "Ethernet controller")
        #expect(PCIClass.name(0x02_7f00) == "network controller")
        #expect(PCIClass.name(0x77_0000) == "class 0x77")
    }

    @Test("capabilities are named, those that nobody knows by their numbers")
    func capabilities() {
        #expect(CapabilityName.of(0x11) == "MSI-X")
        #expect(CapabilityName.of(0x7f) == "capability 0x7f")
        #expect(CapabilityName.ofExtended(0x10) == "SR-IOV")
        #expect(CapabilityName.ofExtended(0x7ff) == "extended capability 0x7ff")
    }
}
