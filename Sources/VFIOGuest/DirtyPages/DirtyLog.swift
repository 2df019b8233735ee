import IOVASpace
import LinuxSystem

/// Those who want to know which pages of guest memory were written, each with a record of its own.
public struct DirtyClients: OptionSet, Hashable, Sendable {
    /// One bit for each.
    public let rawValue: UInt8
    /// Wraps bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// A display that draws from guest memory.
    public static let display = DirtyClients(rawValue: 1)
    /// A translator of guest code.
    public static let code = DirtyClients(rawValue: 2)
    /// A migration.
    public static let migration = DirtyClients(rawValue: 4)
    /// All of them.
    public static let all: DirtyClients = [.display, .code, .migration]
    static let count = 3
}

/// Which pages of a ``RAMBlock`` were written: one bit for each page of the machine and each client.
///
/// May be used from any thread, also while others mark pages: a page that is marked while the log is taken is in
/// what is taken or stays marked.
///
/// Each client has its bits twice. Whoever writes memory marks pages one by one and waits for nobody, so those bits
/// are changed atomically. The bitmaps of IOMMUs and devices are long, and an atomic change of every word would take
/// ten times as long as a copy: they are merged into bits of their own, under a lock. A page is marked if either bit
/// is.
@safe public final class DirtyLog: @unchecked Sendable {
    /// How many pages there are.
    public let pageCount: Int
    private let wordCount: Int
    // Pages of zeroes that aren't touched cost nothing.
    private let storage: Mapping
    private let lock = Lock()
    // SAFETY: the second half of `storage`, the words of all clients; touched under `lock` only.
    private let merged: UnsafeMutableBufferPointer<UInt64>

    init(byteCount: UInt64) throws(Errno) {
        pageCount = Int((byteCount + UInt64(pageSize) - 1) / UInt64(pageSize))
        wordCount = (pageCount + 63) / 64
        let all = DirtyClients.count * wordCount
        storage = try Mapping(anonymous: 2 * all * 8)
        // SAFETY: the mapping is that long, and lives as long as this object.
        unsafe merged = UnsafeMutableBufferPointer(
            start: UnsafeMutablePointer(
                bitPattern: storage.window.window(at: all * 8, byteCount: all * 8).address.rawValue),
            count: all)
    }

    /// Where a client's word lies that is changed atomically.
    private func place(_ client: Int, _ word: Int) -> Int { (client * wordCount + word) * 8 }

    /// Lets `body` use the bits that were merged for a client, alone.
    private func withMerged<R>(_ client: Int, _ body: (inout MutableSpan<UInt64>) -> R) -> R {
        lock.withLock {
            // SAFETY: the lock is held, and `body` can't keep the span.
            var words = unsafe MutableSpan(
                _unsafeElements: merged.extracting(client * wordCount..<(client + 1) * wordCount))
            return body(&words)
        }
    }

    /// The client's number if it is one client.
    private func number(_ client: DirtyClients) -> Int {
        precondition(client.rawValue.nonzeroBitCount == 1, "one client at a time")
        return client.rawValue.trailingZeroBitCount
    }

    private func forEach(_ clients: DirtyClients, _ body: (Int) -> Void) {
        for client in 0..<DirtyClients.count where clients.rawValue & 1 << client != 0 { body(client) }
    }

    // MARK: marking

    /// Marks the pages that a range of the block's bytes touches.
    /// - Parameters:
    ///   - offset: where the range begins; ranges beyond the block's end are cut.
    ///   - byteCount: its length; 0 marks nothing.
    public func mark(at offset: UInt64, byteCount: UInt64, for clients: DirtyClients) {
        guard byteCount > 0, offset / UInt64(pageSize) < UInt64(pageCount) else { return }
        let (last, overflow) = offset.addingReportingOverflow(byteCount - 1)
        let lastPage = overflow ? pageCount - 1 : Int(min(last / UInt64(pageSize), UInt64(pageCount - 1)))
        mark(Int(offset / UInt64(pageSize))..<lastPage + 1, for: clients)
    }

    /// Marks pages.
    public func mark(_ pages: Range<Int>, for clients: DirtyClients) {
        let pages = pages.clamped(to: 0..<pageCount)
        // What was written comes before the look at the marks: whoever has taken a mark that is still seen here has yet
        // to read the page.
        Fence.full()
        forEach(clients) { client in
            forEachWord(of: pages) { word, mask in
                let place = place(client, word)
                // Most pages that are marked are marked already, and a look is cheaper than an atomic change.
                if storage.window.bits64(place) & mask != mask { storage.window.setBits64(place, mask) }
            }
        }
    }

    /// The words that hold some pages, and which of each word's bits do.
    @inline(__always)
    private func forEachWord(of pages: Range<Int>, _ body: (Int, UInt64) -> Void) {
        var page = pages.lowerBound
        while page < pages.upperBound {
            let bit = page & 63
            let count = min(64 - bit, pages.upperBound - page)
            body(page >> 6, (count == 64 ? .max : (1 << UInt64(count)) - 1) << UInt64(bit))
            page += count
        }
    }

    /// Marks the pages whose bits are set in a bitmap, as an IOMMU or a device reports them.
    /// - Parameters:
    ///   - words: one bit for each page of the machine, the first page in bit 0 of the first word.
    ///   - count: how many of the bits count; what lies beyond the block's end is left out.
    ///   - page: the block's page that bit 0 stands for.
    public func merge(_ words: Span<UInt64>, count: Int, at page: Int, for clients: DirtyClients) {
        merge(0..<min(max(count, 0), words.count * 64), of: words, at: page, for: clients)
    }

    /// Marks the pages whose bits are set among some of a bitmap's.
    /// - Parameters:
    ///   - bits: which bits count; all of them are in the bitmap.
    ///   - page: the block's page that the first of them stands for.
    func merge(_ bits: Range<Int>, of words: Span<UInt64>, at page: Int, for clients: DirtyClients) {
        guard page >= 0, page < pageCount else { return }
        let bits = bits.prefix(pageCount - page)
        guard !bits.isEmpty else { return }
        forEach(clients) { client in
            withMerged(client) { BitWords.merge(bits, of: words, into: &$0, at: page) }
        }
    }

    // MARK: asking

    /// Whether a page is marked.
    public func contains(_ page: Int, for client: DirtyClients) -> Bool {
        guard page >= 0, page < pageCount else { return false }
        let client = number(client)
        return storage.window.bits64(place(client, page / 64)) >> UInt64(page % 64) & 1 != 0
            || withMerged(client) { BitWords.contains(page, in: $0.span) }
    }

    /// How many pages are marked.
    public func count(for client: DirtyClients) -> Int {
        let client = number(client)
        return withMerged(client) { merged in
            var count = 0
            for word in 0..<wordCount {
                count += (storage.window.bits64(place(client, word)) | merged[word]).nonzeroBitCount
            }
            return count
        }
    }

    // MARK: taking

    /// How many words are taken at a time.
    private static var chunk: Int { 256 }

    /// Takes all marks: calls `body` with each run of marked pages, ascending, and clears them before.
    /// - Parameter pages: which pages to look at; nil for all.
    /// - Throws: the first error of `body`. The run that it was called with is marked again, and so is what comes after.
    public func take<E: Error>(
        _ pages: Range<Int>? = nil, for client: DirtyClients, _ body: (Range<Int>) throws(E) -> Void
    ) throws(E) {
        let clients = client
        let client = number(client)
        let pages = (pages ?? 0..<pageCount).clamped(to: 0..<pageCount)
        var run: Range<Int>?
        var words = InlineArray<256, UInt64>(repeating: 0)
        var page = pages.lowerBound
        while page < pages.upperBound {
            let base = page & ~63
            let end = min(base + Self.chunk * 64, pages.upperBound)
            let part = page..<end
            page = end
            guard take(part, client, into: &words) else { continue }
            var from = part.lowerBound - base
            while let start = BitWords.firstSet(from..<end - base, in: words.span) {
                from = BitWords.firstClear(start..<end - base, in: words.span) ?? end - base
                let next = base + start..<base + from
                guard let known = run else {
                    run = next
                    continue
                }
                if known.upperBound == next.lowerBound {
                    run = known.lowerBound..<next.upperBound
                    continue
                }
                do throws(E) {
                    try body(known)
                } catch {
                    mark(known, for: clients)
                    merge(start..<end - base, of: words.span, at: next.lowerBound, for: clients)
                    throw error
                }
                run = next
            }
        }
        guard let known = run else { return }
        do throws(E) {
            try body(known)
        } catch {
            mark(known, for: clients)
            throw error
        }
    }

    /// Takes the marks of at most so many words' pages.
    /// - Parameter words: gets the words; their bits for other pages mean nothing.
    /// - Returns: whether there are any.
    private func take(_ pages: Range<Int>, _ client: Int, into words: inout InlineArray<256, UInt64>) -> Bool
    {
        let first = pages.lowerBound >> 6
        let last = (pages.upperBound - 1) >> 6
        // Nearly all of a large guest is clean.
        let isMerged = withMerged(client) { merged in
            guard BitWords.firstSet(pages, in: merged.span) != nil else { return false }
            for word in first...last { words[word - first] = merged[word] }
            BitWords.clear(pages, in: &merged)
            return true
        }
        var any: UInt64 = 0
        for word in first...last { any |= storage.window.bits64(place(client, word)) }
        if any == 0 { return isMerged }
        if !isMerged { for word in first...last { words[word - first] = 0 } }
        forEachWord(of: pages) { word, mask in
            let place = place(client, word)
            guard storage.window.bits64(place) & mask != 0 else { return }
            words[word - first] |= storage.window.clearBits64(place, mask) & mask
        }
        // The marks are gone before the pages are read.
        Fence.full()
        return true
    }

    /// Forgets all marks.
    public func clear(for clients: DirtyClients) {
        forEach(clients) { client in
            withMerged(client) { merged in
                // Not all of it at once: what was never touched would need memory then.
                let end = wordCount * 64
                var page = 0
                while let next = BitWords.firstSet(page..<end, in: merged.span) {
                    page = min((next | 4095) + 1, end)
                    BitWords.clear(next..<page, in: &merged)
                }
            }
            for word in 0..<wordCount where storage.window.bits64(place(client, word)) != 0 {
                _ = storage.window.clearBits64(place(client, word), .max)
            }
        }
        Fence.full()
    }
}
