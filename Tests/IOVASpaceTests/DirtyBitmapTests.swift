import IOVASpace
import Testing

@Suite("Dirty bits")
struct DirtyBitmapTests {
    /// All bits, one by one.
    private func bits(_ bitmap: borrowing DirtyBitmap) -> [Bool] {
        (0..<bitmap.bitCount).map { bitmap.contains($0) }
    }

    private func bitmap(_ bits: [Bool]) throws -> DirtyBitmap {
        var bitmap = try makeBitmap(bits.count)
        for (page, bit) in bits.enumerated() where bit { bitmap.insert(page) }
        return bitmap
    }

    private func makeBitmap(_ count: Int) throws -> DirtyBitmap {
        guard let bitmap = DirtyBitmap(bitCount: count) else { throw TooLarge() }
        return bitmap
    }

    private struct TooLarge: Error {}

    private func isMade(_ bitCount: Int, spareWords: Int = 0) -> Bool {
        switch DirtyBitmap(bitCount: bitCount, spareWords: spareWords) {
        case .some: true
        case .none: false
        }
    }

    /// The bits of words, one by one.
    private func bits(_ words: [UInt64]) -> [Bool] {
        words.flatMap { word in (0..<64).map { word >> UInt64($0) & 1 == 1 } }
    }

    private func randomBits(_ count: Int, _ random: inout SeededGenerator) -> [Bool] {
        // Runs of every length, so that words are empty, full and mixed.
        var bits: [Bool] = []
        while bits.count < count {
            let run = Int(random.below([3, 70, 300][Int(random.below(3))])) + 1
            bits += [Bool](repeating: random.below(2) == 0, count: min(run, count - bits.count))
        }
        return bits
    }

    private func randomRange(_ count: Int, _ random: inout SeededGenerator) -> Range<Int> {
        let a = Int(random.below(UInt64(count + 1)))
        let b = Int(random.below(UInt64(count + 1)))
        return min(a, b)..<max(a, b)
    }

    @Test("Setting, clearing, counting and searching agree with an array of Bool")
    func againstBools() throws {
        var random = SeededGenerator(seed: testSeed("dirty bits"))
        for count in [1, 63, 64, 65, 128, 700] {
            var bitmap = try makeBitmap(count)
            var model = [Bool](repeating: false, count: count)
            for _ in 0..<400 {
                let area = randomRange(count, &random)
                if random.below(2) == 0 {
                    bitmap.insert(area)
                    for page in area { model[page] = true }
                } else {
                    bitmap.remove(area)
                    for page in area { model[page] = false }
                }
                let asked = randomRange(count, &random)
                #expect(bitmap.count(in: asked) == asked.count(where: { model[$0] }))
                #expect(bitmap.firstDirty(in: asked) == asked.first { model[$0] })
                #expect(bitmap.firstClean(in: asked) == asked.first { !model[$0] })
                var runs: [Range<Int>] = []
                bitmap.forEachRun(in: asked) { runs.append($0) }
                #expect(runs.flatMap(Array.init) == asked.filter { model[$0] })
                #expect(zip(runs, runs.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound })
            }
            #expect(bits(bitmap) == model)
            #expect(bitmap.isEmpty == !model.contains(true))
        }
    }

    @Test("Merging into somebody's words at any bit keeps all other bits there")
    func mergeUnaligned() throws {
        var random = SeededGenerator(seed: testSeed("merge"))
        for _ in 0..<300 {
            let count = 1 + Int(random.below(300))
            let source = randomBits(count, &random)
            let area = randomRange(count, &random)
            let target = Int(random.below(200))
            var words = (0..<9).map { _ in random.next() & random.next() }
            var expected = bits(words)
            for page in area where source[page] { expected[target + page - area.lowerBound] = true }
            let bitmap = try bitmap(source)
            var span = words.mutableSpan
            bitmap.merge(area, into: &span, at: target)
            #expect(bits(words) == expected)
        }
    }

    @Test("Long bitmaps merge the same at the beginning of a word as anywhere else")
    func mergeLong() throws {
        var random = SeededGenerator(seed: testSeed("merge long"))
        for _ in 0..<100 {
            let count = 600 + Int(random.below(3000))
            var source = [Bool](repeating: false, count: count)
            // Few, so that whole words are clean.
            for _ in 0..<random.below(20) { source[Int(random.below(UInt64(count)))] = true }
            let first = 64 * Int(random.below(4)) + (random.below(4) == 0 ? 1 : 0)
            let area = first..<first + 1 + Int(random.below(UInt64(count - first)))
            let target = 64 * Int(random.below(4)) + (random.below(4) == 0 ? 1 : 0)
            var words = (0..<count / 64 + 6).map { _ in random.next() & random.next() & random.next() }
            var expected = bits(words)
            for page in area where source[page] { expected[target + page - area.lowerBound] = true }
            let bitmap = try bitmap(source)
            var span = words.mutableSpan
            bitmap.merge(area, into: &span, at: target)
            #expect(bits(words) == expected)
        }
    }

    @Test("Bits from somebody's words come in at any page")
    func insertWords() throws {
        var random = SeededGenerator(seed: testSeed("insert words"))
        for _ in 0..<300 {
            let words = (0..<5).map { _ in random.next() }
            let area = randomRange(320, &random)
            let before = randomBits(500, &random)
            let target = Int(random.below(180))
            var expected = before
            let given = bits(words)
            for bit in area where given[bit] {
                expected[target + bit - area.lowerBound] = true
            }
            var bitmap = try bitmap(before)
            bitmap.insert(area, of: words.span, at: target)
            #expect(bits(bitmap) == expected)
        }
    }

    @Test("Small pages make a large page dirty, large ones all their small ones, at any offset")
    func pageSizes() throws {
        var random = SeededGenerator(seed: testSeed("page sizes"))
        for shift in 0...10 {
            for _ in 0..<20 {
                let offset = Int(random.below(3 << UInt64(shift)))
                let fine = randomBits(1 + Int(random.below(3000)), &random)
                let coarseCount = (fine.count - 1 + offset) >> shift + 1
                var expected = [Bool](repeating: false, count: coarseCount)
                for (page, bit) in fine.enumerated() where bit { expected[(page + offset) >> shift] = true }
                var coarse = try makeBitmap(coarseCount)
                coarse.insert(folding: try bitmap(fine), by: shift, offset: offset)
                #expect(bits(coarse) == expected)

                var spread = try makeBitmap(fine.count)
                spread.insert(spreading: coarse, by: shift, offset: offset)
                #expect(bits(spread) == fine.indices.map { expected[($0 + offset) >> shift] })
            }
        }
    }

    @Test("Words are read, taken and shifted as wholes")
    func words() throws {
        guard var bitmap = DirtyBitmap(bitCount: 130, spareWords: 1) else { throw TooLarge() }
        #expect(bitmap.wordCount == 4)
        bitmap.insertAll()
        #expect((0..<4).map { bitmap.word(at: $0) } == [.max, .max, 3, 0])
        bitmap.withMutableWords { words in BitWords.shiftUp(4, of: &words, by: 63) }
        #expect((0..<4).map { bitmap.word(at: $0) } == [1 << 63, .max, .max, 1])
        bitmap.withMutableWords { words in BitWords.shiftUp(2, of: &words, by: 1) }
        #expect((0..<4).map { bitmap.word(at: $0) } == [0, .max, .max, 1])
        #expect(bitmap.takeWord(at: 1) == .max)
        #expect(bitmap.word(at: 1) == 0)
        #expect(bitmap.count == 2)
        bitmap.removeAll()
        #expect(bitmap.isEmpty == true)
        #expect(bitmap.word(at: 3) == 0)
    }

    @Test("A bitmap that would be too large, or of negative size, is not made")
    func bounds() throws {
        #expect(isMade(-1) == false)
        #expect(isMade(DirtyBitmap.maximumBitCount + 1) == false)
        #expect(isMade(1, spareWords: -1) == false)
        #expect(isMade(1, spareWords: 1024) == true)
        let empty = try makeBitmap(0)
        #expect(empty.isEmpty == true)
        #expect(empty.wordCount == 0)
    }

    @Test("A page outside the bitmap is a trap, not a bit of the last word")
    func outside() async {
        await #expect(processExitsWith: .failure) {
            guard var bitmap = DirtyBitmap(bitCount: 65) else { return }
            bitmap.insert(65)
        }
    }
}
