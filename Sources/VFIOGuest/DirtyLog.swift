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
public final class DirtyLog: Sendable {
    /// How many pages there are.
    public let pageCount: Int
    private let wordCount: Int
    // Pages of zeroes that aren't touched cost nothing.
    private let storage: Mapping

    init(byteCount: UInt64) throws(Errno) {
        pageCount = Int((byteCount + UInt64(pageSize) - 1) / UInt64(pageSize))
        wordCount = (pageCount + 63) / 64
        storage = try Mapping(anonymous: DirtyClients.count * wordCount * 8)
    }

    private func place(_ client: Int, _ word: Int) -> Int { (client * wordCount + word) * 8 }

    /// The client's number if it is one client.
    private func number(_ client: DirtyClients) -> Int {
        precondition(client.rawValue.nonzeroBitCount == 1, "one client at a time")
        return client.rawValue.trailingZeroBitCount
    }

    private func forEach(_ clients: DirtyClients, _ body: (Int) -> Void) {
        for client in 0..<DirtyClients.count where clients.rawValue & 1 << client != 0 { body(client) }
    }

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
        forEach(clients) { client in
            forEachWord(of: pages) { word, mask in set(client, word, mask) }
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

    @inline(__always)
    private func set(_ client: Int, _ word: Int, _ bits: UInt64) {
        let at = place(client, word)
        // Most pages that are marked are marked already, and a look is cheaper than an atomic change.
        if storage.window.load64(at) & bits != bits { storage.window.setBits64(at, bits) }
    }

    /// Marks the pages whose bits are set in a bitmap, as an IOMMU or a device reports them.
    /// - Parameters:
    ///   - words: one bit for each page of the machine, the first page in bit 0 of the first word.
    ///   - count: how many of the bits count; what lies beyond the block's end is left out.
    ///   - page: the block's page that bit 0 stands for.
    public func merge(_ words: Span<UInt64>, count: Int, at page: Int, for clients: DirtyClients) {
        let count = min(count, words.count * 64, pageCount - page)
        guard page >= 0, count > 0 else { return }
        forEach(clients) { client in merge(words, count, page, client) }
    }

    private func merge(_ words: Span<UInt64>, _ count: Int, _ page: Int, _ client: Int) {
        let shift = UInt64(page & 63)
        let first = page >> 6
        let whole = count / 64
        var index = 0
        while index < whole {
            // Nearly all of a large guest is clean: go over clean words eight at a time.
            while index + 8 <= whole {
                var any: UInt64 = 0
                for step in 0..<8 { any |= words[index + step] }
                if any != 0 { break }
                index += 8
            }
            let end = min(index + 8, whole)
            while index < end {
                merge(words[index], client, first + index, shift)
                index += 1
            }
        }
        if count % 64 != 0 {
            merge(words[whole] & ((1 << UInt64(count % 64)) - 1), client, first + whole, shift)
        }
    }

    @inline(__always)
    private func merge(_ bits: UInt64, _ client: Int, _ word: Int, _ shift: UInt64) {
        if bits == 0 { return }
        let low = bits << shift
        if low != 0 { set(client, word, low) }
        // With a shift of 0 nothing is left over (a shift by 64 gives 0).
        let high = bits >> (64 - shift)
        if high != 0 { set(client, word + 1, high) }
    }

    /// Whether a page is marked.
    public func contains(_ page: Int, for client: DirtyClients) -> Bool {
        guard page >= 0, page < pageCount else { return false }
        return storage.window.load64(place(number(client), page / 64)) >> UInt64(page % 64) & 1 != 0
    }

    /// How many pages are marked.
    public func count(for client: DirtyClients) -> Int {
        let client = number(client)
        var count = 0
        for word in 0..<wordCount { count += storage.window.load64(place(client, word)).nonzeroBitCount }
        return count
    }

    /// Takes all marks: calls `body` with each run of marked pages, ascending, and clears them before.
    public func take<E: Error>(
        _ pages: Range<Int>? = nil, for client: DirtyClients, _ body: (Range<Int>) throws(E) -> Void
    ) throws(E) {
        let client = number(client)
        let pages = (pages ?? 0..<pageCount).clamped(to: 0..<pageCount)
        var run: Range<Int>?
        var page = pages.lowerBound
        while page < pages.upperBound {
            let bit = page & 63
            let length = min(64 - bit, pages.upperBound - page)
            let mask: UInt64 = (length == 64 ? .max : (1 << UInt64(length)) - 1) << UInt64(bit)
            let at = place(client, page >> 6)
            var bits = storage.window.load64(at) & mask
            if bits != 0 { bits = storage.window.clearBits64(at, mask) & mask }
            while bits != 0 {
                let start = bits.trailingZeroBitCount
                let after = (~(bits >> UInt64(start))).trailingZeroBitCount
                let first = page - bit + start
                bits = start + after == 64 ? 0 : bits & (.max << UInt64(start + after))
                if let known = run, known.upperBound == first {
                    run = known.lowerBound..<first + after
                } else {
                    if let known = run { try body(known) }
                    run = first..<first + after
                }
            }
            page += length
        }
        if let known = run { try body(known) }
    }

    /// Forgets all marks.
    public func clear(for clients: DirtyClients) {
        forEach(clients) { client in
            for word in 0..<wordCount where storage.window.load64(place(client, word)) != 0 {
                _ = storage.window.clearBits64(place(client, word), .max)
            }
        }
    }
}
