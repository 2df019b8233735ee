/// Finds out what is seen in a range of an address space: walks the tree of regions, the ones on top first, and
/// puts each where nothing was put before.
struct Rendering {
    private(set) var ranges: [FlatRange] = []
    private var isMigrating = false
    /// Scratch space: the children that were found, for all depths of the walk.
    private var found: [MemoryRegion] = []

    /// Attributes that go down the tree.
    private struct Inherited {
        var isReadOnly = false
        var isNonvolatile = false
        var isHidden = false
    }

    /// Forgets what was found.
    mutating func reset() { ranges.removeAll(keepingCapacity: true) }

    /// Renders `first...last` of the space that begins with `root`; what is found comes behind what is there.
    mutating func render(_ root: MemoryRegion, _ first: UInt64, _ last: UInt64, isMigrating: Bool) {
        self.isMigrating = isMigrating
        var painted = Painting(start: ranges.count)
        paint(root, at: 0, Int128(first), Int128(last), Inherited(), &painted)
        merge(from: painted.start)
    }

    /// Where in `ranges` this rendering began.
    private struct Painting {
        let start: Int
    }

    /// - Parameter base: the address at which the region's offset 0 lies; below 0 if an alias shows a later part.
    private mutating func paint(
        _ region: MemoryRegion, at base: Int128, _ first: Int128, _ last: Int128, _ inherited: Inherited,
        _ painting: inout Painting
    ) {
        guard region.enabled else { return }
        let low = max(first, base)
        let high = min(last, base + Int128(region.length))
        guard low <= high else { return }
        var inherited = inherited
        inherited.isReadOnly = inherited.isReadOnly || region.readOnly
        inherited.isNonvolatile = inherited.isNonvolatile || region.nonvolatile
        inherited.isHidden = inherited.isHidden || region.hidden
        if case .alias(let target, _) = region.kind {
            paint(target, at: base - Int128(region.aliasOffset), low, high, inherited, &painting)
            return
        }
        if !region.children.isEmpty {
            let start = found.count
            region.children.collect(UInt64(low - base), UInt64(high - base), into: &found)
            sortFound(from: start)
            for index in start..<found.count {
                let child = found[index]
                paint(child, at: base + Int128(child.placement.offset), low, high, inherited, &painting)
            }
            found.removeSubrange(start...)
        }
        guard region.isTerminating else { return }
        var clients: DirtyClients = []
        if region.isRAM || region.isTranslated {
            // What an IOMMU leads to is written through it.
            clients = region.logging
            if isMigrating { clients.insert(.migration) }
        }
        fill(
            FlatRange(
                region: region, first: UInt64(low), last: UInt64(high), offset: UInt64(low - base),
                isReadOnly: inherited.isReadOnly, isNonvolatile: inherited.isNonvolatile,
                isHidden: inherited.isHidden, dirtyClients: clients), from: painting.start)
    }

    /// Brings children in the order in which they are painted: by address, and where some overlap, the ones on top
    /// first. Painted by address, each lands behind the one before.
    private mutating func sortFound(from start: Int) {
        guard found.count - start > 1 else { return }
        found[start...].sort { $0.placement.offset < $1.placement.offset }
        var index = start
        while index < found.count {
            var end = index + 1
            var reach = found[index].placement.offset + found[index].length
            while end < found.count && found[end].placement.offset <= reach {
                reach = max(reach, found[end].placement.offset + found[end].length)
                end += 1
            }
            if end - index > 1 {
                found[index..<end].sort {
                    $0.placement.priority != $1.placement.priority
                        ? $0.placement.priority > $1.placement.priority
                        : $0.placement.serial > $1.placement.serial
                }
            }
            index = end
        }
    }

    /// Puts a range wherever nothing is yet.
    private mutating func fill(_ whole: FlatRange, from start: Int) {
        var low = start
        var high = ranges.count
        if high > low && ranges[high - 1].last < whole.first {
            ranges.append(whole)
            return
        }
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].last < whole.first { low = middle + 1 } else { high = middle }
        }
        var next = whole.first
        var index = low
        while true {
            let gapEnd = index < ranges.count ? ranges[index].first : nil
            if gapEnd.map({ next < $0 }) ?? true {
                var part = whole
                part.first = next
                part.offset = whole.offset + (next - whole.first)
                part.last = min(whole.last, gapEnd.map { $0 - 1 } ?? .max)
                ranges.insert(part, at: index)
                index += 1
                if part.last == whole.last { return }
            }
            // Behind the range that is there.
            guard index < ranges.count, ranges[index].last < whole.last else { return }
            next = ranges[index].last + 1
            index += 1
        }
    }

    /// Joins neighbours that show consecutive bytes of one region.
    private mutating func merge(from start: Int) {
        guard ranges.count - start > 1 else { return }
        var kept = start
        for index in start + 1..<ranges.count {
            if ranges[kept].goesOn(in: ranges[index]) {
                ranges[kept].last = ranges[index].last
            } else {
                kept += 1
                if kept != index { ranges[kept] = ranges[index] }
            }
        }
        ranges.removeSubrange((kept + 1)...)
    }
}
