import DeviceModel
import IOVASpace
import LinuxSystem

/// What devices see of memory through a page table that can note which pages they write: an address space's
/// mappings, and the marks in the entries that lead to them (kernel.md F.4).
///
/// A mark comes after its write: what is written while the marks are read is told of the next time.
final class TrackingTable: DMAAddressSpace, @unchecked Sendable {
    // SAFETY: `isOn` and `mappings` are only touched with `lock` held.
    private let lock = Lock()
    private let space: DMASpace
    private var isOn = false
    /// The marks of each mapping, in ascending order; kept while tracking is on only.
    private var mappings: [WrittenPages] = []

    init(_ space: DMASpace) { self.space = space }

    // MARK: what devices do

    func readMemory(at iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault) {
        try space.readMemory(at: iova, into: &bytes)
    }

    func writeMemory(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault) {
        try space.writeMemory(bytes, at: iova)
        mark(iova, bytes.byteCount)
    }

    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        // Also where it ends midway: something may have been written.
        defer { if access == .write { mark(iova, byteCount) } }
        try space.withMemory(at: iova, byteCount: byteCount, for: access, body)
    }

    private func mark(_ iova: IOVA, _ byteCount: Int) {
        guard byteCount > 0, let written = IOVARange(iova, byteCount: UInt64(byteCount)) else { return }
        lock.lock()
        defer { lock.unlock() }
        guard isOn else { return }
        var index = index(endingAtOrAbove: written.first)
        while index < mappings.count, let part = mappings[index].range.intersection(written) {
            mappings[index].insert(part)
            index += 1
        }
    }

    /// The first mapping that ends at an address or above it. With `lock` held.
    private func index(endingAtOrAbove iova: IOVA) -> Int {
        var (low, high) = (0, mappings.count)
        while low < high {
            let middle = (low + high) / 2
            if mappings[middle].range.last < iova { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: what the owner does

    /// Begins to note, with no marks; also where it had begun already.
    /// - Parameter ranges: what is mapped, in ascending order.
    /// - Throws: `ENOMEM`; nothing has changed then.
    func start(_ ranges: [IOVARange]) throws(Errno) {
        var new: [WrittenPages] = []
        for range in ranges { new.append(try WrittenPages(range)) }
        lock.withLock {
            mappings = new
            isOn = true
        }
    }

    /// Ends it; the marks are gone.
    func stop() {
        lock.withLock {
            isOn = false
            mappings = []
        }
    }

    /// Something is about to be mapped.
    /// - Throws: `ENOMEM`
    func add(_ range: IOVARange) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            if isOn { mappings.insert(try WrittenPages(range), at: index(endingAtOrAbove: range.first)) }
        }
    }

    /// Something has been unmapped; its marks are gone with it.
    func remove(_ range: IOVARange) {
        lock.withLock {
            let index = index(endingAtOrAbove: range.first)
            if index < mappings.count, mappings[index].range.first == range.first {
                mappings.remove(at: index)
            }
        }
    }

    /// A mapping has become two; each keeps its part of the marks.
    /// - Throws: `ENOMEM`; nothing has changed then.
    func split(_ range: IOVARange, into parts: [IOVARange]) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            let index = index(endingAtOrAbove: range.first)
            guard index < mappings.count, mappings[index].range == range else { return }
            var new: [WrittenPages] = []
            for part in parts {
                let pages = try WrittenPages(part)
                try mappings[index].forEachRun(in: part) { (run) throws(Errno) in pages.insert(run) }
                new.append(pages)
            }
            mappings.replaceSubrange(index...index, with: new)
        }
    }

    /// Sets the bits of marked pages in a user's bitmap. What can't be told stays marked.
    /// - Parameters:
    ///   - range: whole pages, mapped.
    ///   - isClearing: whether the marks go.
    func report(_ range: IOVARange, isClearing: Bool, into bits: UserBits) {
        lock.withLock {
            var index = index(endingAtOrAbove: range.first)
            while index < mappings.count, let part = mappings[index].range.intersection(range) {
                do throws(Errno) {
                    try mappings[index].forEachRun(in: part) { (run) throws(Errno) in try bits.set(run) }
                } catch {
                    return
                }
                if isClearing { mappings[index].remove(part) }
                index += 1
            }
        }
    }
}
