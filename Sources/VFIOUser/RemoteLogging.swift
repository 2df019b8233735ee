import IOVASpace
import LinuxSystem
import VFIOABI

/// How the pages are logged that a server's device writes.
struct RemoteLogging {
    /// Whose log it is. A server has one, which each report clears.
    enum User { case device, container }

    let user: User
    /// The page size that was asked for, in bytes.
    let wanted: UInt64
    let ranges: [DMALoggingRange]
    /// The server's page size in bytes: reports are asked for in no other, since libvfio-user converts wrongly.
    let pageSize: UInt64

    /// Begins anew in a server that has come back.
    func restore(_ client: Client) throws(ClientFailure) {
        guard try client.startLogging(pageSize: wanted, ranges) == pageSize else {
            throw .malformed(.deviceFeature)
        }
    }
}

/// What a program gets of dirty pages: bits in its own memory.
struct UserDirtyBits {
    private let address: HostAddress
    private let range: IOVARange
    /// The bytes that a bit stands for.
    let pageSize: UInt64
    private var shift: UInt64 { UInt64(pageSize.trailingZeroBitCount) }

    /// - Parameters:
    ///   - address: where the first word is, that with the bit of the range's first page.
    ///   - pageSize: a power of two.
    init(_ address: HostAddress, of range: IOVARange, pageSize: UInt64) {
        self.address = address
        self.range = range
        self.pageSize = pageSize
    }

    private func page(_ address: UInt64) -> UInt64 { (address - range.first.rawValue) >> shift }

    /// The words that have the bits of a part.
    private func words(of part: IOVARange) -> ClosedRange<UInt64> {
        page(part.first.rawValue) / 64...page(part.last.rawValue) / 64
    }

    /// Makes sure that a part's first and last bits can be written.
    /// - Throws: `EFAULT`
    func check(_ part: IOVARange) throws(Errno) {
        for end in [part.first, part.last] {
            if let piece = IOVARange(first: end, last: end) { try change(piece) { _ in } }
        }
    }

    /// Sets bits, and clears none.
    /// - Parameters:
    ///   - dirty: a bit for each page of `size` bytes from `first` on.
    ///   - part: what lies outside is left out.
    /// - Throws: `EFAULT`
    func insert(_ dirty: [UInt64], size: UInt64, from first: UInt64, in part: IOVARange) throws(Errno) {
        let sourceShift = UInt64(size.trailingZeroBitCount)
        try change(part) { words in
            let base = page(part.first.rawValue) & ~63
            for (index, word) in dirty.enumerated() {
                var bits = word
                while bits != 0 {
                    let low = bits.trailingZeroBitCount
                    let count = (~(bits >> UInt64(low))).trailingZeroBitCount
                    bits &= low + count >= 64 ? 0 : UInt64.max << UInt64(low + count)
                    let start = first + UInt64(64 * index + low) << sourceShift
                    let last = start + UInt64(count) << sourceShift - 1
                    guard start <= part.last.rawValue, last >= part.first.rawValue else { continue }
                    let from = page(max(start, part.first.rawValue)) - base
                    let through = page(min(last, part.last.rawValue)) - base
                    words.insert(Int(from)..<Int(through) + 1)
                }
            }
        }
    }

    /// Sets the bits of a part.
    /// - Throws: `EFAULT`
    func insertAll(_ part: IOVARange) throws(Errno) {
        // In pieces: a mapping may be of any length.
        var first = part.first.rawValue
        while true {
            let last = min(part.last.rawValue, first + (min(pageSize, 1 << 40) << 20 - 1))
            guard let piece = IOVARange(first: IOVA(first), last: IOVA(last)) else { return }
            try change(piece) { words in
                let base = page(first) & ~63
                words.insert(Int(page(first) - base)..<Int(page(last) - base) + 1)
            }
            if last == part.last.rawValue { return }
            first = last + 1
        }
    }

    /// Reads the words of a part, adds bits and writes them back.
    private func change(
        _ part: IOVARange, _ body: (inout IOVASpace.DirtyBitmap) -> Void
    ) throws(Errno) {
        let place = words(of: part)
        guard let offset = Int(exactly: place.lowerBound * 8),
            var bits = IOVASpace.DirtyBitmap(bitCount: place.count * 64)
        else { throw .badAddress }
        let address = HostAddress(rawValue: address.rawValue &+ UInt(offset))
        try bits.withMutableWords { (words) throws(Errno) in
            var bytes = unsafe words.mutableBytes
            try UserMemory.read(from: address, into: &bytes)
        }
        body(&bits)
        try bits.withWords { (words) throws(Errno) in
            // SAFETY: words are plain integers, all of them initialised.
            try unsafe UserMemory.write(words.bytes, to: address)
        }
    }
}

extension RemoteDevice {
    /// Whether the server logs what its device writes.
    func canLog() throws(Errno) -> Bool {
        try perform { (client) throws(ClientFailure) in try client.has(.dmaLoggingReport, .get) }
    }

    /// Begins to log.
    /// - Returns: the page size, in bytes.
    /// - Throws: `EINVAL` where the same user has begun already, `EBUSY` where the other has.
    func startLogging(
        by user: RemoteLogging.User, pageSize: UInt64, _ ranges: [DMALoggingRange]
    ) throws(Errno) -> UInt64 {
        try lock.withLock { () throws(Errno) -> UInt64 in
            if let logging { throw logging.user == user ? .invalid : .busy }
            let actual = try change { (client) throws(ClientFailure) in
                try client.startLogging(pageSize: pageSize, ranges)
            }
            mappings.startLogging()
            logging = RemoteLogging(user: user, wanted: pageSize, ranges: ranges, pageSize: actual)
            return actual
        }
    }

    /// Whether a user's log is kept.
    func isLogging(by user: RemoteLogging.User) -> Bool { lock.withLock { logging?.user == user } }

    /// Ends a user's log; where it has none, there is nothing to end.
    func stopLogging(by user: RemoteLogging.User) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            if logging?.user == user { try endLogging() }
        }
    }

    /// Ends the log. The lock is held.
    func endLogging() throws(Errno) {
        logging = nil
        mappings.stopLogging()
        // A server that has gone logs nothing.
        guard let client, !client.isLost else { return }
        try change { (client) throws(ClientFailure) in try client.stopLogging() }
    }

    /// Reports, and forgets, which pages of a range were written.
    /// - Throws: `EINVAL` where the user's log isn't kept; `EFAULT`; what the server answers.
    func reportDirty(
        _ range: IOVARange, by user: RemoteLogging.User, into bits: UserDirtyBits
    ) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            guard let logging, logging.user == user else { throw .invalid }
            let client = try connection()
            let most = UInt64(client.dirtyBitLimit) * min(logging.pageSize, bits.pageSize)
            var next: UInt64? = range.first.rawValue
            while let at = next, let rest = IOVARange(first: IOVA(at), last: range.last),
                let mapping = mappings.first(in: rest)
            {
                // Whole granules, which is what a log has; mappings are whole ones.
                let first = max(mapping.range.first.rawValue, at & ~(DirtyLog.granule - 1))
                let last = min(mapping.range.last.rawValue, range.last.rawValue, first + (most - 1))
                guard let part = IOVARange(first: IOVA(first), last: IOVA(last)) else { break }
                try report(part, of: mapping, logging.pageSize, into: bits, clip: range)
                next = last == .max ? nil : last + 1
            }
        }
    }

    private func report(
        _ part: IOVARange, of mapping: IOVAMapping, _ size: UInt64, into bits: UserDirtyBits,
        clip: IOVARange
    ) throws(Errno) {
        guard mapping.permissions.contains(.write), let told = part.intersection(clip) else { return }
        try bits.check(told)
        var words = Self.words(for: part, size)
        if isShared(mapping) {
            try change { (client) throws(ClientFailure) in
                try client.takeDirty(part, pageSize: size, into: &words)
            }
        }
        mappings.takeDirty(part, of: mapping, pageSize: size, into: &words)
        try bits.insert(words, size: size, from: part.first.rawValue, in: told)
    }

    private static func words(for part: IOVARange, _ size: UInt64) -> [UInt64] {
        [UInt64](repeating: 0, count: Int(part.lastOffset / size / 64) + 1)
    }

    /// Takes memory from the device and reports which of its pages were written, in one step as far as the server
    /// can do that; otherwise all of them count as written.
    func unmap(_ mapping: IOVAMapping, reporting bits: UserDirtyBits) throws(Errno) {
        try bits.check(mapping.range)
        try lock.withLock { () throws(Errno) in
            guard let logging else { throw .invalid }
            let pages = mapping.range.lastOffset / logging.pageSize + 1
            var words: [UInt64] = []
            if pages <= UInt64(client?.dirtyBitLimit ?? 0) {
                words = Self.words(for: mapping.range, logging.pageSize)
            }
            var isKnown = false
            if let client, isShared(mapping), !words.isEmpty {
                do throws(ClientFailure) {
                    try client.unmap(mapping.range, pageSize: logging.pageSize, dirty: &words)
                    isKnown = true
                } catch .refused {
                    // It is without the bits, or not at all, that it can be unmapped.
                } catch .lost {
                    forget(client)
                } catch {
                    throw error.errno
                }
            }
            if !isKnown { try release(mapping) }
            if isKnown || !isShared(mapping) && !words.isEmpty {
                mappings.takeDirty(mapping.range, of: mapping, pageSize: logging.pageSize, into: &words)
                mappings.remove(mapping)
                try bits.insert(
                    words, size: logging.pageSize, from: mapping.range.first.rawValue, in: mapping.range)
            } else {
                mappings.remove(mapping)
                try bits.insertAll(mapping.range)
            }
        }
    }
}
