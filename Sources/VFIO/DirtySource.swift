import IOVASpace
import LinuxSystem

/// Where the knowledge comes from which pages devices wrote.
public enum DirtySource: Sendable, Hashable, CustomStringConvertible {
    /// The IOMMU, or the host's book of pages that it pinned.
    case iommu
    /// The devices' own logs.
    case devices
    /// Nobody knows: all that devices can write counts as written, each time.
    case everything

    /// In words.
    public var description: String {
        switch self {
        case .iommu: "the IOMMU's dirty bitmap"
        case .devices: "the devices' own logs"
        case .everything: "nobody knows; every page counts as written"
        }
    }
}

extension AddressSpace {
    /// Whether the IOMMU can tell which pages of the machine were written.
    package var tellsDirtyPages: Bool {
        guard let information else { return false }
        return information.dirtyPageSizes & UInt64(pageSize) != 0
            && information.smallestPage == UInt64(pageSize)
    }
}

extension IOVARange {
    /// Joins ranges until there are at most `limit`, the ones with the least between them first: a device's log takes
    /// a limited number of them.
    package static func merged(_ ranges: [IOVARange], to limit: Int) -> [IOVARange] {
        var merged: [IOVARange] = []
        for range in ranges.sorted(by: { $0.first < $1.first }) {
            if let last = merged.last,
                range.first <= last.last || range.first.rawValue == last.last.rawValue + 1
            {
                merged[merged.count - 1] = joined(last, range)
            } else {
                merged.append(range)
            }
        }
        while merged.count > max(limit, 1) {
            var best = 1
            for index in 1..<merged.count where gap(merged, index) < gap(merged, best) { best = index }
            merged[best - 1] = joined(merged[best - 1], merged[best])
            merged.remove(at: best)
        }
        return merged
    }

    private static func gap(_ ranges: [IOVARange], _ index: Int) -> UInt64 {
        ranges[index].first.rawValue - ranges[index - 1].last.rawValue
    }

    private static func joined(_ a: IOVARange, _ b: IOVARange) -> IOVARange {
        IOVARange(first: min(a.first, b.first), last: max(a.last, b.last)) ?? a
    }
}
