import LinuxSystem
import VFIOABI
import VFIOHost

/// D.6: configuration space as a whole: accesses over its fields, and what lies between capabilities.
let spaceCases: [Case] = [
    Case("D.6", "all 4096 bytes of PCI Express are read at once and in pieces of any length alike", on: .all)
    { t in
        let device = try t.openExpress()
        let (answer, all) = device.read(at: Place.configuration(0), count: 4096)
        t.expect(answer, .value(4096), "all at once")
        for count in [3, 5, 64, 1000] {
            var pieces: [UInt8] = []
            while pieces.count < 4096 {
                let (answer, bytes) = device.read(
                    at: Place.configuration(UInt64(pieces.count)), count: min(count, 4096 - pieces.count))
                guard answer == .value(Int32(bytes.count)) else {
                    throw Halt.broken("at \(pieces.count): \(answer)")
                }
                pieces += bytes
            }
            t.expect(pieces == all, "pieces of \(count) bytes")
        }
    },
    Case("D.6", "the 4096th byte is the last, of reading and of writing", on: .all) { t in
        let device = try t.openExpress()
        t.expect(device.read(at: Place.configuration(4095), count: 1).answer, .value(1), "the last byte")
        t.expect(
            device.read(at: Place.configuration(4093), count: 4).answer, .errno(.badAddress), "over the end")
        t.expect(
            device.read(at: Place.configuration(4096), count: 1).answer, .errno(.badAddress), "behind it")
        t.expect(device.write(at: Place.configuration(4096), [0]), .errno(.badAddress), "writing behind it")
        t.expect(
            device.write(at: Place.configuration(0x3c), [UInt8](repeating: 7, count: 4096)),
            .errno(.badAddress),
            "writing over the end")
        t.expect(try device.configuration(UInt8.self, 0x3c) != 7, "nothing of it was written")
    },
    Case("D.6", "a write that begins before COMMAND changes it, too", on: .all) { t in
        let edu = try t.openEdu()
        let upper = try edu.device.configuration(UInt8.self, 3)
        t.expect(edu.device.write(at: Place.configuration(3), [~upper, 4]), .value(2), "two bytes at 3")
        t.expect(try edu.device.configuration(UInt8.self, 3) == upper, "the device stays")
        t.expect(try edu.device.configuration(UInt16.self, 4) & 7, equals: 4, "COMMAND")
        t.expect(edu.device.read(at: 0, count: 4).answer, .errno(.inputOutput), "a register")
        t.expect(edu.device.write(at: Place.configuration(2), [0, 0, 6, 4]), .value(4), "four bytes at 2")
        t.expect(try edu.device.configuration(UInt16.self, 4) & 0x407, equals: 0x406, "COMMAND")
        t.expect(edu.device.read(at: 0, count: 4).answer, .value(4), "a register")
    },
    Case("D.6", "one write over all BARs sizes them all", on: .all) { t in
        let bar = try t.openBAR(.memory, "a device with memory")
        let device = bar.device
        let old = device.read(at: Place.configuration(0x10), count: 24).bytes
        t.expect(
            device.write(at: Place.configuration(0x10), [UInt8](repeating: 0xff, count: 24)), .value(24),
            "ones into all BARs")
        let sizes = try (0..<6).map { try device.configuration(UInt32.self, 0x10 + 4 * $0) }
        let place = Int(bar.index)
        t.expect(
            sizes[place] & ~0xf == ~UInt32(truncatingIfNeeded: bar.byteCount - 1), "the size of the memory")
        t.expect(device.write(at: Place.configuration(0x10), old), .value(24), "the old addresses")
        t.expect(device.read(at: Place.configuration(0x10), count: 24).bytes == old, "they are back")
        t.expect(device.read(at: bar.start, count: 4).answer, .value(4), "the memory answers")
    },
    Case(
        "D.6", "what lies between capabilities can be written without an error, and changes no capability",
        on: .all
    ) { t in
        let device = try t.openExpress()
        let places = try device.capabilities()
        t.expect(!places.isEmpty, "there are capabilities")
        for at in places where at > 0x40 && !places.contains(at - 4) {
            let old = device.read(at: Place.configuration(at - 1), count: 3)
            t.expect(old.answer, .value(3), "three bytes, of which one is before \(at)")
            t.expect(
                device.write(at: Place.configuration(at), [~old.bytes[1], ~old.bytes[2]]), .value(2),
                "writing the header at \(at)")
            let now = device.read(at: Place.configuration(at - 1), count: 3)
            t.expect(now.bytes == old.bytes, "the header and the byte before it stay")
        }
        for at: UInt64 in [0x3e, 0x3f] {
            let old = try device.configuration(UInt8.self, at)
            t.expect(device.configure(at, old), .value(1), "writing \(at), which nobody has")
        }
    },
    Case("D.6", "the end of a chain is the end: behind the last extended capability there is none", on: .all)
    { t in
        let device = try t.openExpress()
        var (at, last, count) = (UInt64(0x100), UInt64(0), 0)
        while at >= 0x100 && count < 480 {
            t.expect(at > last && at % 4 == 0, "capabilities are aligned and in order")
            (last, count) = (at, count + 1)
            at = UInt64(try device.configuration(UInt32.self, at) >> 20) & 0xffc
        }
        t.expect(at, equals: 0, "the last link")
        t.expect(device.configure(last, UInt32.max), .value(4), "writing the last header")
        t.expect(try device.configuration(UInt32.self, last) >> 20, equals: 0, "the last link afterwards")
        t.expect(try device.configuration(UInt32.self, 0xffc) >= 0, "the last word of all can be read")
    },
    Case("D.6", "STATUS can't be written, and tells of a list of capabilities", on: .all) { t in
        let device = try t.openExpress()
        let old = try device.configuration(UInt16.self, 6)
        t.expect(old & 0x10, equals: 0x10, "the list")
        t.expect(device.configure(6, UInt16.max), .value(2), "writing ones")
        t.expect(try device.configuration(UInt16.self, 6) == old, "after ones")
        t.expect(device.configure(6, 0 as UInt16), .value(2), "writing zeros")
        t.expect(try device.configuration(UInt16.self, 6) == old, "after zeros")
    },
    Case("D.6", "cache line and latency go through to the device, and BIST doesn't hurt", on: .all) { t in
        let device = try t.openExpress()
        let old = try device.configuration(UInt8.self, 0x0c)
        for value: UInt8 in [0x10, 0x08] {
            device.configure(0x0c, value)
            t.expect(try device.configuration(UInt8.self, 0x0c), equals: value, "the cache line")
        }
        device.configure(0x0c, old)
        t.expect(device.configure(0x0f, 0 as UInt8), .value(1), "writing BIST")
    },
]

extension Trial {
    /// Opens a device with the configuration space of PCI Express.
    func openExpress() throws -> File {
        try openDevice("a device of PCI Express") {
            $0.regionInfo(PCIRegion.config.rawValue).info.size == 4096
        }.device
    }
}
