import LinuxSystem
import VFIOABI
import VFIOHost

/// D.3 to D.6: an expansion ROM behind a register of its own. (A display's is often a copy that the firmware made.)
let expansionROMCases: [Case] = [
    Case("D.3", "an expansion ROM can be read, not written, and not mapped", on: .all) { t in
        let device = try t.openAdapter().device
        let (answer, info) = device.regionInfo(6)
        t.expect(answer, .success, "GET_REGION_INFO")
        t.expect(info.size >= 2048 && info.size.nonzeroBitCount == 1, "the size is a power of two")
        t.expect(info.flags.rawValue, equals: 1, "flags")
        t.expect(device.map(at: Place.region(6), byteCount: pageSize).answer, .errno(.invalid), "mapping")
        t.expect(device.write(at: Place.region(6), [0x55]), .errno(.invalid), "writing")
        t.expect(device.write(at: Place.region(6) + info.size, [0x55]), .errno(.invalid), "writing behind it")
    },
    Case("D.4", "an expansion ROM begins with 55 AA, however it is read", on: .all) { t in
        let device = try t.openAdapter().device
        let start = Place.region(6)
        t.expect(try device.load(UInt16.self, at: start), equals: 0xaa55, "two bytes")
        t.expect(try device.load(UInt8.self, at: start + 1), equals: 0xaa, "the second byte")
        let (answer, bytes) = device.read(at: start, count: 1021)
        t.expect(answer, .value(1021), "reading 1021 bytes")
        t.expect(bytes[0] == 0x55 && bytes[1] == 0xaa, "its first two")
        t.expect(
            try device.load(UInt32.self, at: start + 1000) == bytes[1000..<1004].number, "four in the middle")
    },
    Case("D.4", "what is behind a ROM's images reads as ones, and nothing is behind the BAR", on: .all) { t in
        let device = try t.openAdapter().device
        let (start, size) = (Place.region(6), device.regionInfo(6).info.size)
        let image = try device.romByteCount(atMost: size)
        t.expect(image > 0 && image <= size, "the images aren't longer than the BAR")
        if image < size {
            t.expect(try device.load(UInt8.self, at: start + image), equals: 0xff, "the first byte behind it")
        }
        t.expect(device.read(at: start + size - 4, count: 64).answer, .value(4), "across the end")
        t.expect(device.read(at: start + size, count: 1).answer, .errno(.invalid), "behind the end")
    },
    Case(
        "D.4", "an expansion ROM can be read whatever its enable bit says, but not with memory off", on: .all
    ) {
        t in
        let device = try t.openAdapter().device
        let register = try device.configuration(UInt32.self, 0x30)
        device.configure(0x30, register & ~1)
        t.expect(try device.load(UInt16.self, at: Place.region(6)), equals: 0xaa55, "not enabled")
        t.expect(try device.configuration(UInt32.self, 0x30) & 1, equals: 0, "the bit")
        device.configure(0x30, register | 1)
        t.expect(try device.load(UInt16.self, at: Place.region(6)), equals: 0xaa55, "enabled")
        t.expect(try device.configuration(UInt32.self, 0x30) & 1, equals: 1, "the bit")
        device.store(0 as UInt16, at: Place.command)
        t.expect(device.read(at: Place.region(6), count: 2).answer, .errno(.noMemory), "memory off")
        t.expect(device.write(at: Place.region(6), [0]), .errno(.invalid), "writing, memory off")
        device.store(0x2 as UInt16, at: Place.command)
        t.expect(try device.load(UInt16.self, at: Place.region(6)), equals: 0xaa55, "memory on again")
    },
    Case("D.6", "the register of an expansion ROM tells its length", on: .all) { t in
        let device = try t.openAdapter().device
        let size = device.regionInfo(6).info.size
        t.expect(try device.configuration(UInt32.self, 0x30) & ~1 != 0, "it has an address")
        device.configure(0x30, ~0 as UInt32)
        let ones = try device.configuration(UInt32.self, 0x30)
        t.expect(ones & ~1 == 0 &- UInt32(truncatingIfNeeded: size), "all ones")
        device.configure(0x30, 0 as UInt32)
        t.expect(try device.configuration(UInt32.self, 0x30), equals: 0, "zeros")
    },
]

extension ArraySlice<UInt8> {
    /// The bytes as a number, the lowest first.
    fileprivate var number: UInt32 { reversed().reduce(0) { $0 << 8 | UInt32($1) } }
}

extension File {
    /// How long the ROM's images are, as their headers tell (PCI 3.0, 6.3.1).
    fileprivate func romByteCount(atMost limit: UInt64) throws -> UInt64 {
        let start = Place.region(6)
        var end: UInt64 = 0
        while end + 0x1a <= limit, try load(UInt16.self, at: start + end) == 0xaa55 {
            let data = end + UInt64(try load(UInt16.self, at: start + end + 0x18))
            guard data + 0x16 <= limit, try load(UInt32.self, at: start + data) == 0x5249_4350 else {
                return end + 512 * UInt64(try load(UInt8.self, at: start + end + 2))
            }
            let length = 512 * UInt64(try load(UInt16.self, at: start + data + 0x10))
            end += length
            if try length == 0 || load(UInt8.self, at: start + data + 0x15) & 0x80 != 0 { break }
        }
        return end
    }
}
