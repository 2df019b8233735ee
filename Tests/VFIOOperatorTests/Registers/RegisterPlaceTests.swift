import Testing
import VFIO
import VFIOOperator

@Suite("A place of a register, as people write it")
struct RegisterPlaceTests {
    @Test("is a region and an offset, in decimal or hexadecimal")
    func offsets() throws {
        let cases: [(String, RegionIndex, UInt64)] = [
            ("bar0:0x14", .bar0, 0x14), ("BAR5:20", .bar5, 20), ("config:0X4", .configuration, 4),
            ("rom:0", .rom, 0),
            ("vga:0x3c0", .vga, 0x3c0), ("region3:0", .bar3, 0), ("region16:0xffffffffffffffff", 16, .max),
        ]
        for (text, region, offset) in cases {
            let place = try RegisterPlace(text)
            #expect(place.region == region && place.spot == .offset(offset), "\(text)")
        }
        #expect(try RegisterPlace("region3:0").isNamedByPCI == false)
        #expect(try RegisterPlace("bar3:0").isNamedByPCI)
    }

    @Test("is a region and a name, and a distance from it")
    func names() throws {
        #expect(try RegisterPlace("config:PCIE.DEVCTL").spot == .name("PCIE.DEVCTL", plus: 0))
        #expect(try RegisterPlace("config:pcie+0x8").spot == .name("pcie", plus: 8))
        #expect(try RegisterPlace("bar0:CC").spot == .name("CC", plus: 0))
    }

    @Test(
        "that is written otherwise is refused with how it is written",
        arguments: [
            "", "bar0", ":", "bar0:", ":0", "bar6:0", "bar:0", "region:0", "region-1:0", "region+1:0",
            "region4294967296:0", "bar0:0x", "bar0:0x-1", "bar0:0x1g", "bar0:18446744073709551616",
            "bar0:0x10000000000000000", "bar0:1 ", "config:a b", "config:a+", "config:a+b", "config:+4",
            "config:a+1+2", "config:\u{1b}[31m", "config:é", "config:" + String(repeating: "a", count: 129),
        ])
    func wrong(_ text: String) {
        #expect(throws: RegisterNotationError.self) { try RegisterPlace(text) }
    }
}
