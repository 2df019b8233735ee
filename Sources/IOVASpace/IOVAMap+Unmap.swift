/// What was taken out of a map.
@frozen
public struct IOVARemoval: Hashable, Sendable, BitwiseCopyable {
    /// The number of mappings.
    public var mappingCount: Int

    /// The number of bytes, all mappings together, modulo 2^64: removing one mapping of all the space gives
    /// a count of 1 and 0 bytes.
    public var byteCount: UInt64

    /// A removal of so much.
    @inlinable
    public init(mappingCount: Int = 0, byteCount: UInt64 = 0) {
        self.mappingCount = mappingCount
        self.byteCount = byteCount
    }
}

/// What unmapping a range does to a mapping that lies only partly in it.
public enum IOVACut: Hashable, Sendable {
    /// Refuses, and changes nothing at all.
    case refuse

    /// Cuts the mapping at the end of the range and removes the part inside.
    case split
}

extension IOVAMap {
    /// Removes the one mapping that has exactly this range.
    ///
    /// - Throws: ``IOVAMapError/notMapped(_:)`` if there is none; nothing is changed then.
    @discardableResult
    public mutating func unmap(exactly range: IOVARange) throws(IOVAMapError) -> IOVAMapping {
        guard let place = tree.place(startingAt: range.first.rawValue),
            place.leaf.last(at: place.index) == range.last.rawValue
        else {
            throw .notMapped(range)
        }
        return remove(at: place)
    }

    /// Removes the mapping that begins at `iova`, however long it is; nil if none does.
    @discardableResult
    public mutating func removeMapping(startingAt iova: IOVA) -> IOVAMapping? {
        tree.place(startingAt: iova.rawValue).map { remove(at: $0) }
    }

    /// Removes the lowest mapping that begins inside `range`, whole, even if it ends beyond; nil if none does.
    ///
    /// Called until it gives nil, it empties a range mapping by mapping, with work done for each in between.
    @discardableResult
    public mutating func removeFirstMapping(startingIn range: IOVARange) -> IOVAMapping? {
        guard let place = place(startingAtOrAbove: range.first.rawValue),
            place.leaf.key(at: place.index) <= range.last.rawValue
        else {
            return nil
        }
        return remove(at: place)
    }

    /// Removes everything mapped inside `range`. Holes are fine, and so is a range with nothing mapped.
    ///
    /// - Parameters:
    ///   - range: the addresses that are to be unmapped afterwards.
    ///   - cut: what to do about mappings that lie partly outside.
    /// - Returns: how much was removed; a part that was cut off counts as one mapping.
    /// - Throws: ``IOVAMapError/bisects(_:)`` with the mapping in question, the lower of the two if both ends
    ///   bisect one, if `cut` is ``IOVACut/refuse``; nothing is changed then.
    @discardableResult
    public mutating func unmap(
        in range: IOVARange, cutting cut: IOVACut = .refuse
    ) throws(IOVAMapError) -> IOVARemoval {
        try unmap(in: range, cutting: cut) { _ in }
    }

    /// Removes everything mapped inside `range`, and hands over each mapping, in ascending order, right after
    /// it was removed.
    ///
    /// Otherwise as ``unmap(in:cutting:)``.
    @discardableResult
    public mutating func unmap(
        in range: IOVARange, cutting cut: IOVACut, _ removed: (IOVAMapping) -> Void
    ) throws(IOVAMapError) -> IOVARemoval {
        switch cut {
        case .refuse:
            if let mapping = mapping(bisectedBy: range) {
                throw .bisects(mapping)
            }
        case .split:
            split(at: range.first)
            if let next = range.last.advanced(by: 1) {
                split(at: next)
            }
        }
        var removal = IOVARemoval()
        while let mapping = removeFirstMapping(startingIn: range) {
            removal.mappingCount += 1
            removal.byteCount &+= mapping.range.lastOffset &+ 1
            removed(mapping)
        }
        return removal
    }

    /// The lowest mapping that lies partly inside and partly outside `range`; nil if every mapping is either.
    public func mapping(bisectedBy range: IOVARange) -> IOVAMapping? {
        if let low = mapping(containing: range.first), low.range.first < range.first {
            return low
        }
        if let high = mapping(containing: range.last), high.range.last > range.last {
            return high
        }
        return nil
    }
}
