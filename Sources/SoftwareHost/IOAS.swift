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
    private let core: Core
    /// The groups that are attached.
    private var groups: [MachineGroup] = []
    /// Where automatic allocation may choose; empty for anywhere.
    private var allowed: [IOASIOVARange] = []
    private var isDestroyed = false
    /// Whether mappings may be cut anywhere: the page table holds single pages only.
    private(set) var hasSmallPagesOnly = false

    init(_ core: Core) {
        self.core = core
        space = DMASpace(log: core.faults)
    }

    /// What mappings are measured in.
    private var alignment: UInt64 { groups.isEmpty ? 1 : UInt64(pageSize) }

    /// What can be mapped.
    private var usable: [IOVARange] { groups.isEmpty ? [.all] : UsableRanges.find(core.iommu, groups) }

    private func exclusively<R>(_ body: () throws(Errno) -> R) throws(Errno) -> R {
        try mutex.withLock { () throws(Errno) -> R in
            if isDestroyed { throw .noSuchEntry }
            return try body()
        }
    }

    /// What a container's users see of it (kernel.md F.7): the page sizes, and what can be mapped.
    func describe() throws(Errno) -> (pageSizes: UInt64, ranges: [IOVARange]) {
        try exclusively { () throws(Errno) in
            let ordinary = ~UInt64(pageSize - 1)
            return (groups.isEmpty ? ordinary : UsableRanges.pageSizes(core.iommu), usable)
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

    /// From now on the page table holds single pages only.
    /// - Throws: `EINVAL` if there are mappings in a page table already.
    func disableLargePages() throws(Errno) {
        try exclusively { () throws(Errno) in
            if hasSmallPagesOnly { return }
            guard groups.isEmpty || space.map.first == nil else { throw .invalid }
            hasSmallPagesOnly = true
        }
    }

    // MARK: mappings

    /// IOMMU_IOAS_MAP, after its flags were checked.
    /// - Returns: the address at which the memory is mapped.
    func map(_ request: IOASMap) throws(Errno) -> UInt64 {
        try exclusively { () throws(Errno) -> UInt64 in
            guard !request.userVA.addingReportingOverflow(request.length).overflow else {
                throw .overflow
            }
            let length = request.length
            let mask = alignment - 1
            guard length != 0, length & mask == 0 else { throw .invalid }
            let range: IOVARange
            if request.flags.contains(.fixedIOVA) {
                guard request.iova & mask == 0 else { throw .invalid }
                guard let wanted = IOVARange(IOVA(request.iova), byteCount: length) else { throw .overflow }
                guard usable.contains(where: { $0.contains(wanted) }) else { throw .invalid }
                if space.map.overlaps(wanted) { throw .exists }
                range = wanted
            } else {
                range = try choose(length, for: request.userVA)
            }
            guard request.userVA & mask == 0 else { throw .invalid }
            var permissions: IOVAPermissions = []
            if request.flags.contains(.readable) { permissions.insert(.read) }
            if request.flags.contains(.writeable) { permissions.insert(.write) }
            // Only a container's request can ask for neither. A page table can't hold that.
            guard groups.isEmpty || !permissions.isEmpty else { throw .invalid }
            let mapping = IOVAMapping(range, backing: request.userVA, permissions: permissions)
            if !groups.isEmpty { _ = try pin(mapping) }
            space.change { map in
                do throws(IOVAMapError) {
                    try map.map(mapping)
                } catch {
                    // Overlap and wrap-around were ruled out above, with `mutex` held ever since.
                    preconditionFailure("a checked mapping was refused")
                }
            }
            return range.first.rawValue
        }
    }

    /// The lowest free addresses, aligned so that large pages can be used; never the first page.
    private func choose(_ length: UInt64, for userAddress: UInt64) throws(Errno) -> IOVARange {
        guard length < UInt64.max / 2 else { throw .overflow }
        let ordinary = UInt64(pageSize)
        // Not more than the alignment of the memory, and of a transparent huge page.
        var unit = UInt64(1) << UInt64(64 - (length - 1).leadingZeroBitCount)
        if length == 1 { unit = 1 }
        if userAddress != 0 { unit = min(unit, 1 << UInt64(userAddress.trailingZeroBitCount)) }
        unit = min(unit, 2 << 20)
        guard unit >= alignment else { throw .invalid }
        let offset = userAddress & (ordinary - 1)
        let places: [IOVARange] = allowed.compactMap { IOVARange(first: IOVA($0.start), last: IOVA($0.last)) }
        for usable in usable {
            guard let above = IOVARange(first: IOVA(ordinary), last: .max),
                let part = usable.intersection(above)
            else { continue }
            for place in places.isEmpty ? [part] : places.compactMap({ $0.intersection(part) }) {
                let alignment = offset == 0 ? max(unit, 1) : ordinary
                if let gap = space.map.firstGap(
                    byteCount: length, alignedTo: alignment, offset: offset, in: place)
                {
                    return gap
                }
            }
        }
        throw .noSpace
    }

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
                _ = space.change { map in map.split(at: address) }
            }
        }
    }

    private func remove(_ mapping: IOVAMapping) -> UInt64 {
        space.change { map in _ = map.removeMapping(startingAt: mapping.range.first) }
        if !groups.isEmpty { core.process.unpin(Self.pages(mapping)) }
        return mapping.range.lastOffset &+ 1
    }

    private func pin(_ mapping: IOVAMapping) throws(Errno) -> UInt64 {
        try core.process.pin(
            HostAddress(mapping.backing), byteCount: mapping.range.byteCount,
            writable: mapping.permissions.contains(.write))
    }

    /// How many pages of memory a mapping touches.
    private static func pages(_ mapping: IOVAMapping) -> UInt64 {
        let unit = UInt64(pageSize)
        return (mapping.backing &+ mapping.range.lastOffset) / unit - mapping.backing / unit + 1
    }

    // MARK: devices

    /// A group's devices are to use these mappings.
    /// - Throws: `EADDRINUSE` if there are mappings where the group can't have any, `EFAULT` and `ENOMEM` if
    ///   memory can't be locked.
    func attach(_ group: MachineGroup) throws(Errno) {
        try exclusively { () throws(Errno) in
            guard !groups.contains(where: { $0 === group }) else { return }
            let unit = UInt64(pageSize)
            let ranges = UsableRanges.find(core.iommu, groups + [group])
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
            if groups.isEmpty { try pinAll() }
            groups.append(group)
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

    /// A group's devices no longer use these mappings.
    func detach(_ group: MachineGroup) {
        mutex.withLock {
            guard groups.contains(where: { $0 === group }) else { return }
            groups.removeAll { $0 === group }
            if groups.isEmpty {
                space.map.forEachMapping { core.process.unpin(Self.pages($0)) }
            }
        }
    }

    /// The object has gone.
    func destroy() {
        mutex.withLock {
            if !groups.isEmpty { space.map.forEachMapping { core.process.unpin(Self.pages($0)) } }
            space.change { map in map.removeAll() }
            groups = []
            isDestroyed = true
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
