extension IOVAMap {
    /// Finds the lowest free addresses for something of the given length.
    ///
    /// For choosing I/O virtual addresses: for DMA memory, or where the caller of a map leaves the choice.
    /// The time taken is linear in the number of mappings between the start of `range` and the gap.
    ///
    /// - Parameters:
    ///   - byteCount: the length wanted.
    ///   - alignment: a power of two.
    ///   - offset: the remainder that the first address is to leave when divided by `alignment`; less than
    ///     that.
    ///   - range: the addresses allowed.
    /// - Returns: a range of `byteCount` addresses, none of them mapped; nil if there is none, or if length,
    ///   alignment or offset make no sense.
    public func firstGap(
        byteCount: UInt64, alignedTo alignment: UInt64 = 1, offset: UInt64 = 0, in range: IOVARange
    ) -> IOVARange? {
        guard byteCount > 0, alignment.nonzeroBitCount == 1, offset < alignment else { return nil }
        guard var start = IOVAMap.align(range.first.rawValue, to: alignment, offset: offset) else {
            return nil
        }
        var next = tree.place(endingAtOrAbove: start)
        while true {
            guard let candidate = IOVARange(IOVA(start), byteCount: byteCount), candidate.last <= range.last
            else {
                return nil
            }
            guard let place = next, place.leaf.key(at: place.index) <= candidate.last.rawValue else {
                return candidate
            }
            let end = place.leaf.last(at: place.index)
            // The start may have been moved beyond the end of this mapping by the alignment.
            if end >= start {
                guard end != .max,
                    let aligned = IOVAMap.align(end &+ 1, to: alignment, offset: offset)
                else {
                    return nil
                }
                start = aligned
            }
            next = tree.place(after: place)
        }
    }

    /// Finds free addresses in the first of `ranges` that has room; the lowest there.
    ///
    /// See ``firstGap(byteCount:alignedTo:offset:in:)-(_,_,_,IOVARange)``. With ranges in ascending order, as
    /// an IOMMU reports them, the result is the lowest of all.
    public func firstGap(
        byteCount: UInt64, alignedTo alignment: UInt64 = 1, offset: UInt64 = 0, in ranges: [IOVARange]
    ) -> IOVARange? {
        for range in ranges {
            if let gap = firstGap(byteCount: byteCount, alignedTo: alignment, offset: offset, in: range) {
                return gap
            }
        }
        return nil
    }

    /// The lowest run of addresses in `range` with nothing mapped, as long as it goes; nil if all is mapped.
    public func firstGap(in range: IOVARange) -> IOVARange? {
        var start = range.first.rawValue
        var next = tree.place(endingAtOrAbove: start)
        while let place = next {
            let first = place.leaf.key(at: place.index)
            if first > start {
                return IOVARange(unchecked: start, Swift.min(first &- 1, range.last.rawValue))
            }
            let last = place.leaf.last(at: place.index)
            guard last < range.last.rawValue else { return nil }
            start = last &+ 1
            next = tree.place(after: place)
        }
        return IOVARange(unchecked: start, range.last.rawValue)
    }

    /// The lowest number that is at least `value` and leaves `offset` when divided by `alignment`.
    private static func align(_ value: UInt64, to alignment: UInt64, offset: UInt64) -> UInt64? {
        let missing = (offset &- value) & (alignment &- 1)
        let (aligned, overflow) = value.addingReportingOverflow(missing)
        return overflow ? nil : aligned
    }
}
