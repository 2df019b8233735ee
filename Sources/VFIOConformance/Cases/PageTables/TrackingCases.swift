import LinuxSystem
import VFIOABI
import VFIOHost

/// F.4: the pages that devices write, through page tables that can note it.
let trackingCases: [Case] = [
    Case("F.4", "an IOMMU that can note writes says so", on: .cdev) { t in
        let bench = try t.trackingBench()
        var info = HWInfo(deviceID: bench.id)
        t.expect(bench.space.iommufd.request(.iommufdGetHWInfo, &info), .success, "GET_HW_INFO")
        t.expect(info.capabilities.contains(.dirtyTracking), "the capability")
        let (answer, table) = bench.allocate(.dirtyTracking)
        t.expect(answer, .success, "HWPT_ALLOC")
        t.expect(bench.attach(to: table), .success, "ATTACH")
        let plain = bench.allocate([])
        t.expect(bench.track(plain.id, true), .errno(.notSupported), "SET of a page table that can't")
        t.expect(bench.bits(plain.id), equals: "EOPNOTSUPP", "GET of it")
        t.expect(bench.attach(to: plain.id), .success, "ATTACH to it")
        t.expect(bench.attach(to: bench.space.ioas), .success, "ATTACH to the space")
        t.expect(bench.space.destroy(table), .success, "DESTROY")
    },
    Case("F.4", "one that can't doesn't use such page tables", on: .cdev) { t in
        let bench = try t.trackingBench(tracksDirtyPages: false)
        t.expect(bench.allocate(.dirtyTracking).answer, .errno(.notSupported), "HWPT_ALLOC")
        var info = HWInfo(deviceID: bench.id)
        t.expect(bench.space.iommufd.request(.iommufdGetHWInfo, &info), .success, "GET_HW_INFO")
        t.expect(!info.capabilities.contains(.dirtyTracking), "no capability")
    },
    Case("F.4", "written pages are told once", on: .cdev) { t in
        let bench = try t.trackingBench()
        let table = bench.allocate(.dirtyTracking).id
        t.expect(bench.attach(to: table), .success, "ATTACH")
        t.expect(bench.bits(table), equals: "0", "before it is on")
        t.expect(bench.track(table, true), .success, "SET")
        t.expect(bench.bits(table), equals: "0", "nothing yet")
        for page in [0, 2, 3, 7] as [UInt64] { try bench.write(page, through: table) }
        t.expect(bench.bits(table, keeping: true), equals: "10001101", "NO_CLEAR")
        t.expect(bench.bits(table), equals: "10001101", "once more, and for good")
        t.expect(bench.bits(table), equals: "0", "each is told once")
        try bench.write(1, through: table)
        t.expect(bench.bits(table, over: 0b1100), equals: "1110", "the user's bits stay")
        t.expect(bench.track(table, false), .success, "SET off")
        t.expect(bench.track(table, false), .success, "again")
        t.expect(bench.bits(table), equals: "0", "when it is off")
    },
    Case("F.4", "bits for larger pages, and for a part", on: .cdev) { t in
        let bench = try t.trackingBench()
        let table = bench.allocate(.dirtyTracking).id
        t.expect(bench.attach(to: table), .success, "ATTACH")
        t.expect(bench.track(table, true), .success, "SET")
        for page in [0, 1, 5] as [UInt64] { try bench.write(page, through: table) }
        t.expect(
            bench.bits(table, page: 2 * bench.space.page, keeping: true), equals: "101", "twice as large")
        t.expect(
            bench.bits(table, page: 8 * bench.space.page, keeping: true), equals: "1", "all of it")
        t.expect(bench.bits(table, from: 4), equals: "10", "from the fifth page on")
        t.expect(bench.bits(table), equals: "11", "the rest is still there")
    },
    Case("F.4", "starting again forgets", on: .cdev) { t in
        let bench = try t.trackingBench()
        let table = bench.allocate(.dirtyTracking).id
        t.expect(bench.attach(to: table), .success, "ATTACH")
        t.expect(bench.track(table, true), .success, "SET")
        try bench.write(2, through: table)
        t.expect(bench.track(table, true), .success, "SET again")
        t.expect(bench.bits(table), equals: "0", "forgotten")
        try bench.write(3, through: table)
        t.expect(bench.track(table, false), .success, "SET off")
        t.expect(bench.track(table, true), .success, "SET on")
        t.expect(bench.bits(table), equals: "0", "forgotten")
    },
    Case("F.4", "bits go with their mapping, and end where there is none", on: .cdev) { t in
        let bench = try t.trackingBench()
        let table = bench.allocate(.dirtyTracking).id
        t.expect(bench.attach(to: table), .success, "ATTACH")
        t.expect(bench.track(table, true), .success, "SET")
        let page = bench.space.page
        let behind = TrackingBench.iova + 4 * page
        t.expect(
            bench.space.unmapped(TrackingBench.iova, bytes: 8 * page), equals: "32768 bytes", "UNMAP")
        t.expect(bench.bits(table), equals: "0", "GET where nothing is mapped")
        t.expect(bench.space.map(TrackingBench.iova, bytes: 4 * page), .success, "MAP the first half")
        t.expect(bench.space.map(behind, bytes: 4 * page), .success, "MAP the second half")
        for page in [1, 6] as [UInt64] { try bench.write(page, through: table) }
        t.expect(bench.bits(table, keeping: true), equals: "1000010", "across the two")
        t.expect(
            bench.space.unmapped(behind, bytes: 4 * page), equals: "16384 bytes", "UNMAP the second half")
        t.expect(bench.space.map(behind, bytes: 4 * page), .success, "MAP it again")
        t.expect(bench.bits(table, keeping: true), equals: "10", "its bits have gone")
        try bench.write(6, through: table)
        t.expect(
            bench.space.unmapped(TrackingBench.iova, bytes: 4 * page), equals: "16384 bytes",
            "UNMAP the first half")
        t.expect(bench.bits(table), equals: "0", "nothing behind a hole")
        t.expect(bench.bits(table, from: 4), equals: "100", "asked for alone")
    },
    Case("F.4", "a bitmap that can't be written", on: .cdev) { t in
        let bench = try t.trackingBench()
        let table = bench.allocate(.dirtyTracking).id
        t.expect(bench.attach(to: table), .success, "ATTACH")
        t.expect(bench.track(table, true), .success, "SET")
        for page in [nil, 2] as [UInt64?] {
            if let page { try bench.write(page, through: table) }
            for address in [0x1000, .max - 7] as [UInt64] {
                t.expect(
                    bench.space.iommufd.request(
                        .hwptGetDirtyBitmap,
                        HWPTGetDirtyBitmap(
                            hwptID: table, flags: .noClear, iova: TrackingBench.iova,
                            length: 8 * bench.space.page, pageSize: bench.space.page, data: address)),
                    .success, "GET at \(hex(address)), \(page == nil ? "no page" : "a page") written")
            }
        }
    },
]

private func hex(_ number: UInt64) -> String { "0x" + String(number, radix: 16) }
