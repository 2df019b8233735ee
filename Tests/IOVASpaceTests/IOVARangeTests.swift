import IOVASpace
import Testing

@Suite("IOVA ranges")
struct IOVARangeTests {
    @Test("A range is refused if it is empty, upside down or beyond the end of the space")
    func refused() {
        #expect(IOVARange(first: IOVA(5), last: IOVA(4)) == nil)
        #expect(IOVARange(IOVA(5), byteCount: 0) == nil)
        #expect(IOVARange(.max, byteCount: 2) == nil)
        #expect(IOVARange(IOVA(1), byteCount: .max)?.last == .max)
        #expect(IOVARange(IOVA(2), byteCount: .max) == nil)
    }

    @Test("The last page and the whole space are ranges like any other")
    func lastPage() throws {
        let page = try #require(IOVARange(IOVA(0xFFFF_FFFF_FFFF_F000), byteCount: 4096))
        #expect(page.last == .max)
        #expect(page.byteCount == 4096)
        #expect(page.isAligned(to: 4096))
        #expect(!page.isAligned(to: 8192))
        #expect(IOVARange.all.contains(page))
        #expect(IOVARange.all.lastOffset == .max)
        #expect(IOVARange.all.byteCount == .max)
        #expect(IOVARange.all.isAligned(to: 1 << 63))
    }

    @Test("Overlap and intersection count both ends in")
    func overlap() {
        #expect(range(10, 20).overlaps(range(20, 30)))
        #expect(!range(10, 20).overlaps(range(21, 30)))
        #expect(range(10, 20).intersection(range(20, 30)) == range(20, 20))
        #expect(range(10, 20).intersection(range(21, 30)) == nil)
        #expect(range(10, 20).contains(range(10, 20)))
        #expect(!range(10, 20).contains(range(10, 21)))
        #expect(range(10, 20).contains(IOVA(20)))
        #expect(!range(10, 20).contains(IOVA(9)))
    }

    @Test("What is no power of two is no alignment")
    func alignment() {
        #expect(IOVA(0).isAligned(to: 1))
        #expect(!IOVA(0).isAligned(to: 0))
        #expect(!IOVA(6).isAligned(to: 3))
        #expect(!range(0, 5).isAligned(to: 6))
    }

    @Test("A range reads as its ends in hexadecimal")
    func description() {
        #expect(pages(1).description == "0x1000...0x1fff")
        #expect(IOVA.max.description == "0xffffffffffffffff")
    }

    @Test("An address that would pass the end of the space is none")
    func advance() {
        #expect(IOVA(1).advanced(by: .max - 1) == .max)
        #expect(IOVA(1).advanced(by: .max) == nil)
    }
}
