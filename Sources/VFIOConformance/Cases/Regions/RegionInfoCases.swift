import LinuxSystem
import VFIOABI
import VFIOHost

/// D.2 and D.3: which regions there are.
let regionInfoCases: [Case] = [
    Case("D.2", "a PCI device has nine regions and five kinds of interrupts", on: .all) { t in
        let device = try t.openEdu().device
        var info = DeviceInfo()
        t.expect(device.request(.deviceGetInfo, &info), .success, "GET_INFO")
        t.expect(info.flags.contains(.pci), "PCI")
        t.expect(info.regionCount, equals: 9, "regions")
        t.expect(info.irqCount, equals: 5, "interrupts")
    },
    Case("D.3", "a region's offset is its number shifted left by 40, even where there is nothing", on: .all) {
        t in
        let device = try t.openEdu().device
        for index in UInt32(0)..<8 {
            let (answer, info) = device.regionInfo(index)
            t.expect(answer, .success, "region \(index)")
            t.expect(info.offset, equals: UInt64(index) << 40, "region \(index): offset")
        }
    },
    Case("D.3", "a BAR of memory is as long as it is, and can be read, written and mapped", on: .all) { t in
        let (answer, info) = try t.openEdu().device.regionInfo(0)
        t.expect(answer, .success, "BAR 0")
        t.expect(info.size, equals: 1 << 20, "size")
        t.expect(
            info.flags.rawValue, equals: 7, "flags",
            .software(value: 3, "registers with effects can't be mapped in the process that has them"),
            .remote(value: 3, "a server shares plain memory only: registers are reached by messages"))
    },
    Case("D.3", "a BAR that isn't there has no size and no flags, and is no error", on: .all) { t in
        let device = try t.openEdu().device
        for index in UInt32(1)..<6 {
            let (answer, info) = device.regionInfo(index)
            t.expect(answer, .success, "BAR \(index)")
            t.expect(info.size, equals: 0, "BAR \(index): size")
            t.expect(info.flags.rawValue, equals: 0, "BAR \(index): flags")
        }
    },
    Case("D.3", "the upper half of a 64-bit BAR is no region of its own", on: .all) { t in
        let device = try t.openDisk()
        guard try device.configuration(UInt32.self, 0x10) & 6 == 4 else {
            throw t.skip("it needs a disk whose BAR 0 has 64 bits")
        }
        let (answer, info) = device.regionInfo(1)
        t.expect(answer, .success, "BAR 1")
        t.expect(info.size, equals: 0, "size")
        t.expect(info.flags.rawValue, equals: 0, "flags")
        t.expect(device.read(at: Place.region(1), count: 4).answer, .errno(.invalid), "reading it")
    },
    Case("D.3", "without an expansion ROM, its region is empty", on: .all) { t in
        let (answer, info) = try t.openEdu().device.regionInfo(6)
        t.expect(answer, .success, "ROM")
        t.expect(info.size, equals: 0, "size")
        t.expect(info.flags.rawValue, equals: 0, "flags")
    },
    Case("D.3", "configuration space has 256 bytes on conventional PCI", on: .all) { t in
        let (answer, info) = try t.openEdu().device.regionInfo(7)
        t.expect(answer, .success, "configuration space")
        t.expect(info.size, equals: 256, "size")
        t.expect(info.flags.rawValue, equals: 3, "flags")
    },
    Case("D.3", "configuration space has 4096 bytes on PCI Express", on: .all) { t in
        let device = try t.openDisk()
        guard try device.capability(0x10) != nil else { throw t.skip("it needs a PCI Express disk") }
        let (answer, info) = device.regionInfo(7)
        t.expect(answer, .success, "configuration space")
        t.expect(info.size, equals: 4096, "size")
        t.expect(info.flags.rawValue, equals: 3, "flags")
    },
    Case("D.3", "what is no VGA device has no VGA region, though it counts", on: .all) { t in
        let device = try t.openEdu().device
        t.expect(device.regionInfo(8).answer, .errno(.invalid), "GET_REGION_INFO")
        t.expect(device.read(at: Place.region(8) + 0xa0000, count: 4).answer, .errno(.invalid), "reading it")
        t.expect(device.write(at: Place.region(8) + 0x3c0, [0]), .errno(.invalid), "writing it")
    },
    Case("D.3", "there is no region behind the last one", on: .all) { t in
        let device = try t.openEdu().device
        for index: UInt32 in [9, 10, 0x8000_0000, .max] {
            t.expect(device.regionInfo(index).answer, .errno(.invalid), "region \(index)")
        }
    },
]
