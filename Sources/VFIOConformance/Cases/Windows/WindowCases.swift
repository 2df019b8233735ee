import LinuxSystem
import VFIOABI
import VFIOHost

/// C: DMA windows of sPAPR IOMMUs, and errors that are isolated.
let windowCases: [Case] = [windowGroupCases, dynamicWindowCases, windowMapCases, errorCases].flatMap { $0 }

/// C.1: windows come and go.
let dynamicWindowCases: [Case] = [
    Case("C.1", "TCE_CREATE: what is tested, and in which order", on: .spapr) { t in
        let bench = try t.windows()
        t.expect(bench.container.request(.spaprTCECreate, 8), .errno(.badAddress), "no memory there")
        t.expect(
            bench.container.request(.spaprTCECreate, SPAPRTCECreate(argsz: 39, flags: 1)), .errno(.invalid),
            "argsz 39")
        t.expect(
            bench.container.request(.spaprTCECreate, SPAPRTCECreate(flags: 1)), .errno(.invalid), "a flag")
        t.expect(bench.remove(bench.start), .success, "without the default window")
        let sizes = bench.info.ddw.pageSizes
        var unknown: UInt32 = 12
        while unknown < 63 && sizes >> UInt64(unknown) & 1 == 1 { unknown += 1 }
        t.expect(bench.create(shift: unknown).answer, .errno(.invalid), "pages of no such size")
        t.expect(bench.create(shift: 11).answer, .errno(.invalid), "pages of 2 KiB")
        t.expect(bench.create(levels: 0).answer, .errno(.invalid), "no levels")
        t.expect(
            bench.create(levels: bench.info.ddw.levels + 1).answer, .errno(.invalid), "a level too many")
        t.expect(bench.create(size: 0).answer, .errno(.invalid), "no size")
        t.expect(bench.create(size: 3 << 20).answer, .errno(.invalid), "3 MiB")
        let (answer, start) = bench.create()
        t.expect(answer, .success, "1 MiB")
        t.expect(start == bench.start, "it takes the default window's place")
    },
    Case("C.1", "as many windows as were told of, and the default one is among them", on: .spapr) { t in
        let bench = try t.registeredWindows()
        t.expect(bench.map(0), .success, "the default window comes when it is needed")
        let count = bench.info.ddw.maxDynamicWindows
        guard count == 2 else { throw t.skip("it is about two windows, and there are \(count)") }
        let (answer, start) = bench.create()
        t.expect(answer, .success, "a second one")
        t.expect(start != bench.start, "is elsewhere")
        t.expect(bench.create().answer, .errno(.noSpace), "a third one")
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: bench.memory.vaddr, iova: start, size: bench.page)),
            .success, "MAP in the second")
        t.expect(
            bench.map(
                DMAMap(flags: .read, vaddr: bench.memory.vaddr, iova: start + 1 << 20, size: bench.page)),
            .errno(.noSuchAddress), "MAP behind it")
        t.expect(bench.remove(start), .success, "remove the second")
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: bench.memory.vaddr, iova: start, size: bench.page)),
            .errno(.noSuchAddress), "MAP afterwards")
    },
    Case("C.1", "a window that is made first makes the default one, too", on: .spapr) { t in
        let bench = try t.windows()
        guard bench.info.ddw.maxDynamicWindows == 2 else { throw t.skip("it is about two windows") }
        let (answer, start) = bench.create()
        t.expect(answer, .success, "a window")
        t.expect(start != bench.start, "isn't in the default one's place")
        t.expect(bench.create().answer, .errno(.noSpace), "both places are taken")
        t.expect(bench.remove(bench.start), .success, "remove the default one")
        t.expect(bench.create().start == bench.start, "its place is free")
    },
    Case("C.1", "TCE_REMOVE: what is tested, and in which order; any address inside will do", on: .spapr) {
        t in
        let bench = try t.registeredWindows()
        t.expect(bench.container.request(.spaprTCERemove, 8), .errno(.badAddress), "no memory there")
        t.expect(
            bench.container.request(.spaprTCERemove, SPAPRTCERemove(argsz: 15, flags: 1)), .errno(.invalid),
            "argsz 15")
        t.expect(
            bench.container.request(.spaprTCERemove, SPAPRTCERemove(flags: 1)), .errno(.invalid), "a flag")
        t.expect(bench.map(0), .success, "the default window comes")
        t.expect(bench.remove(bench.start + bench.size), .errno(.invalid), "outside")
        t.expect(bench.remove(bench.start + 5), .success, "inside")
        t.expect(bench.remove(bench.start), .errno(.invalid), "again")
        t.expect(bench.map(0), .errno(.noSuchAddress), "it doesn't come back by itself")
        t.expect(bench.unregister(pages: 32), .success, "its mappings went with it")
    },
    Case("C.1", "a default window that nobody needed is removed all the same", on: .spapr) { t in
        let bench = try t.registeredWindows()
        t.expect(bench.remove(bench.start), .success, "before it is there")
        t.expect(bench.map(0), .errno(.noSuchAddress), "MAP")
        t.expect(bench.remove(bench.start), .errno(.invalid), "once more")
    },
    Case("C.1", "each window has pages of its own, which memory and places must be multiples of", on: .spapr)
    {
        t in
        let bench = try t.windows(pages: 64)
        guard bench.info.ddw.pageSizes & 1 << 16 != 0, bench.page < 1 << 16 else {
            throw t.skip("it needs windows with pages of 64 KiB on a processor with smaller ones")
        }
        t.expect(bench.remove(bench.start), .success, "remove the default window")
        let start = bench.create(shift: 16, size: 1 << 24).start
        let vaddr = (bench.memory.vaddr + 0xffff) & ~0xffff
        func register(_ size: UInt64, _ request: Request = .spaprRegisterMemory) -> Answer {
            bench.container.request(request, SPAPRRegisterMemory(vaddr: vaddr, size: size))
        }
        func map(_ iova: UInt64, _ vaddr: UInt64, _ size: UInt64) -> Answer {
            bench.map(DMAMap(flags: .read, vaddr: vaddr, iova: start + iova, size: size))
        }
        t.expect(register(0x11000), .success, "register 68 KiB")
        t.expect(map(0, vaddr, 0x10000), .errno(.invalid), "MAP of memory that isn't made of such pages")
        t.expect(register(0x11000, .spaprUnregisterMemory), .success, "unregister")
        t.expect(register(0x20000), .success, "register 128 KiB")
        t.expect(map(0, vaddr, 0x1000), .errno(.invalid), "a small page")
        t.expect(map(0, vaddr + 0x1000, 0x10000), .errno(.invalid), "memory in between")
        t.expect(map(0x1000, vaddr, 0x10000), .value(1), "a place in between", .truthIsRefused)
        // Memory that isn't made of large pages can't be mapped by them: the hardware would reach beyond.
        t.expect(
            map(0, vaddr, 0x20000), .errno(.invalid), "two pages",
            .software(.success, "memory of a process counts as contiguous here"))
    },
]
