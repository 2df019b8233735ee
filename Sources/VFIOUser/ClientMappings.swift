import IOVASpace
import LinuxSystem

/// The memory of this process that a server's device may reach: what a client answers DMA messages from.
///
/// Whatever the server sends, it gets at what is mapped and nothing else, in the way that was allowed; memory that
/// this process has given up meanwhile is an error and no trap.
final class ClientMappings: @unchecked Sendable {
    // SAFETY: everything is only touched with `lock` held.
    private let lock = Lock()
    /// The tag of each mapping is its own.
    private var map = IOVAMap(mergingAdjacent: false)
    private var freeTags: [UInt32] = []
    private var nextTag: UInt32 = 0
    /// The pages that the server has written by messages, which it doesn't log itself; nil while nobody asks.
    private var log: DirtyLog?
    /// The tags of mappings of which nobody knows any more what was written.
    private var suspects: Set<UInt32> = []

    /// How many mappings there are.
    var count: Int { lock.withLock { map.count } }

    /// Whether anything is mapped in a range.
    func overlaps(_ range: IOVARange) -> Bool { lock.withLock { map.overlaps(range) } }

    /// The first mapping that has a part in a range.
    func first(in range: IOVARange) -> IOVAMapping? { lock.withLock { map.firstMapping(overlapping: range) } }

    /// The mapping that a range would leave a part of, if there is one.
    func bisected(by range: IOVARange) -> IOVAMapping? { lock.withLock { map.mapping(bisectedBy: range) } }

    /// All of them, ascending.
    var all: [IOVAMapping] {
        lock.withLock {
            var all: [IOVAMapping] = []
            map.forEachMapping { all.append($0) }
            return all
        }
    }

    /// Adds a mapping, whose backing is an address of this process.
    /// - Throws: `EEXIST` where something is mapped.
    func add(_ mapping: IOVAMapping) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            var mapping = mapping
            mapping.tag = freeTags.last ?? nextTag
            do throws(IOVAMapError) {
                try map.map(mapping)
            } catch {
                switch error {
                case .overlaps: throw .exists
                default: throw .invalid
                }
            }
            if freeTags.popLast() == nil { nextTag += 1 }
        }
    }

    /// Takes one away; an access under way has ended on return.
    func remove(_ mapping: IOVAMapping) {
        lock.withLock {
            guard let old = map.removeMapping(startingAt: mapping.range.first) else { return }
            log?.remove(old.tag)
            suspects.remove(old.tag)
            freeTags.append(old.tag)
        }
    }

    /// Copies what the device reads.
    /// - Throws: `EFAULT` for a range of which not all may be read.
    func read(at address: UInt64, into bytes: inout MutableRawSpan) throws(Errno) {
        try transfer(address, bytes.byteCount, for: .read) { (from, offset, count) throws(Errno) in
            var part = bytes._mutatingExtracting(offset..<offset + count)
            try UserMemory.read(from: from, into: &part)
        }
    }

    /// Copies what the device writes.
    /// - Throws: `EFAULT` for a range of which not all may be written.
    func write(_ bytes: RawSpan, at address: UInt64) throws(Errno) {
        try transfer(address, bytes.byteCount, for: .write) { (to, offset, count) throws(Errno) in
            try UserMemory.write(bytes.extracting(offset..<offset + count), to: to)
        }
    }

    // MARK: dirty pages

    /// Notes from now on what is written by messages.
    func startLogging() {
        lock.withLock { log = DirtyLog(pageSize: DirtyLog.granule) }
    }

    /// Ends that.
    func stopLogging() {
        lock.withLock {
            log = nil
            suspects = []
        }
    }

    /// A server has gone, and its log with it: everything may have been written.
    func suspectAll() {
        lock.withLock {
            guard log != nil else { return }
            map.forEachMapping { suspects.insert($0.tag) }
        }
    }

    /// Adds the bits of pages that were written, and forgets them.
    /// - Parameters:
    ///   - part: a part of the mapping, or all of it; what it begins with is bit 0 of the first word.
    ///   - words: all of the part's.
    func takeDirty(
        _ part: IOVARange, of mapping: IOVAMapping, pageSize: UInt64, into words: inout [UInt64]
    ) {
        lock.withLock {
            if suspects.contains(mapping.tag) {
                let pages = Int(part.lastOffset / pageSize) + 1
                for index in words.indices {
                    let left = min(max(pages - 64 * index, 0), 64)
                    words[index] = left == 64 ? .max : 1 << UInt64(left) - 1
                }
                // A part of it tells nothing of the rest.
                if part == mapping.range { suspects.remove(mapping.tag) }
            }
            guard let log else { return }
            var span = words.mutableSpan
            // SAFETY: any bytes are words.
            var bytes = unsafe span.mutableBytes
            MemoryWindow.withWindow(on: &bytes) { window in
                log.report(
                    part, of: mapping.tag, pageShift: UInt64(pageSize.trailingZeroBitCount), clears: true,
                    into: window)
            }
        }
    }

    /// Notes what is about to be written; nothing is written that can't be noted. The lock is held.
    /// - Throws: `ENOSPC`, `ENOMEM`.
    private func note(_ range: IOVARange) throws(Errno) {
        guard let log else { return }
        try map.forEachMapping(overlapping: range) { (mapping) throws(Errno) in
            if !log.has(mapping.tag) { try log.add(mapping.range, mapping.permissions, mapping.tag) }
            log.mark(range, in: mapping.tag)
        }
    }

    /// Hands over the memory of a range piece by piece. All of it must be allowed before any of it is touched.
    private func transfer(
        _ address: UInt64, _ byteCount: Int, for access: IOVAPermissions,
        _ body: (HostAddress, Int, Int) throws(Errno) -> Void
    ) throws(Errno) {
        guard let range = IOVARange(IOVA(address), byteCount: UInt64(byteCount)) else { throw .badAddress }
        try lock.withLock { () throws(Errno) in
            guard map.firstFault(in: range, for: access) == nil else { throw .badAddress }
            if access == .write { try note(range) }
            var cache = IOVATranslationCache()
            var offset = 0
            while offset < byteCount {
                let piece: IOVAPiece
                do throws(IOVAFault) {
                    piece = try map.translate(
                        IOVA(address + UInt64(offset)), byteCount: UInt64(byteCount - offset), for: access,
                        cache: &cache)
                } catch {
                    throw .badAddress
                }
                let count = Int(piece.byteCount)
                try body(HostAddress(piece.backing), offset, count)
                offset += count
            }
        }
    }
}
