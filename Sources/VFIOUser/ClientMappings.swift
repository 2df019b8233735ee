import IOVASpace
import LinuxSystem

/// The memory of this process that a server's device may reach: what a client answers DMA messages from.
///
/// Whatever the server sends, it gets at what is mapped and nothing else, in the way that was allowed; memory that
/// this process has given up meanwhile is an error and no trap.
final class ClientMappings: @unchecked Sendable {
    // SAFETY: `map` is only touched with `lock` held.
    private let lock = Lock()
    private var map = IOVAMap(mergingAdjacent: false)

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
            do throws(IOVAMapError) {
                try map.map(mapping)
            } catch {
                switch error {
                case .overlaps: throw .exists
                default: throw .invalid
                }
            }
        }
    }

    /// Takes one away; an access under way has ended on return.
    func remove(_ mapping: IOVAMapping) {
        lock.withLock { _ = map.removeMapping(startingAt: mapping.range.first) }
    }

    /// Takes all of them away.
    func removeAll() { lock.withLock { map.removeAll() } }

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

    /// Hands over the memory of a range piece by piece. All of it must be allowed before any of it is touched.
    private func transfer(
        _ address: UInt64, _ byteCount: Int, for access: IOVAPermissions,
        _ body: (HostAddress, Int, Int) throws(Errno) -> Void
    ) throws(Errno) {
        guard let range = IOVARange(IOVA(address), byteCount: UInt64(byteCount)) else { throw .badAddress }
        try lock.withLock { () throws(Errno) in
            guard map.firstFault(in: range, for: access) == nil else { throw .badAddress }
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
