import LinuxSystem
import VFIOABI
import VFIOHost

/// D.6: the header of configuration space.
let headerCases: [Case] = [
    Case("D.6", "identity, class and header type can't be changed, and writing them is no error", on: .all) {
        t in
        let device = try t.openEdu().device
        for (offset, name) in [
            (0x00, "vendor"), (0x02, "device"), (0x0a, "class"), (0x2c, "subsystem vendor"),
            (0x2e, "subsystem"), (0x34, "first capability"),
        ] as [(UInt64, String)] {
            let old = try device.configuration(UInt16.self, offset)
            t.expect(device.configure(offset, ~old), .value(2), "\(name): writing")
            t.expect(try device.configuration(UInt16.self, offset) == old, "\(name): stays")
        }
        for (offset, name) in [(0x08, "revision"), (0x0e, "header type"), (0x3d, "interrupt pin")]
            as [(UInt64, String)]
        {
            let old = try device.configuration(UInt8.self, offset)
            t.expect(device.configure(offset, ~old), .value(1), "\(name): writing")
            t.expect(try device.configuration(UInt8.self, offset) == old, "\(name): stays")
        }
    },
    Case("D.6", "bus mastering is off after opening, and the user's to change", on: .all) { t in
        let device = try t.setUp(t.edu).device
        t.expect(try device.configuration(UInt16.self, 4) & 4, equals: 0, "after opening")
        device.configure(4, 6 as UInt16)
        t.expect(try device.configuration(UInt16.self, 4) & 6, equals: 6, "after setting it")
        device.configure(4, 2 as UInt16)
        t.expect(try device.configuration(UInt16.self, 4) & 6, equals: 2, "after clearing it")
    },
    Case("D.6", "the interrupt can be disabled in COMMAND, by its upper byte alone, too", on: .all) { t in
        let edu = try t.openEdu()
        t.expect(try edu.device.configuration(UInt16.self, 4) & 0x400, equals: 0, "after opening")
        edu.device.configure(5, 4 as UInt8)
        t.expect(try edu.device.configuration(UInt16.self, 4) & 0x406, equals: 0x406, "after setting it")
        edu.device.configure(5, 0 as UInt8)
        t.expect(try edu.device.configuration(UInt16.self, 4) & 0x406, equals: 6, "after clearing it")
    },
    Case("D.6", "the lower byte of COMMAND alone turns memory off and on", on: .all) { t in
        let edu = try t.openEdu()
        edu.device.configure(4, 4 as UInt8)
        t.expect(edu.device.read(at: 0, count: 4).answer, .errno(.inputOutput), "off")
        edu.device.configure(4, 6 as UInt8)
        t.expect(edu.device.read(at: 0, count: 4).answer, .value(4), "on")
    },
    Case("D.6", "the interrupt line is the user's to keep a number in", on: .all) { t in
        let device = try t.openEdu().device
        for value: UInt8 in [0x5a, 0xff, 0] {
            device.configure(0x3c, value)
            t.expect(try device.configuration(UInt8.self, 0x3c), equals: value, "reading \(value) back")
        }
    },
    Case("D.6", "a 32-bit BAR tells its size to who writes ones, and goes on answering", on: .all) { t in
        let device = try t.openEdu().device
        let old = try device.configuration(UInt32.self, 0x10)
        device.configure(0x10, UInt32.max)
        t.expect(try device.configuration(UInt32.self, 0x10), equals: 0xfff0_0000, "after writing ones")
        t.expect(try device.load(UInt8.self, at: 0) >= 0, "a register can be read meanwhile")
        device.configure(0x10, old)
        t.expect(try device.configuration(UInt32.self, 0x10) == old, "after writing the address back")
    },
    Case("D.6", "a BAR keeps any address that it could hold, without moving the device", on: .all) { t in
        let device = try t.openEdu().device
        device.configure(0x10, 0xabcd_ef00 as UInt32)
        t.expect(try device.configuration(UInt32.self, 0x10), equals: 0xabc0_0000, "what is read")
        t.expect(try device.load(UInt32.self, at: 0) & 0xff, equals: 0xed, "the identification")
    },
    Case("D.6", "a BAR is written byte by byte as well", on: .all) { t in
        let device = try t.openEdu().device
        device.configure(0x10, 0 as UInt32)
        device.configure(0x13, 0xab as UInt8)
        t.expect(try device.configuration(UInt32.self, 0x10), equals: 0xab00_0000, "the uppermost byte")
        device.configure(0x10, 0xffff as UInt16)
        t.expect(try device.configuration(UInt32.self, 0x10), equals: 0xab00_0000, "the lower half")
    },
    Case("D.6", "both halves of a 64-bit BAR tell their size", on: .all) { t in
        let device = try t.openDisk()
        let (old, upper) = (
            try device.configuration(UInt32.self, 0x10), try device.configuration(UInt32.self, 0x14)
        )
        guard old & 6 == 4 else { throw t.skip("it needs a disk whose BAR 0 has 64 bits") }
        let size = device.regionInfo(0).info.size
        device.configure(0x10, UInt32.max)
        device.configure(0x14, UInt32.max)
        let low = try device.configuration(UInt32.self, 0x10)
        t.expect(low & 0xf == old & 0xf, "the type bits stay")
        t.expect(low & ~0xf == ~UInt32(truncatingIfNeeded: size - 1), "the size in the lower half")
        t.expect(try device.configuration(UInt32.self, 0x14), equals: UInt32.max, "the upper half")
        device.configure(0x10, old)
        device.configure(0x14, upper)
        t.expect(try device.configuration(UInt32.self, 0x10) == old, "the lower half, back")
        t.expect(try device.configuration(UInt32.self, 0x14) == upper, "the upper half, back")
    },
    Case("D.6", "BARs that aren't there, and a ROM that isn't, read as 0 whatever is written", on: .all) {
        t in
        let device = try t.openEdu().device
        for offset: UInt64 in [0x14, 0x18, 0x1c, 0x20, 0x24, 0x30] {
            t.expect(device.configure(offset, UInt32.max), .value(4), "writing \(offset)")
            t.expect(try device.configuration(UInt32.self, offset), equals: 0, "reading \(offset)")
        }
    },
    Case("D.6", "accesses of any width and place show the same bytes", on: .all) { t in
        let device = try t.openEdu().device
        let (answer, all) = device.read(at: Place.configuration(0), count: 256)
        t.expect(answer, .value(256), "all at once")
        for (offset, count) in [(0, 4), (1, 3), (2, 4), (0x0b, 7), (0x3d, 5), (0x3f, 2)] {
            let (answer, bytes) = device.read(at: Place.configuration(UInt64(offset)), count: count)
            t.expect(answer, .value(Int32(count)), "\(count) bytes at \(offset)")
            t.expect(bytes == Array(all[offset..<offset + count]), "\(count) bytes at \(offset) are the same")
        }
    },
    Case("D.6", "what a user keeps in BARs and the interrupt line is gone at the next opening", on: .groups) {
        t in
        let setup = try t.setUp(t.edu)
        let old = try setup.device.configuration(UInt32.self, 0x10)
        let line = try setup.device.configuration(UInt8.self, 0x3c)
        setup.device.configure(0x10, UInt32.max)
        setup.device.configure(0x3c, ~line)
        setup.device.close()
        guard let group = setup.group, let again = t.getDevice(setup.record.name, from: group).file else {
            throw Halt.broken("opening again")
        }
        t.expect(try again.configuration(UInt32.self, 0x10) == old, "BAR 0")
        t.expect(try again.configuration(UInt8.self, 0x3c) == line, "the interrupt line")
    },
    Case("D.6", "all files of a device show one configuration space", on: .groups) { t in
        let setup = try t.setUp(t.edu)
        let other = try t.openAgain(setup)
        setup.device.configure(0x3c, 0x77 as UInt8)
        t.expect(try other.configuration(UInt8.self, 0x3c), equals: 0x77, "the other file")
        setup.device.close()
        t.expect(try other.configuration(UInt8.self, 0x3c), equals: 0x77, "after the first was closed")
    },
]
