import LinuxSystem
import VFIOABI
import VFIOHost

/// F.4: page tables of a user's own.
let ownTableCases: [Case] = [
    Case("F.4", "a page table of a user's own stays until it is destroyed", on: .cdev) { t in
        let bench = try t.pageTableBench()
        t.expect(bench.space.map(0x10000), .success, "MAP")
        let (answer, table) = bench.allocate()
        t.expect(answer, .success, "HWPT_ALLOC")
        t.expect(table, equals: 3, "out_hwpt_id, behind the address space and the device")
        t.expect(bench.space.ranges(room: 8).request.alignment, equals: bench.space.page, "the unit")
        t.expect(bench.space.map(0x20001, bytes: 1), .errno(.invalid), "MAP of a byte")
        t.expect(bench.space.destroy(bench.space.ioas), .errno(.busy), "DESTROY its address space")
        let attached = bench.device.attach(to: table)
        t.expect(attached.answer, .success, "ATTACH")
        t.expect(attached.id, equals: table, "out pt_id")
        t.expect(try bench.setup.eduCopies(bench.space.memory, at: 0x10000, by: t), "DMA")
        t.expect(bench.space.destroy(table), .errno(.busy), "DESTROY with a device")
        t.expect(bench.device.detach(), .success, "DETACH")
        t.expect(bench.space.destroy(bench.space.ioas), .errno(.busy), "DESTROY its address space")
        t.expect(bench.space.destroy(table), .success, "DESTROY")
        t.expect(bench.space.ranges(room: 8).request.alignment, equals: 1, "the unit")
        t.expect(bench.space.destroy(bench.space.ioas), .success, "DESTROY its address space")
    },
    Case("F.4", "a device moves between page tables, and takes automatic ones with it", on: .cdev) { t in
        let bench = try t.pageTableBench()
        t.expect(bench.space.map(0x10000), .success, "MAP")
        let own = try bench.table()
        let automatic = bench.device.attach(to: bench.space.ioas)
        t.expect(automatic.answer, .success, "ATTACH to the space")
        t.expect(automatic.id != own, "which makes one of its own")
        t.expect(bench.device.attach(to: own).id, equals: own, "ATTACH to the user's")
        t.expect(try bench.setup.eduCopies(bench.space.memory, at: 0x10000, by: t), "DMA")
        t.expect(bench.space.destroy(automatic.id), .errno(.noSuchEntry), "the automatic one")
        let other = try bench.table()
        t.expect(bench.device.attach(to: other).id, equals: other, "ATTACH to another")
        t.expect(bench.space.destroy(own), .success, "DESTROY the first")
        t.expect(try bench.setup.eduCopies(bench.space.memory, at: 0x10000, by: t), "DMA")
        bench.device.close()
        t.expect(bench.space.destroy(other), .success, "DESTROY the other when the device is closed")
    },
    Case("F.4", "memory that isn't there can't be in a page table", on: .cdev) { t in
        let bench = try t.pageTableBench()
        let nothing = IOASMap(
            flags: [.fixedIOVA, .readable], ioasID: bench.space.ioas, userVA: 0x1000,
            length: bench.space.page, iova: 0x10000)
        t.expect(bench.space.map(nothing), .success, "MAP of nothing")
        t.expect(bench.allocate().answer, .errno(.badAddress), "HWPT_ALLOC")
        t.expect(bench.space.unmapped(0x10000, bytes: bench.space.page), equals: "4096 bytes", "UNMAP")
        t.expect(bench.space.map(0x10001, bytes: 1), .success, "MAP of a byte")
        t.expect(bench.allocate().answer, .errno(.addressInUse), "HWPT_ALLOC")
        t.expect(bench.space.unmapped(0x10001, bytes: 1), equals: "1 bytes", "UNMAP")
        t.expect(bench.space.map(1 << 60), .success, "MAP beyond what is translated")
        t.expect(bench.allocate().answer, .errno(.addressInUse), "HWPT_ALLOC")
        t.expect(bench.space.unmapped(1 << 60, bytes: bench.space.page), equals: "4096 bytes", "UNMAP")
        t.expect(bench.space.map(0xfee0_0000), .success, "MAP where interrupts go")
        let (answer, table) = bench.allocate()
        t.expect(answer, .success, "HWPT_ALLOC, without a device")
        t.expect(bench.device.attach(to: table).answer, .errno(.addressInUse), "ATTACH")
    },
    Case("F.4", "HWPT_ALLOC: what this IOMMU doesn't do", on: .cdev) { t in
        let bench = try t.pageTableBench()
        t.expect(bench.allocate(.nestParent).answer, .errno(.notSupported), "NEST_PARENT")
        t.expect(bench.allocate(.dirtyTracking).answer, .errno(.notSupported), "DIRTY_TRACKING")
        t.expect(
            bench.allocate([.nestParent, .faultIDValid]).answer, .errno(.notSupported), "NEST_PARENT, FAULT")
        t.expect(bench.allocate(.faultIDValid).answer, .errno(.noSuchEntry), "FAULT without a queue")
        t.expect(bench.allocate { $0.pageTableID = bench.id }.answer, .errno(.invalid), "of a device")
        let data = try t.buffer(64)
        func described(_ request: inout HWPTAlloc) {
            request.dataType = .vtdStage1
            request.dataLength = 24
            request.dataAddress = UInt64(data.address.rawValue)
        }
        t.expect(bench.allocate([], described).answer, .errno(.notSupported), "with a description")
        let table = try bench.table()
        t.expect(bench.allocate { $0.pageTableID = table }.answer, .errno(.notSupported), "of a page table")
        let nested = bench.allocate {
            described(&$0)
            $0.pageTableID = table
        }
        t.expect(nested.answer, .errno(.invalid), "of a page table, with a description")
        t.expect(
            bench.allocate(.nestParent) { $0.pageTableID = table }.answer, .errno(.notSupported),
            "of a page table, NEST_PARENT")
        t.expect(bench.space.destroy(table), .success, "DESTROY")
        t.expect(bench.space.destroy(bench.space.ioas), .success, "nothing else was made")
    },
    Case("F.4", "a page table for process address spaces", on: .cdev) { t in
        let bench = try t.pageTableBench()
        let (answer, table) = bench.allocate(.pasid)
        t.expect(answer, .success, "HWPT_ALLOC, PASID")
        t.expect(bench.device.attach(to: table).answer, .success, "ATTACH")
    },
    Case("F.4", "GET_DIRTY_BITMAP looks at the range before the page table", on: .cdev) { t in
        let bench = try t.pageTableBench()
        let table = try bench.table()
        let page = bench.space.page
        for (iova, length, size, errno, label) in [
            (1, page, page, .invalid, "an address that isn't whole pages"),
            (0, page + 1, page, .invalid, "a length that isn't"),
            (0, page, 0, .invalid, "pages of nothing"),
            (page, page, 2 * page, .invalid, "pages that are too long"),
            (.max - page + 1, 2 * page, page, .overflow, "a range that wraps"),
            (page, 0, page, .overflow, "an empty range"),
            (0, 0, page, .notSupported, "an empty range at 0"),
            (0, page, page, .notSupported, "a range"),
        ] as [(UInt64, UInt64, UInt64, Errno, String)] {
            t.expect(
                bench.iommufd.request(
                    .hwptGetDirtyBitmap,
                    HWPTGetDirtyBitmap(hwptID: table, iova: iova, length: length, pageSize: size)),
                .errno(errno), label)
        }
        for on in [true, false] {
            t.expect(
                bench.iommufd.request(
                    .hwptSetDirtyTracking, HWPTSetDirtyTracking(flags: on ? .enable : [], hwptID: table)),
                .errno(.notSupported), "SET_DIRTY_TRACKING \(on)")
        }
    },
]
