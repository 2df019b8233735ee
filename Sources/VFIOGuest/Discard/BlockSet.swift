import IOVASpace

/// Which of a row of equally long blocks are in a set: one bit for each.
struct BlockSet {
    /// How many blocks there are.
    let blockCount: Int
    private var words: [UInt64]

    /// None of so many blocks.
    init(blockCount: Int) {
        self.blockCount = blockCount
        words = [UInt64](repeating: 0, count: BitWords.wordCount(forBits: blockCount))
    }

    /// How many blocks are in the set.
    var count: Int { BitWords.count(0..<blockCount, in: words.span) }

    /// How many of some blocks are in the set.
    func count(in blocks: Range<Int>) -> Int { BitWords.count(blocks, in: words.span) }

    /// Whether a block is in the set.
    func contains(_ block: Int) -> Bool { BitWords.contains(block, in: words.span) }

    /// Puts blocks into the set.
    mutating func insert(_ blocks: Range<Int>) {
        var span = words.mutableSpan
        BitWords.set(blocks, in: &span)
    }

    /// Takes blocks out of it.
    mutating func remove(_ blocks: Range<Int>) {
        var span = words.mutableSpan
        BitWords.clear(blocks, in: &span)
    }

    /// The first unbroken row, among `blocks`, of blocks that are in the set, or that aren't.
    func firstRun(isMember: Bool, in blocks: Range<Int>) -> Range<Int>? {
        let span = words.span
        let first =
            isMember ? BitWords.firstSet(blocks, in: span) : BitWords.firstClear(blocks, in: span)
        guard let first else { return nil }
        let rest = first..<blocks.upperBound
        let end = isMember ? BitWords.firstClear(rest, in: span) : BitWords.firstSet(rest, in: span)
        return first..<(end ?? blocks.upperBound)
    }
}
