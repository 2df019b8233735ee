import IOVASpace
import LinuxSystem

/// The memory of the program that was registered for DMA through sPAPR windows (kernel.md C.1): pinned, and counted
/// as locked once, whichever containers use it.
///
/// Its lock is an innermost one, together with that of the account.
final class RegisteredMemory: @unchecked Sendable {
    // SAFETY: everything that changes is changed with `lock` held.
    private let lock = Lock()
    private let process: Process
    /// Where the regions are; the tag is a region's index.
    private var places = IOVAMap(mergingAdjacent: false)
    private var regions: [Region] = []
    private var unused: [UInt32] = []

    private struct Region {
        var range: IOVARange
        /// The largest page, as a power of two, that the region is made of.
        var pageShift: UInt32
        /// How many containers have registered it.
        var users = 1
        /// How much of it is mapped in windows, in bytes.
        var mappedByteCount: UInt64 = 0
    }

    init(_ process: Process) { self.process = process }

    /// The index of a region with exactly these bounds.
    func index(of range: IOVARange) -> UInt32? { lock.withLock { find(range) } }

    private func find(_ range: IOVARange) -> UInt32? {
        guard let place = places.mapping(startingAt: range.first), place.range == range else { return nil }
        return place.tag
    }

    /// Registers memory for one more container.
    /// - Parameter range: the process's addresses; whole pages.
    /// - Throws: `ENOMEM` over the limit of locked memory; `EFAULT` where there is no memory that can be written;
    ///   `EINVAL` where a part of it is registered already.
    func register(_ range: IOVARange) throws(Errno) -> UInt32 {
        let shared = lock.withLock { () -> UInt32? in
            guard let index = find(range) else { return nil }
            regions[Int(index)].users += 1
            return index
        }
        if let shared { return shared }
        // As in Linux the limit comes first, and other regions last.
        let pages = range.byteCount / UInt64(pageSize)
        try process.charge(pages)
        do throws(Errno) {
            _ = try process.pin(
                HostAddress(range.first.rawValue), byteCount: range.byteCount, writable: true, counted: .max)
            return try lock.withLock { () throws(Errno) -> UInt32 in
                if places.overlaps(range) { throw .invalid }
                let alignment = range.first.rawValue | range.byteCount
                return insert(Region(range: range, pageShift: UInt32(alignment.trailingZeroBitCount)))
            }
        } catch {
            process.unpin(pages)
            throw error
        }
    }

    private func insert(_ region: Region) -> UInt32 {
        let index: UInt32
        if let reused = unused.popLast() {
            regions[Int(reused)] = region
            index = reused
        } else {
            index = UInt32(truncatingIfNeeded: regions.count)
            regions.append(region)
        }
        do throws(IOVAMapError) {
            try places.map(region.range, to: 0, tag: index)
        } catch {
            // Overlap was ruled out, with `lock` held ever since.
            preconditionFailure("a checked region was refused")
        }
        return index
    }

    /// A container is through with a region.
    /// - Throws: `EBUSY` while it is mapped and nobody else has registered it. (Linux loses track of the region
    ///   then.)
    func unregister(_ index: UInt32) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            let region = regions[Int(index)]
            if region.users == 1 && region.mappedByteCount > 0 { throw .busy }
            regions[Int(index)].users -= 1
            removeIfUnused(index)
        }
    }

    /// A container that has mapped nothing any more goes, and with it its part in a region. Where others still have
    /// it mapped it stays until they haven't.
    func abandon(_ index: UInt32) {
        lock.withLock {
            regions[Int(index)].users -= 1
            removeIfUnused(index)
        }
    }

    private func removeIfUnused(_ index: UInt32) {
        let region = regions[Int(index)]
        guard region.users == 0, region.mappedByteCount == 0 else { return }
        places.removeMapping(startingAt: region.range.first)
        unused.append(index)
        process.unpin(region.range.byteCount / UInt64(pageSize))
    }

    /// Counts memory as mapped, as far as one region goes from an address on.
    /// - Parameters:
    ///   - pageShift: the window's pages.
    ///   - byteCount: whole pages of the window; at least one.
    /// - Returns: the region and how much of the memory lies in it, in bytes.
    /// - Throws: `EINVAL` if the first page isn't wholly in one region, or the region consists of smaller pages;
    ///   `ENXIO` if it is mapped too often to be counted.
    func use(
        _ address: UInt64, byteCount: UInt64, pageShift: UInt32
    ) throws(Errno) -> (index: UInt32, byteCount: UInt64) {
        try lock.withLock { () throws(Errno) -> (index: UInt32, byteCount: UInt64) in
            guard let place = places.mapping(containing: IOVA(address)) else { throw .invalid }
            let page = UInt64(1) << UInt64(pageShift)
            let rest = place.range.last.rawValue - address + 1
            guard rest >= page, pageShift <= regions[Int(place.tag)].pageShift else { throw .invalid }
            let count = min(byteCount, rest & ~(page - 1))
            let (sum, overflow) = regions[Int(place.tag)].mappedByteCount.addingReportingOverflow(count)
            if overflow { throw .noSuchAddress }
            regions[Int(place.tag)].mappedByteCount = sum
            return (place.tag, count)
        }
    }

    /// Counts memory as no longer mapped.
    func endUse(_ index: UInt32, byteCount: UInt64) {
        lock.withLock {
            regions[Int(index)].mappedByteCount -= byteCount
            removeIfUnused(index)
        }
    }
}
