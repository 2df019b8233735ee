import LinuxSystem
import VFIOABI
import VFIOHost

/// F.2: ATTACH, DETACH, and what devices reach meanwhile.
let attachCases: [Case] = [
    Case("F.2", "ATTACH and DETACH look at the structure first", on: .cdev) { t in
        let bench = try t.space()
        let (device, _) = try t.bound(t.edu, to: bench.iommufd)
        t.expect(device.request(.deviceAttachIOMMUFD), .errno(.badAddress), "ATTACH, no structure")
        t.expect(device.request(.deviceDetachIOMMUFD), .errno(.badAddress), "DETACH, no structure")
        for argsz in [0, 11] as [UInt32] {
            t.expect(
                device.request(
                    .deviceAttachIOMMUFD, DeviceAttachIOMMUFDPageTable(argsz: argsz, pageTableID: bench.ioas)),
                .errno(.invalid), "ATTACH, argsz \(argsz)")
        }
        t.expect(
            device.request(.deviceDetachIOMMUFD, DeviceDetachIOMMUFDPageTable(argsz: 7)), .errno(.invalid),
            "DETACH, argsz 7")
        let attach = try t.buffer(atEndOfPage: 12)
        attach.store(UInt32(12))
        attach.store(bench.ioas, at: 8)
        t.expect(device.request(.deviceAttachIOMMUFD, attach), .success, "ATTACH with 12 bytes")
        let detach = try t.buffer(atEndOfPage: 8)
        detach.store(UInt32(8))
        t.expect(device.request(.deviceDetachIOMMUFD, detach), .success, "DETACH with 8 bytes")
    },
    Case("F.2", "ATTACH and DETACH want flags they know", on: .cdev) { t in
        let bench = try t.space()
        let (device, _) = try t.bound(t.edu, to: bench.iommufd)
        for flags in [2, 3, 1 << 31] as [UInt32] {
            t.expect(
                device.request(
                    .deviceAttachIOMMUFD,
                    DeviceAttachIOMMUFDPageTable(flags: .init(rawValue: flags), pageTableID: bench.ioas)),
                .errno(.invalid), "ATTACH, flags \(flags)")
            t.expect(
                device.request(
                    .deviceDetachIOMMUFD, DeviceDetachIOMMUFDPageTable(flags: .init(rawValue: flags))),
                .errno(.invalid), "DETACH, flags \(flags)")
        }
    },
    Case("F.2", "a process's address space needs a structure that says which", on: .cdev) { t in
        let bench = try t.space()
        let (device, _) = try t.bound(t.edu, to: bench.iommufd)
        t.expect(
            device.request(
                .deviceAttachIOMMUFD,
                DeviceAttachIOMMUFDPageTable(argsz: 12, flags: .pasid, pageTableID: bench.ioas)),
            .errno(.invalid), "ATTACH, argsz 12")
        t.expect(
            device.request(.deviceDetachIOMMUFD, DeviceDetachIOMMUFDPageTable(argsz: 8, flags: .pasid)),
            .errno(.invalid), "DETACH, argsz 8")
        t.expect(
            device.request(
                .deviceAttachIOMMUFD, DeviceAttachIOMMUFDPageTable(flags: .pasid, pageTableID: 99, pasid: 1)),
            .errno(.noSuchEntry), "ATTACH to nothing")
        t.expect(
            device.request(
                .deviceAttachIOMMUFD,
                DeviceAttachIOMMUFDPageTable(flags: .pasid, pageTableID: bench.ioas, pasid: 1)),
            .errno(.invalid), "ATTACH on an IOMMU that has none")
        t.expect(
            device.request(.deviceDetachIOMMUFD, DeviceDetachIOMMUFDPageTable(flags: .pasid, pasid: 1)),
            .success, "DETACH of nothing")
    },
    Case("F.2", "ATTACH wants an address space or a page table", on: .cdev) { t in
        let bench = try t.space()
        let (device, id) = try t.bound(t.edu, to: bench.iommufd)
        t.expect(device.attach(to: 0).answer, .errno(.noSuchEntry), "0")
        t.expect(device.attach(to: 99).answer, .errno(.noSuchEntry), "99")
        t.expect(device.attach(to: id).answer, .errno(.invalid), "the device itself")
        let other = try t.space()
        t.expect(other.destroy(other.ioas), .success, "an id of another iommufd")
    },
    Case("F.2", "ATTACH tells the page table that it made", on: .cdev) { t in
        let bench = try t.space()
        let (device, _) = try t.bound(t.edu, to: bench.iommufd)
        let (answer, table) = device.attach(to: bench.ioas)
        t.expect(answer, .success, "ATTACH")
        t.expect(table, equals: 3, "out pt_id, behind the address space and the device")
        let again = device.attach(to: bench.ioas)
        t.expect(again.answer, .success, "to the same again")
        t.expect(again.id, equals: table, "out pt_id")
        let direct = device.attach(to: table)
        t.expect(direct.answer, .success, "to the page table")
        t.expect(direct.id, equals: table, "out pt_id")
    },
    Case("F.2", "devices share an address space's page table, and the last takes it with it", on: .cdev) {
        t in
        let bench = try t.space()
        let (first, _) = try t.bound(t.edu, to: bench.iommufd)
        let (second, _) = try t.bound(t.nvme, to: bench.iommufd)
        let table = first.attach(to: bench.ioas).id
        let shared = second.attach(to: bench.ioas)
        t.expect(shared.answer, .success, "the second")
        t.expect(shared.id, equals: table, "its page table")
        t.expect(first.detach(), .success, "DETACH the first")
        t.expect(bench.destroy(table), .errno(.busy), "the second still has it")
        t.expect(second.detach(), .success, "DETACH the second")
        t.expect(second.attach(to: table).answer, .errno(.noSuchEntry), "ATTACH to what it was")
    },
    Case("F.2", "ATTACH replaces what was attached before", on: .cdev) { t in
        let bench = try t.space()
        let (device, _) = try t.bound(t.edu, to: bench.iommufd)
        let other = try t.allocate(in: bench.iommufd)
        let old = device.attach(to: bench.ioas).id
        let (answer, new) = device.attach(to: other)
        t.expect(answer, .success, "ATTACH to another")
        t.expect(new != old, "it has a page table of its own")
        t.expect(bench.destroy(old), .errno(.noSuchEntry), "the old page table")
        t.expect(bench.destroy(bench.ioas), .success, "the old address space is free")
        t.expect(bench.destroy(other), .errno(.busy), "the new one is not")
    },
    Case("F.2", "a failing ATTACH leaves what was attached", on: .cdev) { t in
        let (setup, bench) = try t.attachedSpace()
        t.expect(bench.map(0x10000), .success, "MAP")
        let other = try t.allocate(in: bench.iommufd)
        let bad = IOASMap(
            flags: [.fixedIOVA, .readable], ioasID: other, userVA: 0x1000, length: bench.page, iova: 0x10000)
        t.expect(bench.map(bad), .success, "MAP of nothing in another")
        t.expect(setup.device.attach(to: other).answer, .errno(.badAddress), "ATTACH to it")
        t.expect(try setup.eduCopies(bench.memory, at: 0x10000, by: t), "DMA goes on")
        t.expect(bench.destroy(other), .success, "the other is free")
    },
    Case("F.2", "DETACH of nothing is fine", on: .cdev) { t in
        let bench = try t.space()
        let (device, _) = try t.bound(t.edu, to: bench.iommufd)
        t.expect(device.detach(), .success, "never attached")
        t.expect(device.attach(to: bench.ioas).answer, .success, "ATTACH")
        t.expect(device.detach(), .success, "DETACH")
        t.expect(device.detach(), .success, "again")
    },
    Case("F.2", "a device that is bound can be used before it is attached", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        let (device, _) = try t.bound(t.edu, to: iommufd)
        t.expect(t.information(from: device), .success, "GET_INFO")
        let configuration = try t.region(.config, of: device).offset
        t.expect(try device.load(UInt32.self, at: configuration), equals: 0x11e8_1234, "configuration space")
    },
    Case("F.2", "DMA goes where the device is attached, and nowhere else", on: .cdev) { t in
        let (setup, bench) = try t.attachedSpace()
        t.expect(bench.map(0x10000), .success, "MAP")
        t.expect(try setup.eduCopies(bench.memory, at: 0x10000, by: t), "attached")
        t.expect(setup.device.detach(), .success, "DETACH")
        t.expect(try !setup.eduCopies(bench.memory, at: 0x10000, by: t), "detached: nothing arrives")
        t.expect(setup.device.attach(to: bench.ioas).answer, .success, "ATTACH")
        t.expect(
            try setup.eduCopies(bench.memory, at: 0x10000, by: t), "attached again: the mapping is there")
        let other = try t.allocate(in: bench.iommufd)
        t.expect(setup.device.attach(to: other).answer, .success, "ATTACH to an empty one")
        t.expect(try !setup.eduCopies(bench.memory, at: 0x10000, by: t), "nothing is mapped there")
    },
    Case("F.2", "a group's devices have one page table", on: .cdev) { t in
        let (record, other) = try t.neighbours
        try t.lend(other, to: "vfio-pci")
        let bench = try t.space()
        let elsewhere = try t.allocate(in: bench.iommufd)
        let (first, _) = try t.bound(record, to: bench.iommufd)
        let (second, _) = try t.bound(t.listed(other), to: bench.iommufd)
        let table = first.attach(to: bench.ioas).id
        t.expect(second.attach(to: elsewhere).answer, .errno(.invalid), "the second elsewhere")
        let joined = second.attach(to: bench.ioas)
        t.expect(joined.answer, .success, "the second to the same")
        t.expect(joined.id, equals: table, "its page table")
        let moved = first.attach(to: elsewhere)
        t.expect(moved.answer, .success, "the first moves")
        t.expect(bench.destroy(table), .errno(.noSuchEntry), "and takes the second with it")
        t.expect(second.attach(to: elsewhere).id, equals: moved.id, "which is there already")
    },
    Case("F.2", "devices opened through their group know no ATTACH", on: [.group, .compat, .noIOMMU]) { t in
        let setup = try t.setUp(t.edu)
        t.expect(setup.device.attach(to: 1).answer, .errno(.noSuchRequest), "ATTACH")
        t.expect(setup.device.detach(), .errno(.noSuchRequest), "DETACH")
    },
]
