import LinuxSystem
import VFIOABI
import VFIOHost

/// D.4: reading and writing regions.
let regionAccessCases: [Case] = [
    Case("D.4", "nothing is read or written wherever it is, without an error", on: .all) { t in
        let device = try t.openEdu().device
        for index: UInt64 in [0, 1, 6, 7, 8, 9, 1000] {
            t.expect(device.read(at: Place.region(index), count: 0).answer, .value(0), "reading \(index)")
            t.expect(device.write(at: Place.region(index), []), .value(0), "writing \(index)")
        }
    },
    Case("D.4", "regions that don't exist can't be read or written", on: .all) { t in
        let device = try t.openEdu().device
        for index: UInt64 in [1, 5, 9, 1000] {
            t.expect(
                device.read(at: Place.region(index), count: 4).answer, .errno(.invalid), "reading \(index)")
            t.expect(
                device.write(at: Place.region(index), [0, 0, 0, 0]), .errno(.invalid), "writing \(index)")
        }
    },
    Case("D.4", "a register is read and written", on: .all) { t in
        let device = try t.openEdu().device
        t.expect(try device.load(UInt32.self, at: 0) & 0xff, equals: 0xed, "identification")
        t.expect(device.store(0x1234_5678 as UInt32, at: 4), .value(4), "writing")
        t.expect(try device.load(UInt32.self, at: 4), equals: ~0x1234_5678, "its complement")
    },
    Case("D.4", "an access is cut at the end of its BAR", on: .all) { t in
        let device = try t.openEdu().device
        let end: UInt64 = 1 << 20
        t.expect(device.read(at: end - 4, count: 64).answer, .value(4), "reading 64 bytes")
        t.expect(device.write(at: end - 4, [UInt8](repeating: 0, count: 64)), .value(4), "writing 64 bytes")
    },
    Case("D.4", "an access behind the end of its BAR is EINVAL", on: .all) { t in
        let device = try t.openEdu().device
        for position: UInt64 in [1 << 20, 1 << 21, (1 << 40) - 4] {
            t.expect(device.read(at: position, count: 4).answer, .errno(.invalid), "reading \(position)")
            t.expect(device.write(at: position, [0, 0, 0, 0]), .errno(.invalid), "writing \(position)")
        }
    },
    Case("D.4", "an access is carried out in pieces as wide as they are aligned", on: .all) { t in
        let device = try t.openEdu().device
        device.store(0x0000_00ff as UInt32, at: 4)
        device.store(0 as UInt32, at: 8)
        let (answer, bytes) = device.read(at: 4, count: 8)
        t.expect(answer, .value(8), "eight bytes from 4")
        t.expect(Array(bytes[0..<4]), equals: [0, 0xff, 0xff, 0xff], "the register at 4")
    },
    Case("D.4", "BARs don't answer while memory is off", on: .all) { t in
        let edu = try t.openEdu()
        edu.device.store(0x55 as UInt32, at: 4)
        edu.setCommand(0x4)
        t.expect(edu.device.read(at: 4, count: 4).answer, .errno(.inputOutput), "reading")
        t.expect(edu.device.write(at: 4, [1, 2, 3, 4]), .errno(.inputOutput), "writing")
        edu.setCommand(0x6)
        t.expect(try edu.device.load(UInt32.self, at: 4), equals: ~0x55, "the register afterwards")
    },
    Case("D.4", "with memory off, what is wrong with the place comes first", on: .all) { t in
        let edu = try t.openEdu()
        edu.setCommand(0)
        t.expect(edu.device.read(at: 1 << 20, count: 4).answer, .errno(.invalid), "behind the end")
        t.expect(edu.device.read(at: Place.region(1), count: 4).answer, .errno(.invalid), "no BAR")
        t.expect(edu.device.read(at: 0, count: 0).answer, .value(0), "nothing")
    },
    Case("D.4", "an expansion ROM that isn't there can't be read or written", on: .all) { t in
        let device = try t.openEdu().device
        t.expect(device.read(at: Place.region(6), count: 4).answer, .errno(.invalid), "reading")
        t.expect(device.write(at: Place.region(6), [0, 0, 0, 0]), .errno(.invalid), "writing")
    },
    Case("D.4", "configuration space ends with a fault; accesses aren't cut", on: .all) { t in
        let device = try t.openEdu().device
        t.expect(device.read(at: Place.configuration(252), count: 4).answer, .value(4), "the last four bytes")
        t.expect(device.read(at: Place.configuration(252), count: 5).answer, .errno(.badAddress), "one more")
        t.expect(device.read(at: Place.configuration(256), count: 1).answer, .errno(.badAddress), "behind it")
        t.expect(
            device.write(at: Place.configuration(255), [0, 0]), .errno(.badAddress), "writing two bytes")
        t.expect(
            device.read(at: Place.configuration(0), count: 257).answer, .errno(.badAddress), "257 bytes")
    },
    Case("D.4", "configuration space answers while memory is off", on: .all) { t in
        let edu = try t.openEdu()
        edu.setCommand(0)
        t.expect(try edu.device.configuration(UInt16.self, 0), equals: 0x1234, "vendor")
        t.expect(edu.device.configure(0x3c, 7 as UInt8), .value(1), "writing")
    },
    Case("D.4", "the MSI-X table reads as ones, even with memory off", on: .all) { t in
        let device = try t.openDisk()
        let table = try t.vectorTable(of: device)
        device.store(0x6 as UInt16, at: Place.command)
        let (answer, bytes) = device.read(at: table.offset, count: 16)
        t.expect(answer, .value(16), "reading an entry")
        t.expect(bytes.allSatisfy { $0 == 0xff }, "all ones")
        device.store(0 as UInt16, at: Place.command)
        t.expect(device.read(at: table.offset, count: 16).answer, .value(16), "reading with memory off")
        t.expect(
            device.write(at: table.offset, [UInt8](repeating: 0, count: 16)), .value(16),
            "writing with memory off")
        device.store(0x6 as UInt16, at: Place.command)
        t.expect(
            device.read(at: table.offset, count: 16).bytes.allSatisfy { $0 == 0xff },
            "all ones after writing")
    },
]

extension Trial {
    /// Where a device's MSI-X table is, as an offset in its file, and how many bytes it has.
    func vectorTable(of device: File) throws -> (offset: UInt64, byteCount: UInt64) {
        guard let msix = try device.capability(0x11) else { throw skip("it needs a device with MSI-X") }
        let control = try device.configuration(UInt16.self, msix + 2)
        let place = try device.configuration(UInt32.self, msix + 4)
        return (
            Place.region(UInt64(place & 7)) + UInt64(place & ~7), 16 * (UInt64(control & 0x7ff) + 1)
        )
    }
}
