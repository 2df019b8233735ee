import LinuxSystem
import VFIOABI
import VFIOHost

/// B.7: which bits dirty tracking writes, and where.
let dirtyBitCases: [Case] = [
    Case("B.7", "behind an IOMMU every mapped page is dirty, each time anew") { t in
        let bench = try t.bench()
        let words = try t.words(1)
        t.expect(bench.map(0, pages: 5), .success, "map")
        t.expect(bench.dirty(.start), .success, "START")
        for round in 1...3 {
            words[0] = 0
            t.expect(bench.getDirty(0, size: 5 * bench.page, words.bitmap), .success, "GET \(round)")
            t.expect(words.text, equals: "0x1f", "bits \(round)")
        }
    },
    Case("B.7", "a page that devices may only read is dirty as well") { t in
        let bench = try t.bench()
        let words = try t.words(1)
        t.expect(bench.map(0, pages: 2, .read), .success, "map for reading")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(bench.getDirty(0, size: 2 * bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0x3", "bits")
    },
    Case("B.7", "where nothing is mapped nothing is written") { t in
        let bench = try t.bench()
        let words = try t.words(2, filledWith: 0xabcd)
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(bench.getDirty(0, size: 128 * bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0xabcd 0xabcd", "bits")
    },
    Case("B.7", "the rest of a mapping's last word is cleared, and words beyond are left alone") { t in
        let bench = try t.bench()
        let words = try t.words(3, filledWith: .max)
        t.expect(bench.map(0, pages: 3), .success, "3 pages")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(bench.getDirty(0, size: 128 * bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0x7 0xffffffffffffffff 0xffffffffffffffff", "bits")
    },
    Case("B.7", "mappings that begin with a word of their own are written to that word") { t in
        let bench = try t.bench()
        let words = try t.words(3, filledWith: 0x55)
        t.expect(bench.map(0, pages: 1), .success, "page 0")
        t.expect(bench.map(128 * bench.page, pages: 2), .success, "pages 128 and 129")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(bench.getDirty(0, size: 192 * bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0x1 0x55 0x3", "bits")
    },
    Case("B.7", "a mapping that begins within a word keeps the bits that the user has in it") { t in
        let bench = try t.bench()
        let words = try t.words(1, filledWith: 0x8000_0000_0000_0001)
        t.expect(bench.map(3 * bench.page, pages: 2), .success, "pages 3 and 4")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(bench.getDirty(0, size: 8 * bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0x8000000000000019", "bits")
    },
    Case("B.7", "[Q] such a mapping reports bits beyond its end from then on") { t in
        // The kernel shifts the mapping's own buffer and mixes the user's word into it; afterwards it clears
        // only the bits of the mapping's pages. A program can see the rest, so the software does the same.
        let bench = try t.bench()
        let words = try t.words(1, filledWith: 1 << 40)
        t.expect(bench.map(3 * bench.page, pages: 2), .success, "pages 3 and 4")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(bench.getDirty(0, size: 8 * bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0x10000000018", "bits")
        words[0] = 0
        t.expect(bench.getDirty(0, size: 8 * bench.page, words.bitmap), .success, "GET again")
        t.expect(words.text, equals: "0x800000000d8", "bits")
        t.expect(bench.dirty(.stop), .success, "STOP")
        t.expect(bench.dirty(.start), .success, "START")
        words[0] = 0
        t.expect(bench.getDirty(0, size: 8 * bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0x18", "bits after a new start")
    },
    Case("B.7", "a mapping that goes on into the next word fills both") { t in
        let bench = try t.bench()
        let words = try t.words(2, filledWith: 0)
        t.expect(bench.map(60 * bench.page, pages: 8), .success, "pages 60 to 67")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(bench.getDirty(0, size: 128 * bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0xf000000000000000 0xf", "bits")
    },
    Case("B.7", "two mappings in one word: the second keeps what the first has written") { t in
        let bench = try t.bench()
        let words = try t.words(1)
        t.expect(bench.map(0, pages: 2), .success, "pages 0 and 1")
        t.expect(bench.map(4 * bench.page, pages: 1), .success, "page 4")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(bench.getDirty(0, size: 8 * bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0x13", "bits")
    },
    Case("B.7", "bit 0 is the first page that was asked for") { t in
        let bench = try t.bench()
        let words = try t.words(1)
        t.expect(bench.map(0x10_0000, pages: 2), .success, "map")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(bench.getDirty(0x10_0000, size: 2 * bench.page, words.bitmap), .success, "from its start")
        t.expect(words.text, equals: "0x3", "bits")
        words[0] = 0
        t.expect(
            bench.getDirty(0xf_e000, size: 4 * bench.page, words.bitmap), .success, "from 2 pages before")
        t.expect(words.text, equals: "0xc", "bits")
    },
    Case("B.7", "what is mapped while pages are tracked is tracked, too") { t in
        let bench = try t.bench()
        let words = try t.words(1)
        t.expect(bench.dirty(.start), .success, "START, with nothing mapped")
        t.expect(bench.map(0, pages: 3), .success, "map")
        t.expect(bench.getDirty(0, size: 3 * bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0x7", "bits")
        t.expect(bench.unmapped(0, pages: 3), equals: "3 pages", "unmap without asking")
        words[0] = 0
        t.expect(bench.getDirty(0, size: 3 * bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0x0", "bits")
    },
    Case("B.7", "bits that can't be written are EFAULT, and tracking goes on") { t in
        let bench = try t.bench()
        let words = try t.words(1)
        t.expect(bench.map(0, pages: 1), .success, "page 0")
        t.expect(bench.map(64 * bench.page, pages: 1), .success, "page 64")
        t.expect(bench.dirty(.start), .success, "START")
        // The second word lies behind the page's end.
        let beyond = Bitmap(pageSize: bench.page, size: 16, data: words.data)
        t.expect(bench.getDirty(0, size: 128 * bench.page, beyond), .errno(.badAddress), "the second word")
        t.expect(words.text, equals: "0x1", "the first word was written")
        t.expect(bench.getDirty(64 * bench.page, size: bench.page, words.bitmap), .success, "GET")
        t.expect(words.text, equals: "0x1", "bits of page 64")
    },
    Case("B.5", "unmapping with dirty bits tells those of what it unmaps") { t in
        let bench = try t.bench()
        let words = try t.words(2, filledWith: 0)
        t.expect(bench.map(0x10_0000, pages: 2), .success, "2 pages")
        t.expect(bench.map(0x14_0000, pages: 3), .success, "3 pages, 64 pages further")
        t.expect(bench.dirty(.start), .success, "START")
        let (answer, size) = bench.unmapDirty(0x10_0000, size: 128 * bench.page, words.bitmap)
        t.expect(answer, .success, "unmap")
        t.expect(size / bench.page, equals: 5, "pages")
        t.expect(words.text, equals: "0x3 0x7", "bits")
        t.expect(bench.available == 65535, "nothing is mapped")
    },
    Case("B.5", "unmapping with dirty bits stops at the mapping whose bits can't be written") { t in
        let bench = try t.bench()
        let words = try t.words(1)
        t.expect(bench.map(0, pages: 1), .success, "page 0")
        t.expect(bench.map(64 * bench.page, pages: 1), .success, "page 64")
        t.expect(bench.dirty(.start), .success, "START")
        let beyond = Bitmap(pageSize: bench.page, size: 16, data: words.data)
        let (answer, size) = bench.unmapDirty(0, size: 128 * bench.page, beyond)
        t.expect(answer, .errno(.badAddress), "the second word can't be written")
        t.expect(size == 128 * bench.page, "size is as it was")
        t.expect(words.text, equals: "0x1", "the first word was")
        t.expect(bench.unmapped(0, pages: 1), equals: "0 pages", "page 0 is unmapped")
        t.expect(bench.unmapped(64 * bench.page, pages: 1), equals: "1 pages", "page 64 was still mapped")
    },
    Case("B.5", "unmapping with dirty bits where nothing is mapped writes nothing") { t in
        let bench = try t.bench()
        t.expect(bench.dirty(.start), .success, "START")
        let nowhere = Bitmap(pageSize: bench.page, size: 8, data: 0)
        let (answer, size) = bench.unmapDirty(0, size: bench.page, nowhere)
        t.expect(answer, .success, "into address 0")
        t.expect(size, equals: 0, "size")
    },
    Case("B.5", "unmapping with dirty bits may not cut a mapping either") { t in
        let bench = try t.bench()
        let words = try t.words(1, filledWith: 0x77)
        t.expect(bench.map(0, pages: 4), .success, "map")
        t.expect(bench.dirty(.start), .success, "START")
        t.expect(bench.unmapDirty(0, size: bench.page, words.bitmap).answer, .errno(.invalid), "a part")
        t.expect(words.text, equals: "0x77", "the bitmap is as it was")
    },
]
