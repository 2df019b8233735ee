extension IOVAMap {
    /// The lowest mapping; nil in an empty map.
    public var first: IOVAMapping? {
        tree.firstPlace.map { mapping(at: $0) }
    }

    /// The highest mapping; nil in an empty map.
    public var last: IOVAMapping? {
        tree.lastPlace.map { mapping(at: $0) }
    }

    /// The mapping that contains `iova`; nil if the address isn't mapped.
    public func mapping(containing iova: IOVA) -> IOVAMapping? {
        tree.place(containing: iova.rawValue).map { mapping(at: $0) }
    }

    /// The mapping that begins at `iova`; nil if none does.
    public func mapping(startingAt iova: IOVA) -> IOVAMapping? {
        tree.place(startingAt: iova.rawValue).map { mapping(at: $0) }
    }

    /// The lowest mapping that begins at or above `iova`; nil if there is none.
    public func firstMapping(startingAtOrAbove iova: IOVA) -> IOVAMapping? {
        place(startingAtOrAbove: iova.rawValue).map { mapping(at: $0) }
    }

    /// The highest mapping that begins at or below `iova`; nil if there is none.
    public func lastMapping(startingAtOrBelow iova: IOVA) -> IOVAMapping? {
        guard let upper = tree.upperPlace(of: iova.rawValue) else { return nil }
        return tree.place(before: upper).map { mapping(at: $0) }
    }

    /// The lowest mapping that has an address in common with `range`; nil if there is none.
    public func firstMapping(overlapping range: IOVARange) -> IOVAMapping? {
        guard let place = tree.place(endingAtOrAbove: range.first.rawValue),
            place.leaf.key(at: place.index) <= range.last.rawValue
        else {
            return nil
        }
        return mapping(at: place)
    }

    /// The highest mapping that has an address in common with `range`; nil if there is none.
    public func lastMapping(overlapping range: IOVARange) -> IOVAMapping? {
        guard let found = lastMapping(startingAtOrBelow: range.last), found.range.last >= range.first else {
            return nil
        }
        return found
    }

    /// The lowest mapping above `mapping` that has an address in common with `range`; nil if there is none.
    ///
    /// With ``firstMapping(overlapping:)`` a way to walk through a range that may change in between.
    public func mapping(after mapping: IOVAMapping, overlapping range: IOVARange) -> IOVAMapping? {
        guard let next = mapping.range.last.advanced(by: 1),
            let rest = IOVARange(first: Swift.max(next, range.first), last: range.last)
        else {
            return nil
        }
        return firstMapping(overlapping: rest)
    }

    /// Whether any address of `range` is mapped.
    public func overlaps(_ range: IOVARange) -> Bool {
        firstMapping(overlapping: range) != nil
    }

    /// Calls `body` with every mapping that has an address in common with `range`, whole, in ascending order.
    ///
    /// An error thrown by `body` ends the walk and is passed on.
    public func forEachMapping<E: Error>(
        overlapping range: IOVARange = .all, _ body: (IOVAMapping) throws(E) -> Void
    ) throws(E) {
        var next = tree.place(endingAtOrAbove: range.first.rawValue)
        while let place = next, place.leaf.key(at: place.index) <= range.last.rawValue {
            try body(mapping(at: place))
            next = tree.place(after: place)
        }
    }

    /// Whether every address of `range` is mapped, by mappings that allow all of `access`.
    public func covers(_ range: IOVARange, for access: IOVAPermissions = []) -> Bool {
        firstFault(in: range, for: access) == nil
    }

    /// The fault that a device meets first when it goes through `range` upwards, needing `access`; nil if it
    /// meets none.
    ///
    /// For transfers that are to happen wholly or not at all.
    public func firstFault(in range: IOVARange, for access: IOVAPermissions) -> IOVAFault? {
        var next = tree.place(containing: range.first.rawValue)
        var expected = range.first.rawValue
        while let place = next, place.leaf.key(at: place.index) <= expected {
            let payload = place.leaf.payload(at: place.index)
            guard payload.permissions.isSuperset(of: access) else {
                return .denied(IOVA(expected), payload.permissions)
            }
            if payload.last >= range.last.rawValue { return nil }
            expected = payload.last &+ 1
            next = tree.place(after: place)
        }
        return .unmapped(IOVA(expected))
    }

    /// The lowest mapping that begins at or above `key`.
    func place(startingAtOrAbove key: UInt64) -> MappingTree.Place? {
        guard let upper = tree.upperPlace(of: key) else { return nil }
        if upper.index > 0, upper.leaf.key(at: upper.index - 1) == key {
            return MappingTree.Place(leaf: upper.leaf, index: upper.index - 1)
        }
        return tree.place(atOrAfter: upper)
    }
}
