import IOVASpace
import LinuxSystem

/// The pages of a client's memory that the device wrote: a bit for each 4 KiB, whatever size the client's pages have.
///
/// Marking may happen on any number of threads at a time; everything else needs the map's write lock.
final class DirtyLog: @unchecked Sendable {
    // SAFETY: `pages` is changed under the map's write lock only; threads that mark hold its read lock and change
    // words by atomic operations.

    /// The bytes that a bit stands for: no page is smaller.
    static let granule: UInt64 = 4096
    private static let granuleShift: UInt64 = 12
    /// The most bytes of bitmaps: those for 8 TiB. Only what was marked takes memory.
    static let byteLimit = 256 << 20

    /// The bits of one mapping.
    private struct Pages {
        /// The number of the first granule.
        let first: UInt64
        /// The number of the last granule.
        let last: UInt64
        let words: Bitmap
    }

    private final class Bitmap {
        private let mapping: Mapping
        let window: MemoryWindow
        init(byteCount: Int) throws(Errno) {
            mapping = try Mapping(anonymous: byteCount)
            window = mapping.window
        }
    }

    /// The page size that the client asked for.
    let pageSize: UInt64
    /// By the tags of mappings.
    private var pages: [Pages?] = []
    private var byteCount = 0

    init(pageSize: UInt64) { self.pageSize = pageSize }

    // MARK: mappings

    /// Begins with a mapping. One that the device can't write has nothing to log.
    /// - Throws: `ENOSPC`, `ENOMEM`.
    func add(_ range: IOVARange, _ permissions: IOVAPermissions, _ tag: UInt32) throws(Errno) {
        guard permissions.contains(.write) else { return }
        let first = range.first.rawValue >> Self.granuleShift
        let last = range.last.rawValue >> Self.granuleShift
        // No more than 2^52 granules, so nothing overflows.
        let bytes = Int((last - first) >> 6 + 1) * 8
        guard bytes <= Self.byteLimit - byteCount else { throw .noSpace }
        let words = try Bitmap(byteCount: bytes)
        while pages.count <= Int(tag) { pages.append(nil) }
        pages[Int(tag)] = Pages(first: first, last: last, words: words)
        byteCount += bytes
    }

    /// Whether there are bits for a mapping.
    func has(_ tag: UInt32) -> Bool { Int(tag) < pages.count && pages[Int(tag)] != nil }

    /// Forgets a mapping.
    func remove(_ tag: UInt32) {
        guard Int(tag) < pages.count, let old = pages[Int(tag)] else { return }
        byteCount -= Int((old.last - old.first) >> 6 + 1) * 8
        pages[Int(tag)] = nil
    }

    /// Forgets all mappings.
    func removeAll() {
        pages = []
        byteCount = 0
    }

    // MARK: bits

    /// Marks what a range and a mapping have in common.
    func mark(_ range: IOVARange, in tag: UInt32) {
        guard Int(tag) < pages.count, let pages = pages[Int(tag)] else { return }
        let window = pages.words.window
        guard let granules = Self.granules(of: pages, in: range) else { return }
        Self.forEachWord(granules) { (offset, mask) in
            // Most pages are written more than once; a look costs less than an atomic change.
            if window.load64(offset) & mask != mask { window.setBits64(offset, mask) }
        }
    }

    /// Sets the bits of dirty pages in `result`, where bit 0 is the page that the range begins with.
    /// - Parameters:
    ///   - range: begins at a granule.
    ///   - pageShift: the binary logarithm of the bytes that a bit of `result` stands for, 12...63.
    func report(
        _ range: IOVARange, of tag: UInt32, pageShift: UInt64, clears: Bool, into result: MemoryWindow
    ) {
        guard Int(tag) < pages.count, let pages = pages[Int(tag)] else { return }
        guard let granules = Self.granules(of: pages, in: range) else { return }
        let window = pages.words.window
        let shift = pageShift - Self.granuleShift
        // How far the mapping's first granule lies behind the range's; negative where it lies before.
        let distance =
            Int64(bitPattern: pages.first) - Int64(bitPattern: range.first.rawValue >> Self.granuleShift)
        func report(_ granules: ClosedRange<Int>) {
            Self.forEachWord(granules) { (offset, mask) in
                let word = window.load64(offset)
                let bits = word & mask
                guard bits != 0 else { return }
                if clears { window.store64(offset, word & ~mask) }
                Self.set(bits, at: Int(distance) + 8 * offset, shift, in: result)
            }
        }
        // Whole words that lie in the result as they lie here are nobody else's.
        let first = (granules.lowerBound + 63) & ~63
        let end = (granules.upperBound + 1) & ~63
        guard shift == 0, distance & 63 == 0, first < end else { return report(granules) }
        if granules.lowerBound < first { report(granules.lowerBound...first - 1) }
        Self.move(
            (end - first) / 8, from: window, at: first / 8, clears: clears, to: result,
            at: (Int(distance) + first) / 8)
        if end <= granules.upperBound { report(end...granules.upperBound) }
    }

    /// Copies whole words of bits and clears them, page by page: those that nobody has marked have no memory, and
    /// get none.
    private static func move(
        _ byteCount: Int, from source: MemoryWindow, at start: Int, clears: Bool, to result: MemoryWindow,
        at position: Int
    ) {
        for offset in stride(from: 0, to: byteCount, by: 4096) {
            let count = min(4096, byteCount - offset)
            guard source.hasBits(at: start + offset, byteCount: count) else { continue }
            result.copy(from: source, at: start + offset, to: position + offset, byteCount: count)
            if clears { source.zero(at: start + offset, byteCount: count) }
        }
    }

    /// Sets the bits of the pages in which these granules lie.
    private static func set(
        _ granules: UInt64, at position: Int, _ shift: UInt64, in result: MemoryWindow
    ) {
        if shift == 0 { return set(granules, at: position, in: result) }
        var bits = granules
        while bits != 0 {
            let low = bits.trailingZeroBitCount
            let count = (~(bits >> UInt64(low))).trailingZeroBitCount
            let first = (position + low) >> Int(shift)
            let last = (position + low + count - 1) >> Int(shift)
            for page in first...last { set(1, at: page, in: result) }
            bits &= count + low >= 64 ? 0 : UInt64.max << UInt64(low + count)
        }
    }

    /// Sets bits of a row of words; only bits that are not set may lie before its beginning or behind its end.
    @inline(__always)
    private static func set(_ bits: UInt64, at position: Int, in words: MemoryWindow) {
        if position < 0 {
            let low = bits >> UInt64(-position)
            words.store64(0, words.load64(0) | low)
            return
        }
        let offset = (position >> 6) << 3
        let shift = UInt64(position & 63)
        let low = bits << shift
        if low != 0 { words.store64(offset, words.load64(offset) | low) }
        let high = shift == 0 ? 0 : bits >> (64 - shift)
        if high != 0 { words.store64(offset + 8, words.load64(offset + 8) | high) }
    }

    /// Which granules of a mapping lie in a range, counted from the mapping's first; nil for none.
    @inline(__always)
    private static func granules(of pages: Pages, in range: IOVARange) -> ClosedRange<Int>? {
        let first = max(range.first.rawValue >> granuleShift, pages.first)
        let last = min(range.last.rawValue >> granuleShift, pages.last)
        guard first <= last else { return nil }
        return Int(first - pages.first)...Int(last - pages.first)
    }

    /// Calls `body` with the offset of every word that has bits for some of these granules, and which bits those
    /// are.
    @inline(__always)
    private static func forEachWord(_ granules: ClosedRange<Int>, _ body: (Int, UInt64) -> Void) {
        let low = granules.lowerBound
        let high = granules.upperBound
        for word in low >> 6...high >> 6 {
            var mask = UInt64.max
            if word == low >> 6 { mask <<= UInt64(low & 63) }
            if word == high >> 6 { mask &= UInt64.max >> UInt64(63 - high & 63) }
            body(8 * word, mask)
        }
    }
}

extension MemoryWindow {
    /// Whether any bit is set in some of the bytes: whole words of memory that nobody changes meanwhile.
    fileprivate func hasBits(at offset: Int, byteCount: Int) -> Bool {
        let bytes = unsafe UnsafeRawBufferPointer(window(at: offset, byteCount: byteCount).unsafeBytes)
        var bits: UInt64 = 0
        for index in stride(from: 0, to: byteCount & ~7, by: 8) {
            // SAFETY: inside the window, whose bounds were checked; any bytes are a number.
            bits |= unsafe bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        }
        return bits != 0
    }
}
