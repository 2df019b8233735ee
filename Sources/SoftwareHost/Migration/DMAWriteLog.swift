import IOVASpace
import LinuxSystem

/// The log that a device keeps of the pages that it writes (kernel.md E.5).
///
/// A mark comes after its write, and both happen with the slot's gate held for reading.
final class DMAWriteLog: @unchecked Sendable {
    // SAFETY: what changes is only touched with `lock` held.
    private let lock = Lock()
    private var ranges: [LoggedRange] = []
    private var pageShift: UInt64 = 12

    /// The most pages that are logged, all ranges together: 32 MiB of bits. A longer range is logged in larger
    /// pages.
    private static let mostPages: UInt64 = 1 << 28

    private final class LoggedRange {
        let range: IOVARange
        var bits: DirtyBitmap
        init(_ range: IOVARange, _ bits: consuming DirtyBitmap) {
            self.range = range
            self.bits = bits
        }
    }

    /// Begins to log.
    /// - Parameters:
    ///   - ranges: not overlapping.
    ///   - pageSize: the page size that is wished for: a power of two.
    /// - Returns: the page size that it is.
    /// - Throws: `EINVAL` if it has begun already; `ENOMEM`.
    func start(_ ranges: [IOVARange], pageSize: UInt64) throws(Errno) -> UInt64 {
        try lock.withLock { () throws(Errno) -> UInt64 in
            guard self.ranges.isEmpty else { throw .invalid }
            var shift = max(12, UInt64(pageSize.trailingZeroBitCount))
            while Self.pages(ranges, shift) > Self.mostPages { shift += 1 }
            var new: [LoggedRange] = []
            for range in ranges {
                guard let bits = DirtyBitmap(bitCount: Int(Self.pages(range, shift))) else { throw .noMemory }
                new.append(LoggedRange(range, bits))
            }
            self.ranges = new
            pageShift = shift
            return 1 << shift
        }
    }

    /// Ends it.
    func stop() { lock.withLock { ranges = [] } }

    /// How many pages a range touches.
    private static func pages(_ range: IOVARange, _ shift: UInt64) -> UInt64 {
        range.last.rawValue >> shift - range.first.rawValue >> shift + 1
    }

    private static func pages(_ ranges: [IOVARange], _ shift: UInt64) -> UInt64 {
        var sum: UInt64 = 0
        for range in ranges {
            let (more, overflow) = sum.addingReportingOverflow(pages(range, shift))
            if overflow { return .max }
            sum = more
        }
        return sum
    }

    /// Something was written.
    func mark(_ iova: IOVA, byteCount: Int) {
        guard let written = IOVARange(iova, byteCount: UInt64(byteCount)) else { return }
        lock.lock()
        defer { lock.unlock() }
        for logged in ranges {
            guard let part = logged.range.intersection(written) else { continue }
            logged.bits.insert(pages(of: part, logged))
        }
    }

    /// The pages of a logged range that a part of it touches.
    private func pages(of part: IOVARange, _ logged: LoggedRange) -> Range<Int> {
        let base = logged.range.first.rawValue >> pageShift
        return Int(part.first.rawValue >> pageShift - base)..<Int(part.last.rawValue >> pageShift - base) + 1
    }

    /// Reports which pages of a range were written, and forgets it.
    /// - Parameters:
    ///   - bitmap: where the user has the bit of the range's first page; bits are set, none is cleared.
    ///   - pageSize: what a bit of the user's stands for: a power of two.
    /// - Throws: `EINVAL` if nothing is logged; `EFAULT`, and nothing is forgotten.
    func report(_ range: IOVARange, pageSize: UInt64, into bitmap: HostAddress) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            guard !ranges.isEmpty else { throw .invalid }
            let user = UserBits(bitmap, of: range, pageSize: pageSize)
            for logged in ranges {
                guard let part = logged.range.intersection(range) else { continue }
                let pages = pages(of: part, logged)
                var next = pages.lowerBound
                while let run = logged.bits.firstDirty(in: next..<pages.upperBound) {
                    let end = logged.bits.firstClean(in: run..<pages.upperBound) ?? pages.upperBound
                    if let dirty = addresses(of: run..<end, logged).intersection(part) { try user.set(dirty) }
                    next = end
                }
            }
            for logged in ranges {
                guard let part = logged.range.intersection(range) else { continue }
                // A page that reaches beyond what was asked for stays marked: its other part wasn't told.
                var pages = pages(of: part, logged)
                let (first, last) = (
                    addresses(of: pages.lowerBound..<pages.lowerBound + 1, logged),
                    addresses(of: pages.upperBound - 1..<pages.upperBound, logged)
                )
                let begins = first.first < part.first && logged.range.first < part.first ? 1 : 0
                let ends = last.last > part.last && logged.range.last > part.last ? 1 : 0
                guard pages.count > begins + ends else { continue }
                pages = pages.lowerBound + begins..<pages.upperBound - ends
                logged.bits.remove(pages)
            }
        }
    }

    /// What pages of a logged range stand for.
    private func addresses(of pages: Range<Int>, _ logged: LoggedRange) -> IOVARange {
        let base = logged.range.first.rawValue >> pageShift
        let first = (base + UInt64(pages.lowerBound)) << pageShift
        let last = (base + UInt64(pages.upperBound - 1)) << pageShift | (1 << pageShift - 1)
        // The last address is never below the first.
        return IOVARange(first: IOVA(first), last: IOVA(last)) ?? .all
    }
}
