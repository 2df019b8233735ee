/// Work on rows of bits that are stored as 64-bit words, bit 0 of word 0 first: the form in which VFIO and
/// iommufd exchange dirty pages.
///
/// Everything here handles a word at a time, allocates nothing, and leaves bits outside the given ones as
/// they are. A range or position outside the words is a mistake of the caller and traps, as with an array:
/// lengths that come from elsewhere are checked before.
public enum BitWords {
    /// The number of words that hold so many bits.
    @inlinable
    public static func wordCount(forBits bitCount: Int) -> Int {
        bitCount >> 6 + (bitCount & 63 == 0 ? 0 : 1)
    }

    /// The word with bits `low..<high` set, for `0 <= low < high <= 64`.
    @inlinable
    static func mask(_ low: Int, _ high: Int) -> UInt64 {
        UInt64.max &<< UInt64(low) & UInt64.max &>> UInt64(64 - high)
    }

    /// Calls `body` with every word that `bits` touches, and which of its bits are meant.
    @inlinable
    @inline(__always)
    static func forEachWord(in bits: Range<Int>, _ body: (Int, UInt64) -> Void) {
        guard !bits.isEmpty else { return }
        let firstWord = bits.lowerBound >> 6
        let lastWord = (bits.upperBound - 1) >> 6
        var low = bits.lowerBound & 63
        for word in firstWord..<lastWord {
            body(word, mask(low, 64))
            low = 0
        }
        body(lastWord, mask(low, ((bits.upperBound - 1) & 63) + 1))
    }

    /// Whether the bit is set.
    @inlinable
    public static func contains(_ bit: Int, in words: Span<UInt64>) -> Bool {
        words[bit >> 6] & 1 &<< UInt64(bit & 63) != 0
    }

    /// Sets the bits.
    @inlinable
    public static func set(_ bits: Range<Int>, in words: inout MutableSpan<UInt64>) {
        guard !bits.isEmpty else { return }
        let lastWord = (bits.upperBound - 1) >> 6
        var low = bits.lowerBound & 63
        for word in (bits.lowerBound >> 6)..<lastWord {
            words[word] |= mask(low, 64)
            low = 0
        }
        words[lastWord] |= mask(low, ((bits.upperBound - 1) & 63) + 1)
    }

    /// Clears the bits.
    @inlinable
    public static func clear(_ bits: Range<Int>, in words: inout MutableSpan<UInt64>) {
        guard !bits.isEmpty else { return }
        let lastWord = (bits.upperBound - 1) >> 6
        var low = bits.lowerBound & 63
        for word in (bits.lowerBound >> 6)..<lastWord {
            words[word] &= ~mask(low, 64)
            low = 0
        }
        words[lastWord] &= ~mask(low, ((bits.upperBound - 1) & 63) + 1)
    }

    /// The number of set bits among `bits`.
    @inlinable
    public static func count(_ bits: Range<Int>, in words: Span<UInt64>) -> Int {
        var total = 0
        forEachWord(in: bits) { word, mask in
            total += (words[word] & mask).nonzeroBitCount
        }
        return total
    }

    /// The first of `bits` that is set, or nil.
    @inlinable
    public static func firstSet(_ bits: Range<Int>, in words: Span<UInt64>) -> Int? {
        first(bits, in: words, flipping: 0)
    }

    /// The first of `bits` that is clear, or nil.
    @inlinable
    public static func firstClear(_ bits: Range<Int>, in words: Span<UInt64>) -> Int? {
        first(bits, in: words, flipping: .max)
    }

    @inlinable
    static func first(_ bits: Range<Int>, in words: Span<UInt64>, flipping flip: UInt64) -> Int? {
        guard !bits.isEmpty else { return nil }
        let lastWord = (bits.upperBound - 1) >> 6
        var word = bits.lowerBound >> 6
        var found = (words[word] ^ flip) & mask(bits.lowerBound & 63, 64)
        while found == 0 {
            word += 1
            guard word <= lastWord else { return nil }
            found = words[word] ^ flip
        }
        let bit = word << 6 + found.trailingZeroBitCount
        return bit < bits.upperBound ? bit : nil
    }

    /// Calls `body` with every run of set bits among `bits`, in ascending order; runs don't touch.
    @inlinable
    public static func forEachRun(
        _ bits: Range<Int>, in words: Span<UInt64>, _ body: (Range<Int>) -> Void
    ) {
        var from = bits.lowerBound
        while let start = firstSet(from..<bits.upperBound, in: words) {
            let end = firstClear(start..<bits.upperBound, in: words) ?? bits.upperBound
            body(start..<end)
            from = end
        }
    }

    /// The `count` bits (1 to 64) from `position` on, in the low bits of the result.
    @inlinable
    public static func extract(_ count: Int, at position: Int, from words: Span<UInt64>) -> UInt64 {
        precondition(count > 0 && count <= 64)
        let word = position >> 6
        let shift = position & 63
        var value = words[word] &>> UInt64(shift)
        if shift + count > 64 {
            value |= words[word + 1] &<< UInt64(64 - shift)
        }
        return value & mask(0, count)
    }

    /// Sets, in `destination` from bit `target` on, the bits that are set among `bits` of `source`.
    ///
    /// Position 0 of `bits` and `target` needn't agree modulo 64.
    @inlinable
    public static func merge(
        _ bits: Range<Int>, of source: Span<UInt64>, into destination: inout MutableSpan<UInt64>,
        at target: Int
    ) {
        var from = bits.lowerBound
        var to = target
        while from < bits.upperBound {
            if (from | to) & 63 == 0 && bits.upperBound - from >= 512 {
                mergeBlock(from >> 6, of: source, into: &destination, at: to >> 6)
                from += 512
                to += 512
                continue
            }
            let offset = to & 63
            let length = Swift.min(64 - offset, bits.upperBound - from)
            destination[to >> 6] |= extract(length, at: from, from: source) &<< UInt64(offset)
            from += length
            to += length
        }
    }

    /// Sets, in eight words, the bits that are set in eight others.
    @inlinable
    @inline(__always)
    static func mergeBlock(
        _ word: Int, of source: Span<UInt64>, into destination: inout MutableSpan<UInt64>, at target: Int
    ) {
        let block = source.extracting(word..<word + 8)
        // Nearly all of a large memory is clean: then nothing of the destination is even read.
        var any: UInt64 = 0
        for index in 0..<8 { any |= block[index] }
        if any == 0 { return }
        for index in 0..<8 { destination[target + index] |= block[index] }
    }

    /// Sets, in `destination`, one bit for every 2^`shift` bits of `source` among which one is set: pages
    /// become larger pages.
    ///
    /// Bit `i` of `source` belongs to bit `(i + offset) >> shift` of `destination`.
    ///
    /// - Parameters:
    ///   - bits: the bits of `source` that count.
    ///   - source: one bit for each small page.
    ///   - shift: how much larger the larger page is, as a power of two; 0 to 31.
    ///   - offset: the number of small pages between the start of bit 0 of `destination` and that of
    ///     `source`.
    ///   - destination: one bit for each large page.
    @inlinable
    public static func mergeFolding(
        _ bits: Range<Int>, of source: Span<UInt64>, by shift: Int, offset: Int = 0,
        into destination: inout MutableSpan<UInt64>
    ) {
        precondition(shift >= 0 && shift < 32 && offset >= 0 && offset < 1 << 60)
        var from = bits.lowerBound
        while let start = firstSet(from..<bits.upperBound, in: source) {
            let end = firstClear(start..<bits.upperBound, in: source) ?? bits.upperBound
            let large = (start + offset) >> shift..<((end - 1 + offset) >> shift + 1)
            set(large, in: &destination)
            // What is left of the last large page is set already; go on behind it.
            let next = (large.upperBound << shift) - offset
            guard next < bits.upperBound else { return }
            from = next
        }
    }

    /// Sets, in `destination`, 2^`shift` bits for every set bit of `source`: pages become smaller pages.
    ///
    /// Bit `i` of `source` becomes the bits from `(i << shift) - offset` on; what would lie outside
    /// `0..<limit` is left out.
    ///
    /// - Parameters:
    ///   - bits: the bits of `source` that count.
    ///   - source: one bit for each large page.
    ///   - shift: how much smaller the smaller page is, as a power of two; 0 to 31.
    ///   - offset: the number of small pages between the start of bit 0 of `source` and that of
    ///     `destination`.
    ///   - limit: the number of bits of `destination` that may be set.
    ///   - destination: one bit for each small page.
    @inlinable
    public static func mergeSpreading(
        _ bits: Range<Int>, of source: Span<UInt64>, by shift: Int, offset: Int = 0, limit: Int,
        into destination: inout MutableSpan<UInt64>
    ) {
        precondition(shift >= 0 && shift < 32 && offset >= 0 && offset < 1 << 60 && limit >= 0)
        var from = bits.lowerBound
        while let start = firstSet(from..<bits.upperBound, in: source) {
            let end = firstClear(start..<bits.upperBound, in: source) ?? bits.upperBound
            let low = Swift.max((start << shift) - offset, 0)
            let high = Swift.min((end << shift) - offset, limit)
            if low < high {
                set(low..<high, in: &destination)
            }
            from = end
        }
    }

    /// Moves the first `count` words up by `bits` (0 to 63): what is pushed out of a word goes into the next,
    /// what is pushed out of the last one is lost, and zeroes come in at the bottom.
    @inlinable
    public static func shiftUp(_ count: Int, of words: inout MutableSpan<UInt64>, by bits: Int) {
        precondition(bits >= 0 && bits < 64)
        guard bits > 0 else { return }
        var carry: UInt64 = 0
        for index in 0..<count {
            let word = words[index]
            words[index] = word &<< UInt64(bits) | carry
            carry = word &>> UInt64(64 - bits)
        }
    }
}
