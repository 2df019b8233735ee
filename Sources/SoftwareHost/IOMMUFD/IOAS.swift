import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOABI

/// An I/O address space of an iommufd: mappings that any number of devices can be attached to (kernel.md F.3).
///
/// Memory is looked up and counted as locked only while a group is attached: before that, a mapping is a mere
/// note of addresses.
final class IOAS: @unchecked Sendable {
    // SAFETY: everything that changes is changed with `mutex` held.
    private let mutex = Lock()
    /// Where the devices find the mappings.
    let space: DMASpace
    /// The page table that the attached devices share; `Core.lock`.
    var table: PageTable?
    /// How many mediated devices are attached to it, without a page table; `Core.lock`.
    var accessCount = 0
    private let core: Core
    /// The groups that are attached.
    private(set) var groups: [MachineGroup] = []
    /// How many page tables there are, automatic or not: while there is one, memory is locked.
    private(set) var tableCount = 0
    /// Those of the page tables that can note which pages devices write.
    var trackingTables: [TrackingTable] = []
    /// The files that are mapped.
    var files = FileMemories()
    /// Where automatic allocation may choose; empty for anywhere.
    private(set) var allowed: [IOASIOVARange] = []
    private var isDestroyed = false
    /// Whether mappings may be cut anywhere: the page table holds single pages only.
    private(set) var hasSmallPagesOnly = false

    init(_ core: Core) {
        self.core = core
        space = DMASpace(core)
    }

    /// What mappings are measured in.
    var alignment: UInt64 { tableCount == 0 && !hasSmallPagesOnly ? 1 : UInt64(pageSize) }

    /// Whether all that is mapped is memory of files.
    var mapsOnlyFiles: Bool {
        mutex.withLock {
            var others = false
            space.map.forEachMapping { if $0.tag & IOASPiece.fileTag == 0 { others = true } }
            return !others
        }
    }

    /// What can be mapped.
    var usable: [IOVARange] { tableCount == 0 ? [.all] : UsableRanges.find(core.iommu, groups) }

    func exclusively<R>(_ body: () throws(Errno) -> R) throws(Errno) -> R {
        try mutex.withLock { () throws(Errno) -> R in
            if isDestroyed { throw .noSuchEntry }
            return try body()
        }
    }

    /// What a container's users see of it (kernel.md F.7): the page sizes, and what can be mapped.
    func describe() throws(Errno) -> (pageSizes: UInt64, ranges: [IOVARange]) {
        try exclusively { () throws(Errno) in
            let ordinary = ~UInt64(pageSize - 1)
            return (tableCount == 0 ? ordinary : UsableRanges.pageSizes(core.iommu), usable)
        }
    }

    /// IOMMU_IOAS_IOVA_RANGES: what can be mapped, and the unit.
    func ranges() throws(Errno) -> (ranges: [IOVARange], alignment: UInt64) {
        try exclusively { () throws(Errno) in (usable, alignment) }
    }

    /// IOMMU_IOAS_ALLOW_IOVAS: where automatic allocation may choose from now on.
    /// - Throws: `EADDRINUSE` if a part of it can't be mapped.
    func allow(_ pairs: [IOASIOVARange]) throws(Errno) {
        try exclusively { () throws(Errno) in
            let usable = usable
            for pair in pairs {
                guard let range = IOVARange(first: IOVA(pair.start), last: IOVA(pair.last)),
                    usable.contains(where: { $0.contains(range) })
                else {
                    throw .addressInUse
                }
            }
            allowed = pairs
        }
    }

    /// From now on the page table holds single pages only, and pages are the unit of mappings.
    /// - Throws: `EINVAL` if there are mappings in a page table already, `EADDRINUSE` if there are some that
    ///   aren't whole pages.
    func disableLargePages() throws(Errno) {
        try exclusively { () throws(Errno) in
            if hasSmallPagesOnly { return }
            guard tableCount == 0 || space.map.first == nil else { throw .invalid }
            let unit = UInt64(pageSize)
            try space.map.forEachMapping { (mapping) throws(Errno) in
                guard mapping.range.isAligned(to: unit), mapping.backing & (unit - 1) == 0 else {
                    throw .addressInUse
                }
            }
            hasSmallPagesOnly = true
        }
    }

    /// From now on the page table may hold large pages.
    func enableLargePages() { mutex.withLock { hasSmallPagesOnly = false } }

    // MARK: mappings

    /// Unmaps everything inside a range. What comes before a mapping that isn't wholly inside goes all the same,
    /// as on Linux.
    /// - Returns: how many bytes were mapped there, and why not all of it could be unmapped: `ENOENT` for a
    ///   mapping that is only partly inside.
    /// - Throws: `EINVAL` for a length of 0, `EOVERFLOW` for a range that wraps.
    func unmap(_ iova: UInt64, _ length: UInt64) throws(Errno) -> (byteCount: UInt64, failure: Errno?) {
        try exclusively { () throws(Errno) -> (UInt64, Errno?) in
            guard length != 0 else { throw .invalid }
            guard let range = IOVARange(IOVA(iova), byteCount: length) else { throw .overflow }
            var removed: UInt64 = 0
            while let mapping = space.map.firstMapping(overlapping: range) {
                guard range.contains(mapping.range) else { return (removed, .noSuchEntry) }
                removed &+= remove(mapping)
            }
            return (removed, nil)
        }
    }

    /// Unmaps everything.
    /// - Returns: how many bytes were mapped.
    func unmapAll() throws(Errno) -> UInt64 {
        try exclusively { () throws(Errno) -> UInt64 in
            var all: UInt64 = 0
            while let mapping = space.map.first { all &+= remove(mapping) }
            return all
        }
    }

    /// Cuts mappings in two, so that one ends before each of the given addresses.
    /// - Throws: `EINVAL` for a cut that isn't at the unit of mappings.
    func cut(before addresses: [IOVA]) throws(Errno) {
        try exclusively { () throws(Errno) in
            for address in addresses {
                guard let mapping = space.map.mapping(containing: address),
                    mapping.range.first < address
                else { continue }
                guard address.rawValue & (alignment - 1) == 0 else { throw .invalid }
                try cut(mapping, before: address)
            }
        }
    }

    private func cut(_ mapping: IOVAMapping, before address: IOVA) throws(Errno) {
        let parts = [
            IOVARange(first: mapping.range.first, last: IOVA(address.rawValue - 1)),
            IOVARange(first: address, last: mapping.range.last),
        ].compactMap { $0 }
        for table in trackingTables { try table.split(mapping.range, into: parts) }
        _ = space.change { map in map.split(at: address) }
        if let file = file(of: mapping) { files.hold(file, in: self) }
    }

    private func remove(_ mapping: IOVAMapping) -> UInt64 {
        space.change { map in _ = map.removeMapping(startingAt: mapping.range.first) }
        if tableCount > 0 { core.process.unpin(pages(mapping)) }
        for table in trackingTables { table.remove(mapping.range) }
        // Last: no device reaches the memory any more.
        if let file = file(of: mapping) { files.letGo(file, in: self) }
        return mapping.range.lastOffset &+ 1
    }

    /// The file behind a mapping; nil for the process's memory.
    func file(of mapping: IOVAMapping) -> FileMemory? {
        mapping.tag & IOASPiece.fileTag == 0 ? nil : files.file(at: mapping.backing)
    }

    private func pin(_ mapping: IOVAMapping) throws(Errno) -> UInt64 {
        if let file = file(of: mapping) {
            // A device's memory stays where it is.
            if file.export != nil { return 0 }
            guard file.isLockable else { throw .invalid }
        } else if core.mappings.overlap(mapping.backing, byteCount: mapping.range.byteCount) {
            // Unlike a container, an iommufd takes memory only: what shows a device has no pages to pin.
            throw .badAddress
        }
        do throws(Errno) {
            return try lock(mapping)
        } catch {
            // Of a file: beyond its end.
            throw error == .badAddress && mapping.tag & IOASPiece.fileTag != 0 ? .invalid : error
        }
    }

    private func lock(_ mapping: IOVAMapping) throws(Errno) -> UInt64 {
        try core.process.pin(
            HostAddress(mapping.backing), byteCount: mapping.range.byteCount,
            writable: mapping.permissions.contains(.write))
    }

    /// How many pages of memory a mapping locks: all that it touches, but none of a device's memory.
    private func pages(_ mapping: IOVAMapping) -> UInt64 {
        if file(of: mapping)?.export != nil { return 0 }
        let unit = UInt64(pageSize)
        return (mapping.backing &+ mapping.range.lastOffset) / unit - mapping.backing / unit + 1
    }

    // MARK: devices

    /// A group's devices are to use these mappings, or there is to be one more page table, or both.
    /// - Parameters:
    ///   - group: one that isn't attached yet; nil for none.
    ///   - table: a page table that isn't one of the space's yet; nil for none.
    /// - Throws: `EADDRINUSE` if there are mappings where the group can't have any, `EFAULT`, `EINVAL` (memory of a
    ///   file) and `ENOMEM` if memory can't be locked.
    func attach(_ group: MachineGroup?, adding table: PageTable?) throws(Errno) {
        try exclusively { () throws(Errno) in
            let joined = if let group { groups + [group] } else { groups }
            let unit = UInt64(pageSize)
            let ranges = UsableRanges.find(core.iommu, joined)
            try space.map.forEachMapping { (mapping) throws(Errno) in
                guard mapping.range.isAligned(to: unit), mapping.backing & (unit - 1) == 0,
                    ranges.contains(where: { $0.contains(mapping.range) })
                else {
                    throw .addressInUse
                }
            }
            for pair in allowed {
                guard let range = IOVARange(first: IOVA(pair.start), last: IOVA(pair.last)),
                    ranges.contains(where: { $0.contains(range) })
                else {
                    throw .addressInUse
                }
            }
            if let table {
                if tableCount == 0 { try pinAll() }
                tableCount += 1
                if let tracking = table.tracking { trackingTables.append(tracking) }
            }
            groups = joined
        }
    }

    /// Nobody uses a page table any more, and it goes.
    func remove(_ table: PageTable) {
        mutex.withLock {
            // Those of an address space that has gone went with it.
            if isDestroyed { return }
            if let tracking = table.tracking { trackingTables.removeAll { $0 === tracking } }
            tableCount -= 1
            if tableCount == 0 { unpinAll() }
        }
    }

    /// Locks the memory of mappings, all or none, if there is a page table that needs it.
    func pin(_ mappings: [IOVAMapping]) throws(Errno) {
        if tableCount == 0 { return }
        var pinned: UInt64 = 0
        do throws(Errno) {
            for mapping in mappings { pinned += try pin(mapping) }
        } catch {
            core.process.unpin(pinned)
            throw error
        }
    }

    private func pinAll() throws(Errno) {
        var pinned: UInt64 = 0
        do throws(Errno) {
            try space.map.forEachMapping { (mapping) throws(Errno) in pinned += try pin(mapping) }
        } catch {
            core.process.unpin(pinned)
            throw error
        }
    }

    private func unpinAll() { space.map.forEachMapping { core.process.unpin(pages($0)) } }

    /// A group's devices no longer use these mappings.
    func detach(_ group: MachineGroup) { mutex.withLock { groups.removeAll { $0 === group } } }

    /// The object has gone.
    func destroy() {
        mutex.withLock {
            if tableCount > 0 { unpinAll() }
            space.change { map in map.removeAll() }
            groups = []
            tableCount = 0
            trackingTables = []
            files.removeAll(in: self)
            isDestroyed = true
        }
    }
}

extension IOAS {
    /// A device has taken back its exported memory: what maps it stays, and lets nobody through.
    func lose(_ file: FileMemory) {
        mutex.withLock {
            var lost: [IOVAMapping] = []
            space.map.forEachMapping { if self.file(of: $0) === file { lost.append($0) } }
            guard !lost.isEmpty else { return }
            space.change { map in
                for var mapping in lost {
                    mapping.permissions = []
                    // It was found just now, with `mutex` held ever since.
                    try? map.remap(mapping)
                }
            }
        }
    }
}

extension [IOASIOVARange] {
    /// Where a range belongs in the order of first addresses.
    func insertionIndex(of pair: IOASIOVARange) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle].start < pair.start { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
