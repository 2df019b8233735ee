import LinuxSystem
import VFIOABI
import VFIOHost

/// B.5: UNMAP_DMA in a version 1 container, which goes by the starts of mappings.
let unmapVersion1Cases: [Case] = [
    Case("B.5", "version 1 removes a mapping whole whose start is covered") { t in
        let bench = try t.bench(.type1)
        t.expect(bench.map(0x10_0000, pages: 4), .success, "4 pages")
        t.expect(bench.unmapped(0x10_0000, pages: 1), equals: "4 pages", "its first page")
        t.expect(bench.map(0x10_0000, pages: 4), .success, "4 pages")
        t.expect(
            bench.unmapped(0xf_8000, pages: 9), equals: "4 pages", "a range that ends with its first page")
        t.expect(bench.available == 65535, "nothing is mapped")
    },
    Case("B.5", "version 1 leaves everything if the range begins inside a mapping") { t in
        let bench = try t.bench(.type1)
        t.expect(bench.map(0x10_0000, pages: 4), .success, "the first")
        t.expect(bench.map(0x10_4000, pages: 4), .success, "the second")
        t.expect(bench.unmapped(0x10_1000, pages: 1), equals: "0 pages", "a page inside")
        t.expect(
            bench.unmapped(0x10_3000, pages: 9), equals: "0 pages", "its last page, and all of the second")
        t.expect(bench.available == 65533, "both are mapped")
    },
    Case("B.5", "version 1 tells the size of whole mappings, which may be more than was asked for") { t in
        let bench = try t.bench(.type1)
        t.expect(bench.map(0x10_0000, pages: 2), .success, "the first")
        t.expect(bench.map(0x10_4000, pages: 8), .success, "the second")
        t.expect(bench.map(0x11_0000, pages: 1), .success, "the third")
        t.expect(
            bench.unmapped(0x10_0000, pages: 5), equals: "10 pages", "the first, and the second's first page")
        t.expect(bench.available == 65534, "the third is left")
    },
    Case("B.5", "version 1 tests requests as version 2 does") { t in
        let bench = try t.bench(.type1)
        t.expect(bench.unmap(1, size: bench.page).answer, .errno(.invalid), "misaligned")
        t.expect(bench.unmap(0, size: 0).answer, .errno(.invalid), "size 0")
        t.expect(
            bench.unmap(0 &- bench.page, size: 2 * bench.page).answer, .errno(.overflow), "wraps",
            .wrapIsInvalid)
        t.expect(bench.unmapped(0, pages: 4), equals: "0 pages", "nothing there")
        t.expect(bench.map(0x10_0000), .success, "map")
        t.expect(bench.map(0x10_0000), .errno(.exists), "map the same")
        t.expect(bench.map(0x20_0000, []), .errno(.invalid), "map without flags")
    },
    Case("B.5", "version 1 unmaps everything at once as well") { t in
        let bench = try t.bench(.type1)
        t.expect(bench.map(0, pages: 3), .success, "map")
        t.expect(bench.map(0x10_0000, pages: 3), .success, "map")
        t.expect(bench.unmap(0, size: bench.page, .all).answer, .errno(.invalid), "with a size")
        t.expect(bench.unmapped(0, pages: 0, .all), equals: "6 pages", "all")
    },
    Case("B.6", "version 1 marks whole mappings by their starts, too") { t in
        let bench = try t.bench(.type1)
        t.expect(bench.map(0x10_0000, pages: 4), .success, "map")
        t.expect(bench.unmapped(0x10_1000, pages: 1, .vaddr), equals: "0 pages", "a range that begins inside")
        t.expect(bench.unmapped(0x10_0000, pages: 1, .vaddr), equals: "4 pages", "its first page")
        t.expect(bench.map(0x10_0000, pages: 1, .vaddr), .errno(.invalid), "a new address for a part")
        t.expect(bench.map(0x10_0000, pages: 4, .vaddr), .success, "a new address")
    },
    Case("B.7", "version 1 knows nothing of dirty pages, whatever it is asked") { t in
        let bench = try t.bench(.type1)
        t.expect(bench.container.request(.iommuDirtyPages), .errno(.accessDenied), "null")
        t.expect(bench.dirty(.start), .errno(.accessDenied), "START")
        t.expect(bench.dirty(DirtyBitmapFlags(rawValue: 0x80), argsz: 0), .errno(.accessDenied), "nonsense")
        t.expect(
            bench.unmapDirty(0, size: bench.page, try t.words(1).bitmap).answer, .errno(.invalid),
            "unmapping with dirty bits")
    },
]
