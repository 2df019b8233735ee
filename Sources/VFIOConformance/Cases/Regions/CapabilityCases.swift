import LinuxSystem
import VFIOABI
import VFIOHost

/// D.6: capabilities in configuration space.
let capabilityCases: [Case] = [
    Case("D.6", "identifiers and links of capabilities can't be changed", on: .all) { t in
        let device = try t.openDisk()
        var at = UInt64(try device.configuration(UInt8.self, 0x34) & 0xfc)
        for _ in 0..<48 where at >= 0x40 {
            let old = try device.configuration(UInt16.self, at)
            t.expect(device.configure(at, ~old), .value(2), "writing")
            t.expect(try device.configuration(UInt16.self, at) == old, "stays")
            at = UInt64(old >> 8) & 0xfc
        }
    },
    Case("D.6", "MSI can't be enabled by writing its bit", on: .all) { t in
        let device = try t.openEdu().device
        let msi = try t.capability(5, of: device)
        device.configure(msi + 2, 1 as UInt16)
        t.expect(try device.configuration(UInt16.self, msi + 2) & 1, equals: 0, "the bit")
        t.expect(device.disable(.msi), .errno(.invalid), "MSI isn't in use")
    },
    Case("D.6", "MSI's enable bit can be written while it is in use, and SET_IRQS doesn't set it", on: .all) {
        t in
        let device = try t.openEdu().device
        let msi = try t.capability(5, of: device)
        let event = try t.event()
        try t.require(device.setEvents(.msi, [event.number]), "MSI")
        t.expect(try device.configuration(UInt16.self, msi + 2) & 1, equals: 0, "after SET_IRQS")
        device.configure(msi + 2, 1 as UInt16)
        t.expect(try device.configuration(UInt16.self, msi + 2) & 1, equals: 1, "after writing 1")
        try t.require(device.disable(.msi), "disabling")
        t.expect(try device.configuration(UInt16.self, msi + 2) & 1, equals: 1, "after disabling")
        device.configure(msi + 2, 1 as UInt16)
        t.expect(try device.configuration(UInt16.self, msi + 2) & 1, equals: 0, "after writing 1 again")
    },
    Case("D.6", "MSI can't be told of more vectors than it has", on: .all) { t in
        let device = try t.openEdu().device
        let msi = try t.capability(5, of: device)
        let most = (try device.configuration(UInt16.self, msi + 2) >> 1) & 7
        device.configure(msi + 2, 0x70 as UInt16)
        t.expect(try (device.configuration(UInt16.self, msi + 2) >> 4) & 7 == most, "multiple message enable")
    },
    Case("D.6", "address and data of MSI are the user's to keep numbers in", on: .all) { t in
        let device = try t.openEdu().device
        let msi = try t.capability(5, of: device)
        let isWide = try device.configuration(UInt16.self, msi + 2) & 0x80 != 0
        device.configure(msi + 4, 0xfee0_1004 as UInt32)
        t.expect(try device.configuration(UInt32.self, msi + 4), equals: 0xfee0_1004, "address")
        device.configure(msi + (isWide ? 12 : 8), 0x4321 as UInt16)
        t.expect(try device.configuration(UInt16.self, msi + (isWide ? 12 : 8)), equals: 0x4321, "data")
    },
    Case("D.6", "MSI-X is enabled and masked by SET_IRQS only", on: .all) { t in
        let device = try t.openDisk()
        let msix = try t.capability(0x11, of: device)
        let old = try device.configuration(UInt16.self, msix + 2)
        t.expect(old & 0xc000, equals: 0, "after opening")
        device.configure(msix + 2, old | 0xc000)
        t.expect(try device.configuration(UInt16.self, msix + 2) == old, "after writing both bits")
        let event = try t.event()
        try t.require(device.setEvents(.msix, [event.number]), "MSI-X")
        t.expect(try device.configuration(UInt16.self, msix + 2) & 0x8000, equals: 0x8000, "after SET_IRQS")
        device.configure(msix + 2, old)
        t.expect(try device.configuration(UInt16.self, msix + 2) & 0x8000, equals: 0x8000, "after writing 0")
        try t.require(device.disable(.msix), "disabling")
        t.expect(try device.configuration(UInt16.self, msix + 2) & 0x8000, equals: 0, "after disabling")
    },
    Case("D.6", "the places of the MSI-X table and its pending bits can't be changed", on: .all) { t in
        let device = try t.openDisk()
        let msix = try t.capability(0x11, of: device)
        for offset: UInt64 in [4, 8] {
            let old = try device.configuration(UInt32.self, msix + offset)
            device.configure(msix + offset, ~old)
            t.expect(try device.configuration(UInt32.self, msix + offset) == old, "at \(offset)")
        }
    },
    Case("D.6", "payload and request sizes of PCI Express are the user's to write", on: .all) { t in
        let device = try t.openDisk()
        let express = try t.capability(0x10, of: device)
        let old = try device.configuration(UInt16.self, express + 8)
        let sizes: UInt16 = 0x70e0
        for value: UInt16 in [0x5040, 0x0000, 0x2020] {
            device.configure(express + 8, old & ~sizes | value)
            t.expect(try device.configuration(UInt16.self, express + 8) & sizes, equals: value, "\(value)")
        }
        device.configure(express + 8, old)
    },
    Case(
        "D.6", "phantom functions can't be enabled, and what a device is capable of can't be changed",
        on: .all
    ) { t in
        let device = try t.openDisk()
        let express = try t.capability(0x10, of: device)
        let control = try device.configuration(UInt16.self, express + 8)
        device.configure(express + 8, control & ~0x8000 | 0x200)
        t.expect(try device.configuration(UInt16.self, express + 8) & 0x200, equals: 0, "phantom functions")
        device.configure(express + 8, control)
        let capabilities = try device.configuration(UInt32.self, express + 4)
        device.configure(express + 4, ~capabilities)
        t.expect(try device.configuration(UInt32.self, express + 4) == capabilities, "Device Capabilities")
        let flags = try device.configuration(UInt16.self, express + 2)
        device.configure(express + 2, ~flags)
        t.expect(try device.configuration(UInt16.self, express + 2) == flags, "PCI Express Capabilities")
    },
    Case("D.6", "a function level reset by its bit resets the device, and the bit reads as 0", on: .all) {
        t in
        let device = try t.openDisk()
        let express = try t.capability(0x10, of: device)
        guard try device.configuration(UInt32.self, express + 4) & 1 << 28 != 0 else {
            throw t.skip("it needs a disk with function level reset")
        }
        device.store(0x6 as UInt16, at: Place.command)
        Disk.setUpRegister(device)
        t.expect(try device.load(UInt32.self, at: Disk.register), equals: Disk.value, "a register before")
        let control = try device.configuration(UInt16.self, express + 8)
        t.expect(device.configure(express + 8, control | 0x8000), .value(2), "writing the bit")
        t.expect(try device.configuration(UInt16.self, express + 8) & 0x8000, equals: 0, "the bit")
        t.expect(try device.load(UInt32.self, at: Disk.register), equals: 0, "the register afterwards")
    },
    Case("D.6", "a device that the user sends to D3hot doesn't answer until it is back", on: .all) { t in
        let device = try t.openDisk()
        let power = try t.capability(1, of: device)
        device.store(0x6 as UInt16, at: Place.command)
        device.configure(power + 4, 3 as UInt16)
        t.expect(try device.configuration(UInt16.self, power + 4) & 3, equals: 3, "the power state")
        t.expect(device.read(at: 0, count: 4).answer, .errno(.inputOutput), "reading a register")
        t.expect(device.write(at: Disk.register, [0, 0, 0, 0]), .errno(.inputOutput), "writing one")
        device.configure(power + 4, 0 as UInt16)
        t.expect(try device.configuration(UInt16.self, power + 4) & 3, equals: 0, "the power state, back")
        t.expect(device.read(at: 0, count: 4).answer, .value(4), "reading a register again")
    },
    Case("D.6", "power management events don't exist for users", on: .all) { t in
        let device = try t.openDisk()
        let power = try t.capability(1, of: device)
        t.expect(try device.configuration(UInt16.self, power + 2) & 0xf800, equals: 0, "support")
        device.configure(power + 4, 0x8100 as UInt16)
        t.expect(try device.configuration(UInt16.self, power + 4) & 0x8100, equals: 0, "enable and status")
    },
    Case("D.6", "headers of extended capabilities can't be changed; none of them is PASID", on: .all) { t in
        let device = try t.openDisk()
        _ = try t.capability(0x10, of: device)
        var at: UInt64 = 0x100
        for _ in 0..<48 where at >= 0x100 {
            let old = try device.configuration(UInt32.self, at)
            t.expect(device.configure(at, ~old), .value(4), "writing")
            t.expect(try device.configuration(UInt32.self, at) == old || old == 0, "stays")
            t.expect(old & 0xffff != 0x1b, "isn't PASID")
            if old == 0 { break }
            at = UInt64(old >> 20) & 0xffc
        }
    },
]

extension Trial {
    /// Where a capability of a device begins.
    /// - Throws: the case is skipped where it has none.
    func capability(_ id: UInt8, of device: File) throws -> UInt64 {
        guard let at = try device.capability(id) else {
            throw skip("it needs a device with capability \(id)")
        }
        return at
    }
}
