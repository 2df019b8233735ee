import IOVASpace
import LinuxSystem

/// What an IOMMU can map for some groups.
enum UsableRanges {
    /// The apertures without what is reserved for any of the groups, in ascending order.
    static func find(_ iommu: IOMMU, _ groups: [MachineGroup]) -> [IOVARange] {
        var ranges = iommu.apertures.sorted { $0.first < $1.first }
        for group in groups {
            for reserved in group.reserved where reserved.kind != .relaxable {
                ranges = ranges.flatMap { subtract(reserved.range, from: $0) }
            }
        }
        return ranges
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
