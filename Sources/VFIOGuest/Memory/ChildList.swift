/// A region's children, by offset, so that those in a range are found without a look at all the others.
struct ChildList {
    private(set) var regions: [MemoryRegion] = []
    private var firsts: [UInt64] = []
    /// The highest offset that any child up to here reaches.
    private var reach: [UInt64] = []

    var isEmpty: Bool { regions.isEmpty }

    /// The first place whose child begins at or behind an offset.
    private func lowerBound(_ offset: UInt64) -> Int {
        var low = 0
        var high = firsts.count
        while low < high {
            let middle = (low + high) / 2
            if firsts[middle] < offset { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private static func last(_ region: MemoryRegion) -> UInt64 {
        region.placement.offset + region.length
    }

    /// Brings `reach` in order from a place on.
    private mutating func refresh(from start: Int) {
        var index = start
        while index < regions.count {
            let value = max(index > 0 ? reach[index - 1] : 0, Self.last(regions[index]))
            // Further on nothing changes, once a value behind the changed place is as it was.
            if index > start && reach[index] == value { return }
            reach[index] = value
            index += 1
        }
    }

    mutating func insert(_ region: MemoryRegion) {
        let index = lowerBound(region.placement.offset)
        regions.insert(region, at: index)
        firsts.insert(region.placement.offset, at: index)
        reach.insert(0, at: index)
        refresh(from: index)
    }

    mutating func remove(_ region: MemoryRegion) {
        var index = lowerBound(region.placement.offset)
        while regions[index] !== region { index += 1 }
        regions.remove(at: index)
        firsts.remove(at: index)
        reach.remove(at: index)
        refresh(from: index)
    }

    /// Appends the children that touch a range of offsets, in no particular order.
    func collect(_ first: UInt64, _ last: UInt64, into found: inout [MemoryRegion]) {
        var index = lowerBound(last)
        while index < firsts.count && firsts[index] == last { index += 1 }
        while index > 0 && reach[index - 1] >= first {
            index -= 1
            if Self.last(regions[index]) >= first { found.append(regions[index]) }
        }
    }
}
