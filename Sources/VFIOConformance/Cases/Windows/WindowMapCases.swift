import LinuxSystem
import VFIOABI
import VFIOHost

/// C.1: mapping into windows, and registering memory for it.
let windowMapCases: [Case] = [
    Case("C.1", "MAP_DMA: what is tested, and in which order", on: .spapr) { t in
        let bench = try t.enabledWindow()
        let outside = bench.start + bench.size
        func map(
            _ iova: UInt64, _ size: UInt64, vaddr: UInt64? = nil, flags: UInt32 = 3, argsz: UInt32 = 32
        ) -> Answer {
            bench.map(
                DMAMap(
                    argsz: argsz, flags: DMAMapFlags(rawValue: flags), vaddr: vaddr ?? bench.memory.vaddr,
                    iova: iova, size: size))
        }
        t.expect(bench.container.request(.iommuMapDMA, 8), .errno(.badAddress), "no memory there")
        t.expect(map(outside, 1, flags: 0, argsz: 31), .errno(.invalid), "argsz 31")
        t.expect(map(outside, 1, flags: 4), .errno(.invalid), "an unknown flag")
        t.expect(map(outside, 1, flags: 0), .errno(.noSuchAddress), "outside all windows")
        t.expect(map(.max, 1), .errno(.noSuchAddress), "the last address")
        t.expect(map(bench.start, 1, flags: 0), .errno(.invalid), "an odd size")
        t.expect(map(bench.start, bench.page, vaddr: 1), .errno(.invalid), "odd memory")
        t.expect(map(bench.start + 1, bench.page, flags: 0), .errno(.invalid), "neither reading nor writing")
        t.expect(map(bench.start + 1, bench.page), .value(1), "an odd address", .truthIsRefused)
        t.expect(map(bench.start, bench.page, vaddr: bench.page), .errno(.badAddress), "no memory to map")
        t.expect(map(bench.start, 0), .success, "nothing")
        t.expect(map(bench.start, bench.page, flags: 1), .success, "for reading")
        t.expect(map(bench.start, bench.page, flags: 2), .success, "for writing, in its place")
        t.expect(map(bench.start, bench.page, argsz: 4096), .success, "argsz 4096")
    },
    Case("C.1", "UNMAP_DMA: what is tested, and in which order; empty places and parts are fine", on: .spapr)
    {
        t in
        let bench = try t.enabledWindow()
        func unmap(_ iova: UInt64, _ size: UInt64, flags: UInt32 = 0, argsz: UInt32 = 24) -> Answer {
            bench.container.request(
                .iommuUnmapDMA,
                DMAUnmap(argsz: argsz, flags: DMAUnmapFlags(rawValue: flags), iova: iova, size: size))
        }
        let outside = bench.start + bench.size
        t.expect(bench.container.request(.iommuUnmapDMA, 8), .errno(.badAddress), "no memory there")
        t.expect(unmap(outside, 1, argsz: 23), .errno(.invalid), "argsz 23")
        for flags in [1, 2, 4] as [UInt32] {
            t.expect(unmap(outside, 1, flags: flags), .errno(.invalid), "flags \(flags)")
        }
        t.expect(unmap(outside, 1), .errno(.noSuchAddress), "outside all windows")
        t.expect(unmap(bench.start, 1), .errno(.invalid), "an odd size")
        t.expect(unmap(bench.start + 1, bench.page), .value(1), "an odd address", .truthIsRefused)
        t.expect(unmap(outside - bench.page, 2 * bench.page), .value(1), "beyond the window", .truthIsRefused)
        t.expect(unmap(bench.start, bench.size), .success, "all of the empty window")
        t.expect(bench.map(0, pages: 4), .success, "map")
        t.expect(unmap(bench.start + bench.page, bench.page), .success, "a page of it")
        var request = DMAUnmap(iova: bench.start, size: 16 * bench.page)
        t.expect(bench.container.request(.iommuUnmapDMA, &request), .success, "more than that")
        t.expect(request.size, equals: 16 * bench.page, "the size comes back as it was")
    },
    Case("C.1", "REGISTER_MEMORY: what is tested, and in which order", on: .spapr) { t in
        let bench = try t.windows()
        func register(_ vaddr: UInt64, _ size: UInt64, flags: UInt32 = 0, argsz: UInt32 = 24) -> Answer {
            bench.container.request(
                .spaprRegisterMemory,
                SPAPRRegisterMemory(argsz: argsz, flags: flags, vaddr: vaddr, size: size))
        }
        let (base, page) = (bench.memory.vaddr, bench.page)
        t.expect(bench.container.request(.spaprRegisterMemory, 8), .errno(.badAddress), "no memory there")
        t.expect(register(1, 1, flags: 1, argsz: 23), .errno(.invalid), "argsz 23")
        t.expect(register(base, page, flags: 1), .errno(.invalid), "a flag")
        t.expect(register(base + 1, page), .errno(.invalid), "an odd address")
        t.expect(register(base, 1), .errno(.invalid), "an odd size")
        t.expect(register(0 &- page, page), .errno(.invalid), "a sum that wraps")
        t.expect(register(base, 0), .errno(.noMemory), "no pages")
        t.expect(register(page, page), .errno(.badAddress), "no memory to register")
        t.expect(bench.map(0), .errno(.notPermitted), "MAP before anything is registered")
        t.expect(bench.register(4, pages: 8), .success, "8 pages")
        t.expect(bench.register(4, pages: 8), .errno(.busy), "again")
        for (first, pages) in [(3, 2), (5, 1), (11, 2), (4, 7), (0, 32)] {
            t.expect(bench.register(first, pages: pages), .errno(.invalid), "\(pages) pages from \(first)")
        }
        t.expect(bench.register(12, pages: 1), .success, "its neighbour")
    },
    Case("C.1", "UNREGISTER_MEMORY is for exactly what was registered, and isn't mapped", on: .spapr) { t in
        let bench = try t.windows()
        t.expect(
            bench.container.request(.spaprUnregisterMemory, 8), .errno(.notPermitted), "nobody's container")
        t.expect(bench.register(4, pages: 8), .success, "register")
        t.expect(bench.container.request(.spaprUnregisterMemory, 8), .errno(.badAddress), "no memory there")
        let short = SPAPRRegisterMemory(argsz: 23)
        t.expect(bench.container.request(.spaprUnregisterMemory, short), .errno(.invalid), "argsz 23")
        let flagged = SPAPRRegisterMemory(flags: 1)
        t.expect(bench.container.request(.spaprUnregisterMemory, flagged), .errno(.invalid), "a flag")
        let odd = SPAPRRegisterMemory(vaddr: 1, size: bench.page)
        t.expect(bench.container.request(.spaprUnregisterMemory, odd), .errno(.invalid), "an odd address")
        t.expect(bench.unregister(4, pages: 7), .errno(.noSuchEntry), "a part")
        t.expect(bench.unregister(0, pages: 8), .errno(.noSuchEntry), "something else")
        t.expect(bench.map(0, from: 5), .success, "map")
        t.expect(bench.unregister(4, pages: 8), .errno(.busy), "while it is mapped")
        t.expect(bench.unmap(0, size: bench.page), .success, "unmap")
        t.expect(bench.unregister(4, pages: 8), .success, "afterwards")
        t.expect(bench.unregister(4, pages: 8), .errno(.noSuchEntry), "twice")
        t.expect(bench.map(0, from: 5), .errno(.invalid), "MAP of what isn't registered any more")
    },
    Case("C.1", "version 2 maps what lies in registered memory page by page", on: .spapr) { t in
        let bench = try t.windows()
        t.expect(bench.register(4, pages: 4), .success, "register 4 to 7")
        t.expect(bench.register(8, pages: 4), .success, "register 8 to 11")
        t.expect(bench.map(0, pages: 8, from: 4), .success, "all of it")
        t.expect(bench.map(0x10_0000, pages: 2, from: 3), .errno(.invalid), "from 3 on")
        t.expect(bench.map(0x10_0000, pages: 2, from: 11), .errno(.invalid), "beyond 11")
        t.expect(bench.unmap(0, size: 4 * bench.page), .success, "unmap the first half")
        t.expect(bench.unregister(4, pages: 4), .success, "unregister it")
        t.expect(bench.unregister(8, pages: 4), .errno(.busy), "unregister the second")
        t.expect(
            bench.map(4 * bench.page, pages: 5, from: 8), .errno(.invalid), "its place, and a page too many")
        t.expect(bench.unregister(8, pages: 4), .success, "the error emptied the place")
    },
    Case("C.1", "what is registered counts as locked once, and mapping costs nothing", on: .spapr) { t in
        let bench = try t.windows()
        t.expect(bench.remove(bench.start), .success, "remove the default window")
        try t.lockingAtMost(pages: 8) { _ in
            t.expect(bench.register(pages: 9), .errno(.noMemory), "9 pages of 8")
            t.expect(bench.register(pages: 8), .success, "8 of 8")
            t.expect(bench.create().answer, .errno(.noMemory), "a window's table on top")
            t.expect(bench.unregister(pages: 8), .success, "unregister")
            t.expect(bench.create(size: 1 << 16).answer, .success, "a window's table")
            t.expect(bench.register(pages: 8), .errno(.noMemory), "8 pages on top")
        }
        t.expect(bench.register(pages: 4), .success, "without the limit")
        try t.lockingAtMost(pages: 0) { _ in
            t.expect(
                bench.map(DMAMap(flags: .read, vaddr: bench.memory.vaddr, iova: 0, size: 4 * bench.page)),
                .success, "MAP")
        }
    },
]
