import IOVASpace
import LinuxSystem

/// What an IOMMU can map for some groups.
enum UsableRanges {
    /// The apertures without what is reserved for any of the groups, in ascending order.
    static func find(_ iommu: IOMMU, _ groups: [MachineGroup]) -> [IOVARange] {
        narrow([], iommu, by: groups)
    }

    /// What is left of some ranges when groups join.
    /// - Parameter ranges: what there is so far; nothing for all that the IOMMU translates.
    static func narrow(
        _ ranges: [IOVARange], _ iommu: IOMMU, by groups: [MachineGroup]
    ) -> [IOVARange] {
        let apertures = iommu.apertures.sortedCompactly { $0.first < $1.first }
        var rest =
            ranges.isEmpty
            ? apertures
            : ranges.flatMap { range in apertures.compactMap { range.intersection($0) } }
        for group in groups {
            for reserved in group.reserved where reserved.kind != .relaxable {
                rest = rest.flatMap { subtract(reserved.range, from: $0) }
            }
        }
        return rest
    }

    /// What some ranges become when a group leaves and others stay. As in Linux, what was reserved at either end
    /// doesn't come back: ranges are made anew between the lowest and the highest address that there are [Q].
    static func widen(
        _ ranges: [IOVARange], _ iommu: IOMMU, reservedBy groups: [MachineGroup]
    ) -> [IOVARange] {
        guard let first = ranges.first?.first, let last = ranges.last?.last,
            let all = IOVARange(first: first, last: last)
        else { return [] }
        return narrow([all], iommu, by: groups)
    }

    /// What is left of a range.
    private static func subtract(_ hole: IOVARange, from range: IOVARange) -> [IOVARange] {
        guard range.overlaps(hole) else { return [range] }
        var rest: [IOVARange] = []
        if range.first < hole.first,
            let below = IOVARange(first: range.first, last: IOVA(hole.first.rawValue &- 1))
        {
            rest.append(below)
        }
        if hole.last < range.last,
            let above = IOVARange(first: IOVA(hole.last.rawValue &+ 1), last: range.last)
        {
            rest.append(above)
        }
        return rest
    }

    /// The IOMMU's page sizes as users see them: those smaller than the processor's pages count as one of
    /// them.
    static func pageSizes(_ iommu: IOMMU) -> UInt64 {
        let own = iommu.pageSizes.rawValue
        let ordinary = UInt64(pageSize)
        let smaller = own & (ordinary - 1)
        return own & ~(ordinary - 1) | (smaller != 0 ? ordinary : 0)
    }
}
