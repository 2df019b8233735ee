import LinuxSystem
import VFIOABI
import VFIOHost

/// C.1: which drivers there are, groups, and the two versions.
let windowGroupCases: [Case] = [
    Case("C.1", "both versions are told of, and no kind of type 1's", on: .spapr) { t in
        let bench = try t.windows()
        for number in [2, 7] as [UInt] {
            t.expect(bench.container.request(.checkExtension, number), .value(1), "\(number)")
        }
        for number in [1, 3, 4, 6, 8, 9, 10, 77] as [UInt] {
            t.expect(bench.container.request(.checkExtension, number), .value(0), "\(number)")
        }
        t.note(bench.container.request(.checkExtension, 5), "5: errors are isolated")
    },
    Case("C.1", "what is an extension and no kind of IOMMU can't be chosen", on: .spapr) { t in
        let bench = try t.windows()
        try t.require(bench.group.request(.groupUnsetContainer), "UNSET_CONTAINER")
        try t.require(t.put(bench.group, into: bench.container), "SET_CONTAINER")
        for number in [1, 3, 9, 77] as [UInt] {
            t.expect(bench.container.request(.setIOMMU, number), .errno(.noDevice), "\(number)")
        }
        let isolates = bench.container.request(.checkExtension, 5) == .value(1)
        t.expect(
            bench.container.request(.setIOMMU, 5), .errno(.invalid), "5: EEH",
            .when(!isolates, .errno(.noDevice), "errors aren't isolated here"))
        t.expect(bench.container.request(.setIOMMU, 2), .success, "2")
    },
    Case("C.1", "requests of the other version don't exist", on: .spapr) { t in
        let two = try t.windows()
        for request in [.iommuEnable, .iommuDisable, Request(index: 22), Request(index: 99)] as [Request] {
            t.expect(two.container.request(request), .errno(.noSuchRequest), "version 2: \(request.rawValue)")
        }
        two.group.close()
        two.container.close()
        let one = try t.windows(version: 1)
        for request in [
            .spaprRegisterMemory, .spaprUnregisterMemory, .spaprTCECreate, .spaprTCERemove,
        ] as [Request] {
            t.expect(one.container.request(request), .errno(.noSuchRequest), "version 1: \(request.rawValue)")
        }
    },
    Case("C.1", "version 1 has room for one group", on: .spapr) { t in
        let bench = try t.windows(version: 1)
        let other = try t.open(try t.otherDevice(than: bench.record).groupNode)
        t.expect(t.put(other, into: bench.container), .errno(.busy), "a second group")
        t.expect(bench.group.request(.groupUnsetContainer), .success, "the first leaves")
        t.expect(t.put(other, into: bench.container), .success, "without an IOMMU one joins")
        t.expect(t.put(bench.group, into: bench.container), .success, "and another")
        t.expect(bench.container.request(.setIOMMU, 2), .errno(.busy), "version 1 for both")
        t.expect(bench.container.request(.setIOMMU, 7), .success, "version 2 for both")
    },
    Case("C.1", "a group that joins version 2 shares the windows; the last one takes them along", on: .spapr)
    {
        t in
        let bench = try t.registeredWindows()
        t.expect(bench.map(0), .success, "map")
        let other = try t.open(try t.otherDevice(than: bench.record).groupNode)
        t.expect(t.put(other, into: bench.container), .success, "a second group")
        t.expect(bench.group.request(.groupUnsetContainer), .success, "the first leaves")
        t.expect(bench.unregister(pages: 32), .errno(.busy), "it is mapped still")
        t.expect(other.request(.groupUnsetContainer), .success, "the second leaves")
        t.expect(
            bench.container.request(.spaprTCEGetInfo, SPAPRTCEInfo()), .errno(.invalid), "no driver left")
    },
    Case("C.1", "GET_INFO: sizes, faults, and dynamic windows where there is room", on: .spapr) { t in
        let bench = try t.windows()
        t.expect(bench.container.request(.spaprTCEGetInfo, 8), .errno(.badAddress), "no memory there")
        for argsz in [0, 15] as [UInt32] {
            let info = SPAPRTCEInfo(argsz: argsz)
            t.expect(bench.container.request(.spaprTCEGetInfo, info), .errno(.invalid), "argsz \(argsz)")
        }
        for argsz in [16, 31, 32, 4096] as [UInt32] {
            var info = SPAPRTCEInfo(argsz: argsz)
            info.ddw.levels = 0xaaaa
            t.expect(bench.container.request(.spaprTCEGetInfo, &info), .success, "argsz \(argsz)")
            t.expect(info.argsz, equals: argsz, "argsz \(argsz) comes back")
            t.expect(info.flags.rawValue, equals: 1, "argsz \(argsz): flags")
            t.expect(
                (info.ddw.levels == 0xaaaa) == (argsz < 32), "argsz \(argsz): levels are written from 32 on")
        }
        let short = try t.buffer(atEndOfPage: 16)
        short.store(UInt32(16))
        t.expect(bench.container.request(.spaprTCEGetInfo, short), .success, "16 bytes at the end of a page")
        short.store(UInt32(32))
        t.expect(bench.container.request(.spaprTCEGetInfo, short), .errno(.badAddress), "32 there")
        t.expect(bench.size.nonzeroBitCount == 1, "the default window's length is a power of two")
        t.expect(bench.info.ddw.maxDynamicWindows >= 1, "there are dynamic windows")
        t.expect(bench.info.ddw.pageSizes & 1 << 12 != 0, "with pages of 4 KiB")
    },
    Case("C.1", "GET_INFO tells version 1 of no dynamic windows", on: .spapr) { t in
        let bench = try t.windows(version: 1)
        t.expect(bench.info.flags.rawValue, equals: 0, "flags")
        t.expect(bench.info.ddw == SPAPRTCEDDWInfo(), "all of it is 0")
    },
    Case("C.1", "version 1 maps while it is enabled; disabling leaves what is mapped", on: .spapr) { t in
        let bench = try t.windows(version: 1)
        t.expect(bench.map(0), .errno(.notPermitted), "MAP before")
        t.expect(bench.container.request(.iommuMapDMA, 8), .errno(.notPermitted), "MAP without an argument")
        t.expect(bench.unmap(0, size: bench.page), .errno(.notPermitted), "UNMAP before")
        t.expect(bench.container.request(.iommuDisable), .success, "DISABLE before")
        t.expect(bench.container.request(.iommuEnable), .success, "ENABLE")
        t.expect(bench.container.request(.iommuEnable), .errno(.busy), "twice")
        t.expect(bench.map(0), .success, "MAP")
        t.expect(bench.container.request(.iommuDisable), .success, "DISABLE")
        t.expect(bench.container.request(.iommuDisable), .success, "twice")
        t.expect(bench.map(0), .errno(.notPermitted), "MAP afterwards")
        t.expect(bench.container.request(.iommuEnable), .success, "ENABLE again")
        t.expect(bench.unmap(0, size: bench.page), .success, "UNMAP")
    },
    Case("C.1", "version 1 counts its whole window as locked memory", on: .spapr) { t in
        let bench = try t.windows(version: 1)
        let pages = bench.size / bench.page
        try t.lockingAtMost(pages: pages - 1) { _ in
            t.expect(bench.container.request(.iommuEnable), .errno(.noMemory), "a page too few")
        }
        try t.lockingAtMost(pages: pages) { _ in
            t.expect(bench.container.request(.iommuEnable), .success, "just enough")
            t.expect(bench.container.request(.iommuDisable), .success, "DISABLE")
            t.expect(bench.container.request(.iommuEnable), .success, "ENABLE again")
        }
    },
]

extension Trial {
    /// A device of another group.
    func otherDevice(than record: DeviceRecord) throws -> DeviceRecord {
        try device("a device of another group") { $0.group != record.group }
    }
}
