import IOVASpace
import LinuxSystem

/// Groups come and go (kernel.md B.9).
extension Type1 {
    /// Whether there is an IOMMU behind any of the groups: what is mapped is pinned only then.
    var hasDomain: Bool { members.contains { !$0.group.isEmulated } }

    /// Whether there are groups without an IOMMU.
    var hasEmulatedGroups: Bool { members.contains { $0.group.isEmulated } }

    /// Whether there are groups whose devices may write to any mapped page without being seen.
    var hasUntrackedGroups: Bool { members.contains { !$0.isLimitedToPins } }

    /// A group's devices are to use these mappings; the tests are in the kernel's order.
    func attach(_ group: MachineGroup) throws(Errno) {
        try exclusively { () throws(Errno) in
            if invalidAddressCount > 0 { throw .busy }
            if members.contains(where: { $0.group === group }) { throw .invalid }
            if group.isEmulated {
                // Only listed: it has nothing to do with addresses, and reports what it pins.
                members.append(Member(group: group, isLimitedToPins: true))
                return
            }
            let ranges = UsableRanges.narrow(usable, iommu, by: [group])
            if hasConflict(with: group) || ranges.isEmpty { throw .invalid }
            if !iommu.hasIsolatedMSI && !parameters.value.allowUnsafeInterrupts { throw .notPermitted }
            if !hasDomain { try mapEverything() }
            members.append(Member(group: group, isLimitedToPins: false))
            usable = ranges
            setPageSizes(UsableRanges.pageSizes(iommu))
        }
    }

    /// Whether there are mappings at addresses that a group can't have. As long as no group with an IOMMU has
    /// been here nobody looks at its reach: what is beyond it shows only when it is to be mapped.
    private func hasConflict(with group: MachineGroup) -> Bool {
        if group.reserved.contains(where: { $0.kind != .relaxable && space.map.overlaps($0.range) }) {
            return true
        }
        return !hasDomain && !usable.isEmpty && !isWithinReach
    }

    private var isWithinReach: Bool {
        var isWithin = true
        space.map.forEachMapping { mapping in
            if !iommu.apertures.contains(where: { $0.contains(mapping.range) }) { isWithin = false }
        }
        return isWithin
    }

    private var translatedGroups: [MachineGroup] {
        members.filter { !$0.group.isEmulated }.map { $0.group }
    }

    /// The first group with an IOMMU: what was only noted so far is pinned and put into its page table.
    private func mapEverything() throws(Errno) {
        var pinned: [(index: Int, pages: UInt64)] = []
        let unit = UsableRanges.pageSizes(iommu)
        do throws(Errno) {
            try space.map.forEachMapping { (mapping) throws(Errno) in
                let index = Int(mapping.tag)
                let record = records[index]
                let pages = try process.pin(
                    HostAddress(mapping.backing), byteCount: mapping.range.byteCount,
                    writable: mapping.permissions.contains(.write), counted: record.pins?.count ?? 0,
                    mayExceedLimit: record.mayExceedLimit)
                pinned.append((index, pages))
                guard iommu.apertures.contains(where: { $0.contains(mapping.range) }) else {
                    throw .outOfRange
                }
                guard
                    (mapping.range.first.rawValue | mapping.backing | (mapping.range.lastOffset &+ 1))
                        & (unit & (~unit &+ 1) &- 1) == 0
                else { throw .invalid }
            }
        } catch {
            for (_, pages) in pinned { process.unpin(pages) }
            throw error
        }
        let isSplit = parameters.value.disableHugepages
        for (index, pages) in pinned {
            records[index].lockedPages += pages
            records[index].isSplit = isSplit
        }
    }

    /// A group's devices no longer use these mappings.
    func detach(_ group: MachineGroup) {
        mutex.withLock {
            guard let index = members.firstIndex(where: { $0.group === group }) else { return }
            let hadDomain = hasDomain
            let member = members.remove(at: index)
            if members.isEmpty {
                removeAllMappings()
            } else if hadDomain && !hasDomain {
                unmapEverything()
            }
            if !hasDomain { setPageSizes(Type1.allPageSizes) }
            // Groups without an IOMMU have nothing to do with addresses.
            if !member.group.isEmulated {
                usable =
                    hasDomain
                    ? UsableRanges.widen(usable, iommu, reservedBy: translatedGroups)
                    : members.isEmpty ? [] : [.all]
            }
            // The group may have written anywhere, and can't be asked any more.
            if tracksDirtyPages && !member.isLimitedToPins {
                for record in records { record.report?.insertAll() }
            }
        }
    }

    /// The last group with an IOMMU has left, others remain: only what their devices have pinned stays so.
    private func unmapEverything() {
        for index in records.indices {
            let pins = records[index].pins?.count ?? 0
            process.unpin(records[index].lockedPages - pins)
            records[index].lockedPages = pins
        }
    }

    /// The unit of mappings may change with that, and with it what a dirty bit stands for. Nobody can have kept
    /// account in the new unit, so everything counts as written then. (Linux goes on with bitmaps of the old
    /// size.)
    private func setPageSizes(_ sizes: UInt64) {
        let old = unit
        pageSizes = sizes
        guard tracksDirtyPages, unit != old else { return }
        do throws(Errno) {
            try makeReports()
            for record in records { record.report?.insertAll() }
        } catch {
            stopTracking()
        }
    }

    /// The last group has left: all mappings go.
    func release() {
        mutex.withLock {
            removeAllMappings()
            markReleased()
        }
    }

    /// A device of a group has pinned pages: from now on the group's devices are taken to write to nothing
    /// else.
    func limitScope(of group: MachineGroup) {
        for index in members.indices where members[index].group === group {
            members[index].isLimitedToPins = true
        }
    }
}
