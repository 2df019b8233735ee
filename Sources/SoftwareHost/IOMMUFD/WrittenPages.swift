import IOVASpace
import LinuxSystem

/// Which pages of one mapping were written.
final class WrittenPages {
    let range: IOVARange
    private var bits: DirtyBitmap

    /// No page of a range.
    /// - Throws: `ENOMEM` for more pages than a bitmap can have.
    init(_ range: IOVARange) throws(Errno) {
        let base = range.first.rawValue / UInt64(pageSize)
        let count = range.last.rawValue / UInt64(pageSize) - base + 1
        guard let count = Int(exactly: count), let bits = DirtyBitmap(bitCount: count) else {
            throw .noMemory
        }
        self.range = range
        self.bits = bits
    }

    /// The pages that a part of the range touches.
    private func pages(of part: IOVARange) -> Range<Int> {
        let base = range.first.rawValue / UInt64(pageSize)
        let (first, last) = (part.first.rawValue / UInt64(pageSize), part.last.rawValue / UInt64(pageSize))
        return Int(first - base)..<Int(last - base) + 1
    }

    /// The addresses of pages, as far as they are in the range.
    private func addresses(of pages: Range<Int>) -> IOVARange? {
        let unit = UInt64(pageSize)
        let base = range.first.rawValue / unit
        let all = IOVARange(
            first: IOVA((base + UInt64(pages.lowerBound)) * unit),
            last: IOVA((base + UInt64(pages.upperBound - 1)) * unit + (unit - 1)))
        return all?.intersection(range)
    }

    /// A part of the range was written.
    func insert(_ part: IOVARange) { bits.insert(pages(of: part)) }

    /// Calls `body` with every run of written addresses in a part of the range, ascending.
    func forEachRun(in part: IOVARange, _ body: (IOVARange) throws(Errno) -> Void) throws(Errno) {
        let pages = pages(of: part)
        var next = pages.lowerBound
        while let run = bits.firstDirty(in: next..<pages.upperBound) {
            let end = bits.firstClean(in: run..<pages.upperBound) ?? pages.upperBound
            if let written = addresses(of: run..<end)?.intersection(part) { try body(written) }
            next = end
        }
    }

    /// Forgets what was written to a part of the range.
    func remove(_ part: IOVARange) { bits.remove(pages(of: part)) }
}
