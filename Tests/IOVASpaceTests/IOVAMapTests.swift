import IOVASpace
import Testing

@Suite("IOVAMap")
struct IOVAMapTests {
    @Test("The first page, the last page and one byte can be mapped")
    func edges() throws {
        var map = IOVAMap()
        try map.map(pages(0), to: 0x10_0000)
        try map.map(range(0xFFFF_FFFF_FFFF_F000, .max), to: 0x20_0000)
        try map.map(range(0x5555, 0x5555), to: 7)
        try map._invariantCheck()
        #expect(map.byteCount == 8193)
        #expect(
            try map.translate(.max, byteCount: 99, for: .read) == IOVAPiece(backing: 0x20_0FFF, byteCount: 1))
        #expect(map.mapping(containing: IOVA(0x5555))?.backing == 7)
        #expect(map.mapping(containing: IOVA(0x5554)) == nil)
        #expect(map.firstGap(in: range(0xFFFF_FFFF_FFFF_F000, .max)) == nil)
        #expect(map.last?.range.last == .max)
        try map.unmap(exactly: range(0xFFFF_FFFF_FFFF_F000, .max))
        #expect(map.firstGap(in: range(0xFFFF_FFFF_FFFF_E000, .max)) == range(0xFFFF_FFFF_FFFF_E000, .max))
    }

    @Test("All of the space can be one mapping, be cut, and be joined again")
    func wholeSpace() throws {
        var map = IOVAMap()
        try map.map(.all, to: 0)
        #expect(map.byteCount == .max)
        #expect(map.firstGap(byteCount: 1, in: .all) == nil)
        #expect(
            thrown { () throws(IOVAMapError) in try map.map(pages(3), to: 0) }
                == .overlaps(IOVAMapping(.all, backing: 0)))
        #expect(try map.translate(IOVA(5), byteCount: .max, for: .write).byteCount == .max - 4)
        #expect(try map.translate(.min, byteCount: .max, for: .write).byteCount == .max)
        let removal = try map.unmap(in: pages(3), cutting: .split)
        #expect(removal == IOVARemoval(mappingCount: 1, byteCount: 4096))
        #expect(map.count == 2)
        #expect(map.byteCount == UInt64.max - 4095)
        try map._invariantCheck()
        try map.map(pages(3), to: 3 << 12)
        #expect(map.count == 1)
        let all = try map.unmap(in: .all)
        #expect(all == IOVARemoval(mappingCount: 1, byteCount: 0))
        #expect(map.isEmpty == true)
        #expect(map.byteCount == 0)
        try map._invariantCheck()
    }

    @Test("An overlap is refused, and names the lowest mapping in the way")
    func overlap() throws {
        var map = IOVAMap(mergingAdjacent: false)
        try map.map(pages(10, 2), to: 0x1000, tag: 1)
        try map.map(pages(14, 2), to: 0x9000, tag: 2)
        let low = IOVAMapping(pages(10, 2), backing: 0x1000, tag: 1)
        let high = IOVAMapping(pages(14, 2), backing: 0x9000, tag: 2)
        for (wanted, inTheWay) in [
            (pages(10, 2), low), (pages(9, 2), low), (pages(11, 1), low), (pages(11, 4), low),
            (pages(0, 100), low), (pages(12, 3), high), (pages(15, 5), high),
        ] {
            #expect(
                thrown { () throws(IOVAMapError) in try map.map(wanted, to: 0) } == .overlaps(inTheWay))
        }
        try map.map(pages(12, 2), to: 0)
        #expect(contents(map).map(\.range) == [pages(10, 2), pages(12, 2), pages(14, 2)])
    }

    @Test("Memory that would wrap around is refused")
    func backingWraps() throws {
        var map = IOVAMap()
        #expect(
            thrown { () throws(IOVAMapError) in try map.map(pages(1, 2), to: .max - 8190) }
                == .backingWraps(pages(1, 2), backing: .max - 8190))
        try map.map(pages(1, 2), to: .max - 8191)
        #expect(
            thrown { () throws(IOVAMapError) in
                try map.remap(IOVAMapping(pages(1, 2), backing: .max))
            } == .backingWraps(pages(1, 2), backing: .max))
        #expect(try map.translate(IOVA(0x2FFF), byteCount: 2, for: .read).backing == .max)
        // Address 0 of the memory doesn't continue its last.
        try map.map(pages(3), to: 0)
        #expect(map.count == 2)
    }

    @Test("Mappings that continue each other become one, on either side and in the middle")
    func merging() throws {
        var map = IOVAMap()
        try map.map(pages(10), to: 0xA000)
        try map.map(pages(12), to: 0xC000)
        try map.map(pages(11), to: 0xB000)
        #expect(contents(map) == [IOVAMapping(pages(10, 3), backing: 0xA000)])
        try map.map(pages(9), to: 0x9000)
        try map.map(pages(13), to: 0xD000)
        #expect(contents(map) == [IOVAMapping(pages(9, 5), backing: 0x9000)])
        try map._invariantCheck()
    }

    @Test("What differs in memory, permissions or tag stays apart, and so does everything if merging is off")
    func notMerging() throws {
        var map = IOVAMap()
        try map.map(pages(10), to: 0xA000)
        try map.map(pages(11), to: 0xC000)
        try map.map(pages(12), to: 0xD000, permissions: .read)
        try map.map(pages(13), to: 0xE000, permissions: .read, tag: 1)
        #expect(map.count == 4)
        map.mergesAdjacent = false
        try map.map(pages(14), to: 0xF000, permissions: .read, tag: 1)
        #expect(map.count == 5)
        map.mergesAdjacent = true
        try map.map(pages(15), to: 0x10000, permissions: .read, tag: 1)
        #expect(map.count == 5)
        #expect(map.last == IOVAMapping(pages(14, 2), backing: 0xF000, permissions: .read, tag: 1))
    }

    @Test("A split leaves both halves with their memory, permissions and tag")
    func split() throws {
        var map = IOVAMap()
        try map.map(pages(4, 4), to: 0x8_0000, permissions: .write, tag: 9)
        #expect(map.split(at: IOVA(4 << 12)) == false)
        #expect(map.split(at: IOVA(8 << 12)) == false)
        #expect(map.split(at: IOVA(6 << 12)) == true)
        #expect(map.split(at: IOVA(6 << 12)) == false)
        #expect(
            contents(map) == [
                IOVAMapping(pages(4, 2), backing: 0x8_0000, permissions: .write, tag: 9),
                IOVAMapping(pages(6, 2), backing: 0x8_2000, permissions: .write, tag: 9),
            ])
    }

    @Test("Unmapping exactly takes a mapping with just that range and nothing else")
    func unmapExactly() throws {
        var map = IOVAMap()
        try map.map(pages(4, 4), to: 0x8_0000)
        for wrong in [pages(4, 3), pages(4, 5), pages(5, 3), pages(3, 5), pages(100)] {
            #expect(
                thrown { () throws(IOVAMapError) in try map.unmap(exactly: wrong) } == .notMapped(wrong))
        }
        #expect(try map.unmap(exactly: pages(4, 4)).backing == 0x8_0000)
        #expect(map.isEmpty == true)
    }

    @Test("A span whose end bisects a mapping is refused whole, or cut, as asked")
    func unmapSpan() throws {
        var map = IOVAMap(mergingAdjacent: false)
        for first: UInt64 in [0, 10, 20] {
            try map.map(pages(first, 5), to: first << 20)
        }
        let before = contents(map)
        #expect(thrown { () throws(IOVAMapError) in try map.unmap(in: pages(2, 14)) } == .bisects(before[0]))
        #expect(thrown { () throws(IOVAMapError) in try map.unmap(in: pages(7, 15)) } == .bisects(before[2]))
        #expect(thrown { () throws(IOVAMapError) in try map.unmap(in: pages(11, 1)) } == .bisects(before[1]))
        #expect(contents(map) == before)
        #expect(try map.unmap(in: pages(5, 5)) == IOVARemoval())

        var removed: [IOVARange] = []
        let removal = try map.unmap(in: pages(2, 19), cutting: .split) { removed.append($0.range) }
        #expect(removed == [pages(2, 3), pages(10, 5), pages(20, 1)])
        #expect(removal == IOVARemoval(mappingCount: 3, byteCount: 9 * 4096))
        #expect(contents(map).map(\.range) == [pages(0, 2), pages(21, 4)])
        #expect(map.last == IOVAMapping(pages(21, 4), backing: 0x140_1000))
        try map._invariantCheck()
    }

    @Test("A mapping can be taken by its start, whole, even where it ends beyond the range looked at")
    func takeByStart() throws {
        var map = IOVAMap(mergingAdjacent: false)
        try map.map(pages(4, 4), to: 0)
        try map.map(pages(8, 4), to: 0)
        #expect(map.removeFirstMapping(startingIn: pages(5, 3)) == nil)
        #expect(map.removeFirstMapping(startingIn: pages(5, 4))?.range == pages(8, 4))
        #expect(map.removeMapping(startingAt: IOVA(5 << 12)) == nil)
        #expect(map.removeMapping(startingAt: IOVA(4 << 12))?.range == pages(4, 4))
        #expect(map.isEmpty == true)
    }

    @Test("A gap is the lowest that fits length, alignment, remainder and allowed ranges")
    func gaps() throws {
        var map = IOVAMap()
        try map.map(pages(0), to: 0)
        try map.map(pages(3), to: 0)
        try map.map(pages(6, 10), to: 0)
        #expect(map.firstGap(byteCount: 4096, in: .all) == pages(1))
        #expect(map.firstGap(byteCount: 4096, alignedTo: 8192, in: .all) == pages(2))
        #expect(map.firstGap(byteCount: 8192, alignedTo: 8192, in: .all) == pages(4, 2))
        #expect(map.firstGap(byteCount: 8192 + 1, in: .all)?.first == IOVA(16 << 12))
        #expect(map.firstGap(byteCount: 4096, alignedTo: 16384, offset: 4096, in: .all) == pages(1))
        #expect(map.firstGap(byteCount: 16, alignedTo: 4096, offset: 8, in: .all)?.first == IOVA(0x1008))
        #expect(map.firstGap(byteCount: 4096, in: pages(6, 10)) == nil)
        #expect(map.firstGap(byteCount: 4096, in: [pages(3), pages(6, 3), pages(5, 1)]) == pages(5))
        #expect(map.firstGap(byteCount: .max, in: .all) == nil)
        #expect(map.firstGap(byteCount: 0, in: .all) == nil)
        #expect(map.firstGap(byteCount: 1, alignedTo: 3, in: .all) == nil)
        #expect(map.firstGap(byteCount: 1, alignedTo: 4, offset: 4, in: .all) == nil)
        #expect(map.firstGap(byteCount: 4096, alignedTo: 1 << 63, in: .all)?.first == IOVA(1 << 63))
        #expect(map.firstGap(in: .all) == pages(1, 2))
        #expect(map.firstGap(in: pages(3, 2)) == pages(4))
    }

    @Test("A gap at the very end of the space is found, and none beyond it")
    func lastGap() throws {
        var map = IOVAMap()
        try map.map(range(0, .max - 4096), to: 0)
        let last = range(.max - 4095, .max)
        #expect(map.firstGap(byteCount: 4096, alignedTo: 4096, in: .all) == last)
        #expect(map.firstGap(byteCount: 4097, in: .all) == nil)
        try map.map(last, to: 0)
        #expect(map.firstGap(byteCount: 1, in: .all) == nil)
        #expect(map.firstGap(in: .all) == nil)
    }

    @Test("Removing everything gives the memory back and leaves a map that works")
    func removeAll() throws {
        var map = IOVAMap()
        for page: UInt64 in 0..<5_000 { try map.map(pages(page * 2), to: page << 12) }
        #expect(map.allocatedByteCount > 5_000 * 32)
        map.removeAll()
        #expect(map.isEmpty == true)
        #expect(map.allocatedByteCount == 0)
        #expect(map.byteCount == 0)
        try map._invariantCheck()
        try map.map(pages(1), to: 0)
        #expect(map.count == 1)
    }

    @Test("At most 64 bytes are used for each of many mappings, in whatever order they came")
    func memory() throws {
        let count: UInt64 = 20_000
        let slots = Array(0..<count)
        var generator = SeededGenerator(seed: testSeed("memory"))
        let orders = [slots, slots.reversed(), slots.shuffled(using: &generator)]
        for order in orders {
            var map = IOVAMap()
            for slot in order { try map.map(pages(slot * 2), to: slot << 12) }
            #expect(map.allocatedByteCount <= 64 * Int(count))
            try map._invariantCheck()
        }
    }
}
