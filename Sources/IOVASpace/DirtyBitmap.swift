/// One bit for each page of something: set when the page may have been written.
///
/// The bits lie in 64-bit words (see ``BitWords``) and are worked on as such. A position outside the bitmap
/// is a mistake of the caller and traps, as with an array. Changing it needs exclusive access.
public struct DirtyBitmap: ~Copyable, Sendable {
    /// The largest number of bits: 2^31, which is 256 MiB of bitmap, the most that type1 exchanges.
    public static let maximumBitCount = 1 << 31

    /// The number of pages.
    public let bitCount: Int

    private var storage: [UInt64]

    /// A bitmap for so many pages, all clean.
    ///
    /// Nil if `bitCount` is negative or above ``maximumBitCount``.
    ///
    /// - Parameters:
    ///   - bitCount: the number of pages.
    ///   - spareWords: words to have behind those needed, for who shifts bits within the words (0 to 1024).
    public init?(bitCount: Int, spareWords: Int = 0) {
        guard bitCount >= 0, bitCount <= DirtyBitmap.maximumBitCount, 0...1024 ~= spareWords else {
            return nil
        }
        self.bitCount = bitCount
        storage = [UInt64](repeating: 0, count: BitWords.wordCount(forBits: bitCount) + spareWords)
    }

    /// The number of words, spare ones included.
    public var wordCount: Int { storage.count }

    /// The words, bit 0 of the first one first. Bits above ``bitCount`` are clear unless set through
    /// ``withMutableWords(_:)``.
    public func withWords<R, E: Error>(_ body: (Span<UInt64>) throws(E) -> R) throws(E) -> R {
        try body(storage.span)
    }

    /// The words, to be changed in place.
    public mutating func withMutableWords<R, E: Error>(
        _ body: (inout MutableSpan<UInt64>) throws(E) -> R
    ) throws(E) -> R {
        var words = storage.mutableSpan
        return try body(&words)
    }

    /// The word at `index`: pages `64 * index` and up.
    public func word(at index: Int) -> UInt64 {
        storage[index]
    }

    /// Reads the word at `index` and clears it.
    public mutating func takeWord(at index: Int) -> UInt64 {
        let word = storage[index]
        storage[index] = 0
        return word
    }

    /// Whether the page is dirty.
    public func contains(_ page: Int) -> Bool {
        check(page..<page + 1)
        return BitWords.contains(page, in: storage.span)
    }

    /// Marks one page dirty.
    public mutating func insert(_ page: Int) {
        check(page..<page + 1)
        storage[page >> 6] |= 1 &<< UInt64(page & 63)
    }

    /// Marks pages dirty.
    public mutating func insert(_ pages: Range<Int>) {
        check(pages)
        var words = storage.mutableSpan
        BitWords.set(pages, in: &words)
    }

    /// Marks pages clean.
    public mutating func remove(_ pages: Range<Int>) {
        check(pages)
        var words = storage.mutableSpan
        BitWords.clear(pages, in: &words)
    }

    /// Marks every page dirty.
    public mutating func insertAll() {
        insert(0..<bitCount)
    }

    /// Marks every page clean; clears spare words too.
    public mutating func removeAll() {
        for index in storage.indices {
            storage[index] = 0
        }
    }

    /// The number of dirty pages.
    public var count: Int { count(in: 0..<bitCount) }

    /// The number of dirty pages among `pages`.
    public func count(in pages: Range<Int>) -> Int {
        check(pages)
        return BitWords.count(pages, in: storage.span)
    }

    /// Whether every page is clean.
    public var isEmpty: Bool { firstDirty(in: 0..<bitCount) == nil }

    /// The first dirty page among `pages`; nil if all are clean.
    public func firstDirty(in pages: Range<Int>) -> Int? {
        check(pages)
        return BitWords.firstSet(pages, in: storage.span)
    }

    /// The first clean page among `pages`; nil if all are dirty.
    public func firstClean(in pages: Range<Int>) -> Int? {
        check(pages)
        return BitWords.firstClear(pages, in: storage.span)
    }

    /// Calls `body` with every run of dirty pages among `pages`, in ascending order; runs don't touch.
    public func forEachRun(in pages: Range<Int>, _ body: (Range<Int>) -> Void) {
        check(pages)
        BitWords.forEachRun(pages, in: storage.span, body)
    }

    /// Sets the bits of the dirty ones among `pages` in somebody's words, the first page at bit `target`.
    ///
    /// All other bits there keep their values.
    public func merge(_ pages: Range<Int>, into words: inout MutableSpan<UInt64>, at target: Int) {
        check(pages)
        BitWords.merge(pages, of: storage.span, into: &words, at: target)
    }

    /// Marks dirty the pages whose bits are set among `bits` of `words`, the first of them being page
    /// `target`.
    public mutating func insert(_ bits: Range<Int>, of words: Span<UInt64>, at target: Int) {
        check(target..<target + bits.count)
        var own = storage.mutableSpan
        BitWords.merge(bits, of: words, into: &own, at: target)
    }

    /// Marks dirty every page in which `other`, whose pages are smaller, has a dirty one.
    ///
    /// - Parameters:
    ///   - other: the finer bitmap.
    ///   - shift: the binary logarithm of how many of its pages make one of these.
    ///   - offset: how many of its pages lie between the start of this bitmap and its own.
    public mutating func insert(folding other: borrowing DirtyBitmap, by shift: Int, offset: Int = 0) {
        guard other.bitCount > 0 else { return }
        precondition(shift >= 0 && shift < 32 && offset >= 0 && offset < 1 << 60)
        check(0..<((other.bitCount - 1 + offset) >> shift + 1))
        var words = storage.mutableSpan
        BitWords.mergeFolding(
            0..<other.bitCount, of: other.storage.span, by: shift, offset: offset, into: &words)
    }

    /// Marks dirty all pages that lie in a dirty page of `other`, whose pages are larger.
    ///
    /// - Parameters:
    ///   - other: the coarser bitmap. What it says about places outside this one is left out.
    ///   - shift: the binary logarithm of how many of these pages make one of its.
    ///   - offset: how many of these pages lie between the start of `other` and that of this bitmap.
    public mutating func insert(spreading other: borrowing DirtyBitmap, by shift: Int, offset: Int = 0) {
        let limit = bitCount
        var words = storage.mutableSpan
        BitWords.mergeSpreading(
            0..<other.bitCount, of: other.storage.span, by: shift, offset: offset, limit: limit,
            into: &words)
    }

    private func check(_ pages: Range<Int>) {
        precondition(pages.lowerBound >= 0 && pages.upperBound <= bitCount, "outside of the bitmap")
    }
}
