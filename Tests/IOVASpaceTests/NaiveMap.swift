import IOVASpace

/// The obvious way to do what ``IOVAMap`` does: a sorted array, walked from the start. The model that the map
/// is compared with.
struct NaiveMap {
    var mappings: [IOVAMapping] = []
    var mergesAdjacent: Bool

    mutating func map(_ new: IOVAMapping) throws(IOVAMapError) {
        guard
            !new.backing.addingReportingOverflow(new.range.last.rawValue - new.range.first.rawValue).overflow
        else { throw .backingWraps(new.range, backing: new.backing) }
        if let other = mappings.first(where: { NaiveMap.overlap($0.range, new.range) }) {
            throw .overlaps(other)
        }
        var index = mappings.firstIndex { $0.range.first > new.range.first } ?? mappings.count
        mappings.insert(new, at: index)
        guard mergesAdjacent else { return }
        if index + 1 < mappings.count, let joined = join(mappings[index], mappings[index + 1]) {
            mappings[index] = joined
            mappings.remove(at: index + 1)
        }
        if index > 0, let joined = join(mappings[index - 1], mappings[index]) {
            mappings.remove(at: index)
            index -= 1
            mappings[index] = joined
        }
    }

    mutating func unmap(exactly range: IOVARange) throws(IOVAMapError) -> IOVAMapping {
        guard let index = mappings.firstIndex(where: { $0.range == range }) else {
            throw .notMapped(range)
        }
        return mappings.remove(at: index)
    }

    mutating func unmap(in range: IOVARange, cutting cut: IOVACut) throws(IOVAMapError) -> [IOVAMapping] {
        if cut == .refuse {
            let ends = mappings.first {
                NaiveMap.overlap($0.range, range)
                    && ($0.range.first < range.first || $0.range.last > range.last)
            }
            if let ends { throw .bisects(ends) }
        } else {
            split(at: range.first.rawValue)
            if range.last != .max { split(at: range.last.rawValue + 1) }
        }
        let removed = mappings.filter { NaiveMap.overlap($0.range, range) }
        mappings.removeAll { NaiveMap.overlap($0.range, range) }
        return removed
    }

    @discardableResult
    mutating func split(at iova: UInt64) -> Bool {
        guard
            let index = mappings.firstIndex(where: {
                $0.range.first.rawValue < iova && iova <= $0.range.last.rawValue
            })
        else { return false }
        let whole = mappings[index]
        let headLength = iova - whole.range.first.rawValue
        var head = whole
        head.range = IOVASpaceTests.range(whole.range.first.rawValue, iova - 1)
        var tail = whole
        tail.range = IOVASpaceTests.range(iova, whole.range.last.rawValue)
        tail.backing += headLength
        mappings[index] = head
        mappings.insert(tail, at: index + 1)
        return true
    }

    mutating func remap(_ new: IOVAMapping) throws(IOVAMapError) {
        guard
            !new.backing.addingReportingOverflow(new.range.last.rawValue - new.range.first.rawValue).overflow
        else { throw .backingWraps(new.range, backing: new.backing) }
        guard let index = mappings.firstIndex(where: { $0.range == new.range }) else {
            throw .notMapped(new.range)
        }
        mappings[index] = new
    }

    mutating func removeFirst(startingIn range: IOVARange) -> IOVAMapping? {
        guard
            let index = mappings.firstIndex(where: {
                range.first <= $0.range.first && $0.range.first <= range.last
            })
        else { return nil }
        return mappings.remove(at: index)
    }

    func mapping(containing iova: UInt64) -> IOVAMapping? {
        mappings.first { $0.range.first.rawValue <= iova && iova <= $0.range.last.rawValue }
    }

    func firstGap(byteCount: UInt64, alignment: UInt64, offset: UInt64, in range: IOVARange) -> IOVARange? {
        // The lowest free start is the range's own, or right behind a mapping.
        var starts = [range.first.rawValue]
        for mapping in mappings where mapping.range.last < range.last && mapping.range.last >= range.first {
            starts.append(mapping.range.last.rawValue + 1)
        }
        for start in starts {
            var aligned = start
            let remainder = aligned % alignment
            let missing = remainder <= offset ? offset - remainder : alignment - remainder + offset
            let (sum, overflow) = aligned.addingReportingOverflow(missing)
            if overflow { continue }
            aligned = sum
            guard let candidate = IOVARange(IOVA(aligned), byteCount: byteCount),
                candidate.last <= range.last,
                !mappings.contains(where: { NaiveMap.overlap($0.range, candidate) })
            else { continue }
            return candidate
        }
        return nil
    }

    var byteSum: UInt64 {
        mappings.reduce(0) { $0 &+ ($1.range.last.rawValue &- $1.range.first.rawValue &+ 1) }
    }

    static func overlap(_ a: IOVARange, _ b: IOVARange) -> Bool {
        !(a.last < b.first || b.last < a.first)
    }

    private func join(_ a: IOVAMapping, _ b: IOVAMapping) -> IOVAMapping? {
        guard a.range.last.rawValue < .max, a.range.last.rawValue + 1 == b.range.first.rawValue,
            a.permissions == b.permissions, a.tag == b.tag
        else { return nil }
        let (end, overflow) = a.backing.addingReportingOverflow(
            b.range.first.rawValue - a.range.first.rawValue)
        guard !overflow, end == b.backing else { return nil }
        var joined = a
        joined.range = IOVASpaceTests.range(a.range.first.rawValue, b.range.last.rawValue)
        return joined
    }
}
