import IOVASpace
import Testing

@Suite("Translation")
struct TranslateTests {
    @Test("A transfer over touching mappings comes in pieces, and stops where nothing is mapped")
    func pieces() throws {
        var map = IOVAMap()
        try map.map(pages(1), to: 0x7000_0000)
        try map.map(pages(2, 2), to: 0x1000_0000)
        var cache = IOVATranslationCache()
        var got: [IOVAPiece] = []
        try map.forEachPiece(of: range(0x1800, 0x37FF), for: .readWrite, cache: &cache) { got.append($0) }
        #expect(
            got == [
                IOVAPiece(backing: 0x7000_0800, byteCount: 0x800),
                IOVAPiece(backing: 0x1000_0000, byteCount: 0x1800),
            ])
        got = []
        let fault = thrown { () throws(IOVAFault) in
            try map.forEachPiece(of: range(0x3800, 0x4800), for: .read, cache: &cache) { got.append($0) }
        }
        #expect(fault == .unmapped(IOVA(0x4000)))
        #expect(got == [IOVAPiece(backing: 0x1000_1800, byteCount: 0x800)])
        #expect(map.firstFault(in: range(0x3800, 0x4800), for: .read) == .unmapped(IOVA(0x4000)))
        #expect(map.firstFault(in: range(0x1800, 0x3FFF), for: .read) == nil)
    }

    @Test("Permissions are checked, with and without a cache, and a fault says what is allowed")
    func permissions() throws {
        var map = IOVAMap()
        try map.map(pages(1), to: 0, permissions: .read)
        try map.map(pages(2), to: 0, permissions: .write)
        var cache = IOVATranslationCache()
        for (page, allowed, asked) in [
            (1 as UInt64, IOVAPermissions.read, IOVAPermissions.write), (1, .read, .readWrite),
            (2, .write, .read), (2, .write, .readWrite),
        ] {
            let iova = IOVA(page << 12)
            #expect(
                thrown { () throws(IOVAFault) in _ = try map.translate(iova, byteCount: 1, for: asked) }
                    == .denied(iova, allowed))
            #expect(
                thrown { () throws(IOVAFault) in
                    _ = try map.translate(iova, byteCount: 1, for: asked, cache: &cache)
                } == .denied(iova, allowed))
            #expect(try map.translate(iova, byteCount: 1, for: allowed, cache: &cache).byteCount == 1)
        }
        #expect(map.firstFault(in: pages(1, 2), for: .read) == .denied(IOVA(2 << 12), .write))
        #expect(map.covers(pages(1, 2)) == true)
    }

    @Test("A piece is never longer than asked for, and asking for nothing gives nothing")
    func lengths() throws {
        var map = IOVAMap()
        try map.map(pages(1), to: 0x5000)
        #expect(try map.translate(IOVA(0x1FFF), byteCount: 1, for: .read).byteCount == 1)
        #expect(try map.translate(IOVA(0x1FFF), byteCount: 2, for: .read).byteCount == 1)
        #expect(try map.translate(IOVA(0x1FFF), byteCount: 0, for: .read).byteCount == 0)
        #expect(try map.translate(IOVA(0x1000), byteCount: 4096, for: .read).byteCount == 4096)
        #expect(try map.translate(IOVA(0x1000), byteCount: .max, for: .read).byteCount == 4096)
    }

    @Test("A cache is not believed after its mapping is unmapped, changed, cut or grown")
    func staleCache() throws {
        var map = IOVAMap()
        var cache = IOVATranslationCache()
        let iova = IOVA(0x1000)
        try map.map(pages(1, 2), to: 0x5000)
        #expect(try map.translate(iova, byteCount: 1, for: .read, cache: &cache).backing == 0x5000)
        try map.remap(IOVAMapping(pages(1, 2), backing: 0x9000))
        #expect(try map.translate(iova, byteCount: 9999, for: .read, cache: &cache).backing == 0x9000)
        map.split(at: IOVA(0x2000))
        #expect(try map.translate(iova, byteCount: 9999, for: .read, cache: &cache).byteCount == 4096)
        try map.unmap(exactly: pages(1))
        #expect(
            thrown { () throws(IOVAFault) in
                _ = try map.translate(iova, byteCount: 1, for: .read, cache: &cache)
            } == .unmapped(iova))
        try map.map(pages(1), to: 0x9000)
        #expect(try map.translate(iova, byteCount: 9999, for: .read, cache: &cache).byteCount == 8192)
        try map.map(pages(3), to: 0xB000)
        #expect(try map.translate(iova, byteCount: 99999, for: .read, cache: &cache).byteCount == 12288)
        map.removeAll()
        #expect(
            thrown { () throws(IOVAFault) in
                _ = try map.translate(iova, byteCount: 1, for: .read, cache: &cache)
            } == .unmapped(iova))
    }

    @Test("A cache filled from one map says nothing about another")
    func foreignCache() throws {
        var one = IOVAMap()
        var other = IOVAMap()
        try one.map(pages(1), to: 0x1_0000)
        try other.map(pages(1), to: 0x2_0000)
        var cache = IOVATranslationCache()
        let iova = IOVA(0x1234)
        #expect(try one.translate(iova, byteCount: 1, for: .read, cache: &cache).backing == 0x1_0234)
        #expect(try other.translate(iova, byteCount: 1, for: .read, cache: &cache).backing == 0x2_0234)
        #expect(try one.translate(iova, byteCount: 1, for: .read, cache: &cache).backing == 0x1_0234)
    }

    @Test("A new cache doesn't claim that address 0 is mapped")
    func emptyCache() {
        let map = IOVAMap()
        var cache = IOVATranslationCache()
        #expect(
            thrown { () throws(IOVAFault) in
                _ = try map.translate(.min, byteCount: 1, for: [], cache: &cache)
            } == .unmapped(.min))
    }
}
