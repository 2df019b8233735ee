import LinuxSystem
import VFIOABI
import VFIOHost

/// B.7 and B.8: what DIRTY_PAGES tests.
let dirtyRequestCases: [Case] = [
    Case("B.7", "DIRTY_PAGES reads 8 bytes before it looks at any") { t in
        let bench = try t.bench()
        t.expect(bench.container.request(.iommuDirtyPages), .errno(.badAddress), "null")
        let short = try t.buffer(atEndOfPage: 7)
        t.expect(bench.container.request(.iommuDirtyPages, short), .errno(.badAddress), "7 bytes")
        t.expect(bench.dirty(.start, argsz: 7), .errno(.invalid), "argsz 7")
        let full = try t.buffer(atEndOfPage: 8)
        full.store(DirtyBitmap(argsz: 8, flags: .start))
        t.expect(bench.container.request(.iommuDirtyPages, full), .success, "START at the page's end")
        full.store(DirtyBitmap(argsz: .max, flags: .stop))
        t.expect(bench.container.request(.iommuDirtyPages, full), .success, "STOP, argsz 2^32 - 1")
    },
    Case("B.7", "DIRTY_PAGES takes one flag, and one that it knows") { t in
        let bench = try t.bench()
        for flags in [3, 5, 6, 7, 8, 9, 0x8000_0000] as [UInt32] {
            t.expect(
                bench.dirty(DirtyBitmapFlags(rawValue: flags), argsz: 48), .errno(.invalid), "flags \(flags)")
        }
    },
    Case("B.7", "tracking can be started and stopped as often as one likes") { t in
        let bench = try t.bench()
        t.expect(bench.dirty(.stop), .success, "STOP before START")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(bench.dirty(.start), .success, "START again")
        t.expect(bench.dirty(.stop), .success, "STOP")
        t.expect(bench.dirty(.stop), .success, "STOP again")
    },
    Case("B.7", "bits can be asked for only between START and STOP") { t in
        let bench = try t.bench()
        let words = try t.words(1)
        t.expect(bench.map(0), .success, "map")
        t.expect(bench.getDirty(0, size: bench.page, words.bitmap), .errno(.invalid), "before START")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(bench.getDirty(0, size: bench.page, words.bitmap), .success, "after START")
        t.expect(bench.dirty(.stop), .success, "STOP")
        t.expect(bench.getDirty(0, size: bench.page, words.bitmap), .errno(.invalid), "after STOP")
    },
    Case("B.7", "GET_BITMAP wants 48 bytes, all of them readable") { t in
        let bench = try t.bench()
        let words = try t.words(1)
        t.expect(bench.dirty(.start), .success, "START")
        var request = DirtyBitmapWithGet(iova: 0, size: bench.page, bitmap: words.bitmap)
        for argsz in [8, 47] as [UInt32] {
            request.request.argsz = argsz
            t.expect(
                bench.container.request(.iommuDirtyPages, request), .errno(.invalid), "argsz \(argsz)")
        }
        let buffer = try t.buffer(atEndOfPage: 40)
        buffer.store(DirtyBitmap(argsz: 48, flags: .getBitmap))
        t.expect(bench.container.request(.iommuDirtyPages, buffer), .errno(.badAddress), "40 of 48 bytes")
        request.request.argsz = 48
        t.expect(bench.container.request(.iommuDirtyPages, request), .success, "argsz 48")
    },
    Case("B.7", "GET_BITMAP tests size, wrap and pointer before it asks whether anything is tracked") { t in
        let bench = try t.bench()
        let words = try t.words(1)
        let last = 0 &- bench.page
        t.expect(bench.getDirty(0, size: 0, words.bitmap), .errno(.invalid), "size 0")
        t.expect(
            bench.getDirty(last, size: 2 * bench.page, words.bitmap), .errno(.overflow), "wraps",
            .wrapIsInvalid)
        t.expect(
            bench.getDirty(last + 1, size: 2 * bench.page, Bitmap()), .errno(.overflow), "wraps, no bitmap",
            .wrapIsInvalid)
        t.expect(bench.getDirty(0, size: bench.page, words.bitmap), .errno(.invalid), "not tracked")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(
            bench.getDirty(last, size: bench.page, words.bitmap), .success, "the last page doesn't wrap",
            .before(6, 18, .errno(.invalid), "6.18 takes ranges that end with the address space"))
    },
    Case("B.7", "GET_BITMAP wants whole pages of the smallest size") { t in
        let bench = try t.bench()
        let words = try t.words(1)
        t.expect(bench.dirty(.start), .success, "START")
        func get(_ pageSize: UInt64, _ iova: UInt64 = 0, _ size: UInt64 = 4 * 4096) -> Answer {
            bench.getDirty(iova, size: size, Bitmap(pageSize: pageSize, size: 8, data: words.data))
        }
        t.expect(get(4096), .success, "4 KiB")
        t.expect(get(8192), .errno(.invalid), "8 KiB")
        t.expect(get(2048), .errno(.invalid), "2 KiB")
        t.expect(get(12288), .errno(.invalid), "12 KiB")
        t.expect(get(4096, 1), .errno(.invalid), "an odd address")
        t.expect(get(4096, 0, 4097), .errno(.invalid), "an odd size")
        t.expect(get(4096, 0, 100), .errno(.invalid), "less than a page")
    },
    Case("B.8", "a bitmap must be large enough in words of 64 bits, and not beyond 256 MiB") { t in
        let bench = try t.bench()
        let words = try t.words(2)
        t.expect(bench.dirty(.start), .success, "START")
        func get(_ pages: UInt64, _ size: UInt64) -> Answer {
            bench.getDirty(
                0, size: pages * bench.page, Bitmap(pageSize: bench.page, size: size, data: words.data))
        }
        t.expect(get(1, 0), .errno(.invalid), "1 page, no bytes")
        t.expect(get(1, 1), .errno(.invalid), "1 page, 1 byte")
        t.expect(get(1, 7), .errno(.invalid), "1 page, 7 bytes")
        t.expect(get(1, 8), .success, "1 page, 8 bytes")
        t.expect(get(1, 9), .success, "1 page, 9 bytes")
        t.expect(get(64, 8), .success, "64 pages, 8 bytes")
        t.expect(get(65, 8), .errno(.invalid), "65 pages, 8 bytes")
        t.expect(get(65, 15), .errno(.invalid), "65 pages, 15 bytes")
        t.expect(get(65, 16), .success, "65 pages, 16 bytes")
        t.expect(get(1, 256 << 20), .success, "1 page, 256 MiB declared")
        t.expect(get(1, (256 << 20) + 1), .errno(.invalid), "1 page, a byte more")
        t.expect(get(1, .max), .errno(.invalid), "1 page, 2^64 - 1 bytes")
    },
    Case("B.8", "a bitmap must lie in the program's part of the address space, mapped or not") { t in
        let bench = try t.bench()
        t.expect(bench.dirty(.start), .success, "START")
        func get(_ data: UInt64) -> Answer {
            bench.getDirty(0, size: bench.page, Bitmap(pageSize: bench.page, size: 8, data: data))
        }
        t.expect(get(0), .success, "null, and nothing to report")
        t.expect(get(1 << 63), .errno(.invalid), "the kernel's half")
        t.expect(get(.max - 3), .errno(.invalid), "wraps")
        t.expect(bench.map(0), .success, "map")
        t.expect(get(0), .errno(.badAddress), "null, and something to report")
    },
    Case("B.7", "a range that cuts a mapping has no bits") { t in
        let bench = try t.bench()
        let words = try t.words(1, filledWith: 0x1234)
        t.expect(bench.map(0x10_0000, pages: 4), .success, "map")
        t.expect(bench.dirty(.start), .success, "START")
        for (page, pages, label) in [(1, 3, "begins inside"), (0, 3, "ends inside"), (1, 1, "lies inside")]
            as [(UInt64, UInt64, String)]
        {
            t.expect(
                bench.getDirty(0x10_0000 + page * bench.page, size: pages * bench.page, words.bitmap),
                .errno(.invalid), label)
        }
        t.expect(words.text, equals: "0x1234", "the bitmap is as it was")
        t.expect(bench.getDirty(0x10_0000, size: 4 * bench.page, words.bitmap), .success, "all of it")
    },
]
