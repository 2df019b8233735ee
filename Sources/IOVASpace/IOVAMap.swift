import Synchronization

/// Gives every map a number of its own, so that a ``IOVATranslationCache`` knows which map it was filled from.
private let nextMapID = Atomic<UInt64>(1)

/// The map from I/O virtual addresses to memory: what an IOMMU's page table says, as ranges.
///
/// Mappings never overlap. They may be of any length, down to one byte and up to all of the 64-bit space: the
/// map knows no page size (callers check alignment, see ``IOVARange/isAligned(to:)``). Finding, adding and
/// removing a mapping takes time logarithmic in their number; memory is about 45 bytes for each.
///
/// The map is an owner: it can't be copied, and frees its memory at the end of its life. Everything that
/// doesn't change it may be called by several threads at a time; changing it needs exclusive access, which is
/// the caller's to arrange (a lock around the map).
public struct IOVAMap: ~Copyable {
    var tree = MappingTree()

    /// The sum of all lengths modulo 2^64.
    var byteSum: UInt64 = 0

    @usableFromInline let id: UInt64

    /// Counts the changes after which a translation that was true before may be false.
    @usableFromInline var generation: UInt64 = 0

    /// Whether a new mapping is joined with a neighbour that continues it.
    ///
    /// Two mappings continue each other if addresses and backing are both contiguous, and permissions and
    /// tags are equal. The setting holds for later mappings: changing it leaves the existing ones alone.
    public var mergesAdjacent: Bool

    /// An empty map.
    ///
    /// - Parameter mergingAdjacent: the initial value of ``mergesAdjacent``. Where the extent of each mapping
    ///   as it was made counts, as for VFIO's type1 driver, choose false.
    public init(mergingAdjacent: Bool = true) {
        id = nextMapID.wrappingAdd(1, ordering: .relaxed).oldValue
        mergesAdjacent = mergingAdjacent
    }

    /// The number of mappings.
    public var count: Int { tree.count }

    /// Whether nothing is mapped.
    public var isEmpty: Bool { tree.count == 0 }

    /// The number of bytes mapped, all mappings together.
    ///
    /// If all of the space is mapped its 2^64 bytes count as `UInt64.max`.
    public var byteCount: UInt64 {
        byteSum == 0 && tree.count > 0 ? .max : byteSum
    }

    /// The memory that the map has allocated, in bytes.
    public var allocatedByteCount: Int {
        tree.pool.nodeCount * Node.byteCount
    }

    // MARK: Changing

    /// Adds a mapping.
    ///
    /// - Throws: ``IOVAMapError/overlaps(_:)`` with the lowest mapping that has addresses in common with the
    ///   new one; ``IOVAMapError/backingWraps(_:backing:)`` if the memory would go beyond 2^64. Nothing is
    ///   changed then.
    public mutating func map(_ mapping: IOVAMapping) throws(IOVAMapError) {
        let range = mapping.range
        let first = range.first.rawValue
        let last = range.last.rawValue
        guard !mapping.backing.addingReportingOverflow(range.lastOffset).overflow else {
            throw .backingWraps(range, backing: mapping.backing)
        }
        let upper = tree.upperPlace(of: first)
        var before: MappingTree.Place?
        var after: MappingTree.Place?
        if let upper {
            before = tree.place(before: upper)
            after = tree.place(atOrAfter: upper)
            if let before, before.leaf.last(at: before.index) >= first {
                throw .overlaps(self.mapping(at: before))
            }
            if let after, after.leaf.key(at: after.index) <= last {
                throw .overlaps(self.mapping(at: after))
            }
        }
        byteSum &+= range.lastOffset &+ 1
        if mergesAdjacent, join(mapping, before: before, after: after, upper: upper) {
            return
        }
        tree.insert(MappingTree.Entry(mapping), at: upper)
    }

    /// Adds a mapping of `range` to the memory that begins at `backing`; see ``map(_:)``.
    public mutating func map(
        _ range: IOVARange, to backing: UInt64, permissions: IOVAPermissions = .readWrite, tag: UInt32 = 0
    ) throws(IOVAMapError) {
        try map(IOVAMapping(range, backing: backing, permissions: permissions, tag: tag))
    }

    /// Replaces what a mapping says about its addresses, and keeps its range.
    ///
    /// Never merges with neighbours.
    ///
    /// - Throws: ``IOVAMapError/notMapped(_:)`` if no mapping has exactly this range;
    ///   ``IOVAMapError/backingWraps(_:backing:)``.
    public mutating func remap(_ mapping: IOVAMapping) throws(IOVAMapError) {
        let range = mapping.range
        guard !mapping.backing.addingReportingOverflow(range.lastOffset).overflow else {
            throw .backingWraps(range, backing: mapping.backing)
        }
        guard let place = tree.place(startingAt: range.first.rawValue),
            place.leaf.last(at: place.index) == range.last.rawValue
        else {
            throw .notMapped(range)
        }
        generation &+= 1
        place.leaf.setPayload(Node.Payload(mapping), at: place.index)
    }

    /// Cuts the mapping that contains `iova` in two, the second of which begins there.
    ///
    /// Nothing happens if no mapping contains the address or one begins there already. The halves stay apart
    /// even if the map merges: that happens only to new mappings.
    ///
    /// - Returns: whether a mapping was cut.
    @discardableResult
    public mutating func split(at iova: IOVA) -> Bool {
        let key = iova.rawValue
        guard let upper = tree.upperPlace(of: key), let place = tree.place(before: upper) else {
            return false
        }
        let first = place.leaf.key(at: place.index)
        var payload = place.leaf.payload(at: place.index)
        guard first < key, payload.last >= key else { return false }
        var tail = payload
        tail.backing &+= key &- first
        payload.last = key &- 1
        generation &+= 1
        place.leaf.setPayload(payload, at: place.index)
        tree.insert(MappingTree.Entry(first: key, payload: tail), at: upper)
        return true
    }

    /// Takes out all mappings and gives the map's memory back.
    public mutating func removeAll() {
        generation &+= 1
        byteSum = 0
        tree.removeAll()
    }

    // MARK: Inside

    /// The mapping at a place.
    func mapping(at place: MappingTree.Place) -> IOVAMapping {
        let payload = place.leaf.payload(at: place.index)
        return IOVAMapping(
            IOVARange(unchecked: place.leaf.key(at: place.index), payload.last),
            backing: payload.backing, permissions: payload.permissions, tag: payload.tag)
    }

    /// Takes out the mapping at a place.
    mutating func remove(at place: MappingTree.Place) -> IOVAMapping {
        let removed = mapping(at: place)
        generation &+= 1
        byteSum &-= removed.range.lastOffset &+ 1
        tree.remove(at: place)
        return removed
    }

    /// Joins a new mapping with the ones before and after it, as far as they continue each other.
    private mutating func join(
        _ mapping: IOVAMapping, before: MappingTree.Place?, after: MappingTree.Place?,
        upper: MappingTree.Place?
    ) -> Bool {
        var payload = Node.Payload(mapping)
        var joinsAfter = false
        if let after, self.mapping(at: after).continues(mapping) {
            joinsAfter = true
            payload.last = after.leaf.last(at: after.index)
        }
        if let before, mapping.continues(self.mapping(at: before)) {
            var longer = before.leaf.payload(at: before.index)
            longer.last = payload.last
            generation &+= 1
            before.leaf.setPayload(longer, at: before.index)
            if joinsAfter, let after {
                tree.remove(at: after)
            }
            return true
        }
        guard joinsAfter, let after, let upper else { return false }
        generation &+= 1
        if after.leaf == upper.leaf {
            // The new first address belongs to this leaf, so the entry can stay where it is.
            after.leaf.setKey(mapping.range.first.rawValue, at: after.index)
            after.leaf.setPayload(payload, at: after.index)
        } else {
            // It lies below the lower bound of the neighbour's leaf.
            tree.remove(at: after)
            let first = mapping.range.first.rawValue
            tree.insert(MappingTree.Entry(first: first, payload: payload), at: tree.upperPlace(of: first))
        }
        return true
    }
}

// SAFETY: the map is the only owner of its nodes, can't be copied, and is changed through exclusive access
// only; reading never writes to them.
extension IOVAMap: @unchecked Sendable {}

extension IOVAMapping {
    /// Whether this mapping is the continuation of `other`: in addresses, in memory, and in kind.
    func continues(_ other: IOVAMapping) -> Bool {
        other.range.last != .max
            && range.first.rawValue == other.range.last.rawValue &+ 1
            && backing == other.backing &+ other.range.lastOffset &+ 1
            && backing != 0
            && permissions == other.permissions && tag == other.tag
    }
}

extension Node.Payload {
    init(_ mapping: IOVAMapping) {
        last = mapping.range.last.rawValue
        backing = mapping.backing
        meta = UInt64(mapping.tag) &<< 32 | UInt64(mapping.permissions.rawValue)
    }

    var permissions: IOVAPermissions {
        IOVAPermissions(rawValue: UInt8(truncatingIfNeeded: meta))
    }

    var tag: UInt32 {
        UInt32(truncatingIfNeeded: meta &>> 32)
    }
}

extension MappingTree.Entry {
    init(_ mapping: IOVAMapping) {
        first = mapping.range.first.rawValue
        payload = Node.Payload(mapping)
    }
}
