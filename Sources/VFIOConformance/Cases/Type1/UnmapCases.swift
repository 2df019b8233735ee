import LinuxSystem
import VFIOABI
import VFIOHost

/// B.5: UNMAP_DMA in a version 2 container.
let unmapCases: [Case] = [
    Case("B.5", "UNMAP_DMA reads all 24 bytes before it looks at any") { t in
        let bench = try t.bench()
        t.expect(bench.container.request(.iommuUnmapDMA), .errno(.badAddress), "null")
        let short = try t.buffer(atEndOfPage: 23)
        t.expect(bench.container.request(.iommuUnmapDMA, short), .errno(.badAddress), "23 bytes, argsz 0")
        let full = try t.buffer(atEndOfPage: 24)
        for (argsz, answer) in [
            (0, .errno(.invalid)), (23, .errno(.invalid)), (24, .success), (.max, .success),
        ]
            as [(UInt32, Answer)]
        {
            full.store(DMAUnmap(argsz: argsz, iova: 0, size: bench.page))
            t.expect(bench.container.request(.iommuUnmapDMA, full), answer, "argsz \(argsz)")
        }
    },
    Case("B.5", "flags must be known, and those that contradict each other are refused") { t in
        let bench = try t.bench()
        for flags in [8, 0x10, 0x8000_0000, 3, 5, 7] as [UInt32] {
            t.expect(
                bench.unmap(0, size: bench.page, DMAUnmapFlags(rawValue: flags)).answer, .errno(.invalid),
                "flags \(flags)")
        }
    },
    Case("B.5", "a size of 0, and a range that isn't made of pages, are EINVAL") { t in
        let bench = try t.bench()
        for (iova, size) in [(0, 0), (0x1000, 0), (1, 4096), (0, 4095), (0, 4097), (0x800, 0x800)]
            as [(UInt64, UInt64)]
        {
            t.expect(bench.unmap(iova, size: size).answer, .errno(.invalid), "iova \(iova), size \(size)")
        }
    },
    Case("B.5", "a range that wraps is told after alignment") { t in
        let bench = try t.bench()
        let last = 0 &- bench.page
        t.expect(bench.unmap(last, size: 2 * bench.page).answer, .errno(.overflow), "wraps", .wrapIsInvalid)
        t.expect(bench.unmap(last + 1, size: 2 * bench.page).answer, .errno(.invalid), "and is misaligned")
        t.expect(bench.unmap(last, size: 2 * bench.page - 1).answer, .errno(.invalid), "its size isn't pages")
        t.expect(bench.unmap(last, size: bench.page).answer, .success, "the last page doesn't wrap")
        t.expect(bench.unmap(1 << 63, size: 1 << 63).answer, .success, "the upper half doesn't wrap")
    },
    Case("B.5", "ranges far larger than what is mapped are fine") { t in
        let bench = try t.bench()
        t.expect(bench.map(0x10_0000, pages: 2), .success, "map")
        t.expect(bench.unmap(0, size: 0 &- bench.page).answer, .success, "all but the last page")
        t.expect(bench.map(0x10_0000, pages: 2), .success, "it is gone: map")
        t.expect(bench.unmapped(0, pages: 1 << 51), equals: "2 pages", "the lower half")
    },
    Case("B.5", "where nothing is mapped there is nothing to unmap, and that is fine") { t in
        let bench = try t.bench()
        t.expect(bench.unmapped(0x10_0000, pages: 4), equals: "0 pages", "before anything was mapped")
        t.expect(bench.map(0x10_0000), .success, "map")
        t.expect(bench.unmapped(0x20_0000, pages: 4), equals: "0 pages", "elsewhere")
        t.expect(bench.unmapped(0x10_0000, pages: 1), equals: "1 pages", "there")
        t.expect(bench.unmapped(0x10_0000, pages: 1), equals: "0 pages", "again")
    },
    Case("B.5", "everything inside a range goes, holes or not, and the size is what went") { t in
        let bench = try t.bench()
        t.expect(bench.map(0x10_0000, pages: 2), .success, "2 pages")
        t.expect(bench.map(0x10_4000, pages: 3), .success, "3 pages")
        t.expect(bench.map(0x11_0000), .success, "1 page beyond")
        t.expect(bench.unmapped(0xf_f000, pages: 9), equals: "5 pages", "around the first two")
        t.expect(bench.unmapped(0, pages: 0x1000), equals: "1 pages", "what is left")
    },
    Case("B.5", "a range that would cut a mapping is refused, and nothing is unmapped") { t in
        let bench = try t.bench()
        t.expect(bench.map(0x10_0000, pages: 4), .success, "the first")
        t.expect(bench.map(0x10_8000, pages: 4), .success, "the second")
        for (page, pages, label) in [
            (1, 3, "begins inside"), (0, 3, "ends inside"), (1, 2, "lies inside"), (1, 8, "both ends inside"),
            (0, 10, "all of the first, a part of the second"),
            (2, 10, "a part of the first, all of the second"),
        ] as [(UInt64, UInt64, String)] {
            t.expect(bench.unmapped(0x10_0000 + page * bench.page, pages: pages), equals: "EINVAL", label)
        }
        t.expect(bench.unmapped(0x10_0000, pages: 12), equals: "8 pages", "both are still there")
    },
    Case("B.5", "an error leaves the size alone") { t in
        let bench = try t.bench()
        t.expect(bench.map(0x10_0000, pages: 4), .success, "map")
        let (cut, size) = bench.unmap(0x10_0000, size: bench.page)
        t.expect(cut, .errno(.invalid), "a cut")
        t.expect(size == bench.page, "size is as it was")
        let (odd, oddSize) = bench.unmap(0x10_0000, size: 12345)
        t.expect(odd, .errno(.invalid), "no pages")
        t.expect(oddSize, equals: 12345, "size")
    },
    Case("B.5", "if the answer can't be written back, it is EFAULT and unmapped all the same") { t in
        let bench = try t.bench()
        let pages = try t.memory(pages: 1)
        pages.window.store32(0, 24)
        pages.window.store64(8, 0x10_0000)
        pages.window.store64(16, bench.page)
        t.expect(bench.map(0x10_0000), .success, "map")
        try pages.protect(.read)
        t.expect(
            bench.container.request(.iommuUnmapDMA, pages.window.address.rawValue), .errno(.badAddress),
            "the structure is read-only")
        t.expect(bench.map(0x10_0000), .success, "it is unmapped: map")
    },
    Case("B.5", "ALL takes neither an address nor a size, and unmaps everything") { t in
        let bench = try t.bench()
        t.expect(bench.unmapped(0, pages: 0, .all), equals: "0 pages", "nothing is mapped")
        t.expect(bench.map(0, pages: 2), .success, "map at 0")
        t.expect(bench.map(0x4000_0000, pages: 3), .success, "map far up")
        t.expect(bench.unmap(0, size: bench.page, .all).answer, .errno(.invalid), "with a size")
        t.expect(bench.unmap(bench.page, size: 0, .all).answer, .errno(.invalid), "with an address")
        t.expect(bench.unmap(1, size: 0, .all).answer, .errno(.invalid), "with an odd address")
        t.expect(bench.unmapped(0, pages: 0, .all), equals: "5 pages", "all")
        t.expect(bench.unmapped(0, pages: 0, .all), equals: "0 pages", "again")
        t.expect(bench.available == 65535, "nothing is mapped")
    },
    Case("B.5", "addresses can be mapped differently once they are free") { t in
        let bench = try t.bench()
        t.expect(bench.map(0x10_0000, pages: 8), .success, "8 pages")
        t.expect(bench.unmapped(0x10_0000, pages: 8), equals: "8 pages", "unmap")
        t.expect(bench.map(0x10_2000, pages: 2, from: 3, .read), .success, "2 of them")
        t.expect(bench.map(0x10_0000, pages: 2), .success, "2 before")
        t.expect(bench.map(0x10_4000, pages: 4), .success, "4 behind")
        t.expect(bench.unmapped(0x10_0000, pages: 8), equals: "8 pages", "unmap")
    },
    Case("B.5", "what the process itself has unmapped can still be unmapped") { t in
        let bench = try t.bench()
        do {
            let gone = try UserPages(pages: 2)
            t.expect(
                bench.map(DMAMap(flags: .read, vaddr: gone.vaddr, iova: 0x10_0000, size: gone.size)),
                .success,
                "map")
        }
        t.expect(bench.unmapped(0x10_0000, pages: 2), equals: "2 pages", "unmap")
    },
    Case("B.5", "unmapping with dirty bits wants a bitmap that makes sense, before it looks at the range") {
        t in
        let bench = try t.bench()
        let words = try t.words(1)
        let request = DMAUnmapWithBitmap(iova: 1, size: bench.page, bitmap: words.bitmap)
        let buffer = try t.buffer(atEndOfPage: 40)
        var short = request
        short.unmap.argsz = 47
        t.expect(bench.container.request(.iommuUnmapDMA, short), .errno(.invalid), "argsz 47")
        buffer.store(request.unmap)
        buffer.store(UInt32(48))
        t.expect(bench.container.request(.iommuUnmapDMA, buffer), .errno(.badAddress), "40 of 48 bytes")
        for (bitmap, label) in [
            (Bitmap(pageSize: bench.page, size: 0, data: words.data), "no bytes"),
            (Bitmap(pageSize: bench.page, size: 7, data: words.data), "7 bytes"),
            (Bitmap(pageSize: bench.page, size: (256 << 20) + 1, data: words.data), "more than 256 MiB"),
            (Bitmap(pageSize: bench.page, size: 8, data: .max - 3), "a pointer that wraps"),
            (Bitmap(pageSize: bench.page, size: 8, data: 1 << 63), "a pointer into the kernel's half"),
        ] {
            t.expect(bench.unmapDirty(0, size: bench.page, bitmap).answer, .errno(.invalid), label)
        }
        t.expect(bench.unmapDirty(0, size: 0, words.bitmap).answer, .errno(.invalid), "size 0")
        t.expect(
            bench.unmapDirty(0, size: 65 * bench.page, words.bitmap).answer, .errno(.invalid),
            "65 pages in 8 bytes")
    },
    Case("B.5", "dirty bits can be asked for only while they are tracked, and in the smallest page size") {
        t in
        let bench = try t.bench()
        let words = try t.words(1)
        t.expect(bench.map(0), .success, "map")
        t.expect(bench.unmapDirty(0, size: bench.page, words.bitmap).answer, .errno(.invalid), "not tracked")
        t.expect(bench.dirty(.start), .success, "START")
        let large = Bitmap(pageSize: 2 * bench.page, size: 8, data: words.data)
        t.expect(bench.unmapDirty(0, size: 2 * bench.page, large).answer, .errno(.invalid), "larger pages")
        let odd = Bitmap(pageSize: 3 * bench.page, size: 8, data: words.data)
        t.expect(bench.unmapDirty(0, size: bench.page, odd).answer, .errno(.invalid), "no power of two")
        let small = Bitmap(pageSize: bench.page / 2, size: 8, data: words.data)
        t.expect(bench.unmapDirty(0, size: bench.page, small).answer, .errno(.invalid), "smaller pages")
        t.expect(bench.unmapDirty(0, size: bench.page, words.bitmap).answer, .success, "the right size")
        t.expect(bench.dirty(.stop), .success, "STOP")
    },
]
