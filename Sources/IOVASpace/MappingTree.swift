/// A B+tree of ranges that don't overlap, ordered by their first address.
///
/// Leaves hold up to 31 mappings and are linked in order; inner nodes lead to up to 61 children. No leaf is
/// ever empty, so the mapping before or after a place is in this leaf or the next one over. Two leaves, the
/// lowest and the highest, may be nearly empty (a run of ascending or descending insertions fills the others
/// completely); all others hold ``minimumLeaf`` at least, and inner nodes below the root ``minimumInner``.
struct MappingTree: ~Copyable {
    static let minimumLeaf = 12
    static let minimumInner = 24

    /// Neighbours are joined only if the joined node keeps room, so that the next insertion doesn't split it.
    static let roomAfterMerge = 4

    /// A full leaf passes entries on to a neighbour that has this much room, instead of being split.
    static let roomForSpill = 4

    private(set) var pool = NodePool()
    private(set) var root: Node?
    private(set) var firstLeaf: Node?
    private(set) var lastLeaf: Node?

    /// The number of levels above the leaves.
    private(set) var height = 0

    /// The number of mappings.
    private(set) var count = 0

    init() {}

    /// The place of a mapping, or between two: of the mapping at `index` and what lies around it.
    struct Place {
        var leaf: Node
        var index: Int
    }

    /// An entry that is to go into a leaf.
    struct Entry {
        var first: UInt64
        var payload: Node.Payload
    }

    // MARK: Finding

    /// The place behind the last mapping that starts at or below `key`; nil in an empty tree.
    ///
    /// The index may equal the leaf's count. An entry that starts at `key` would be inserted here, or is the
    /// one before.
    @inline(__always)
    func upperPlace(of key: UInt64) -> Place? {
        guard var node = root else { return nil }
        var level = height
        while level > 0 {
            node = node.child(at: node.childIndex(for: key))
            level &-= 1
        }
        return Place(leaf: node, index: node.upperBound(of: key))
    }

    /// The mapping before a place, which may be in the leaf before.
    @inline(__always)
    func place(before place: Place) -> Place? {
        if place.index > 0 {
            return Place(leaf: place.leaf, index: place.index &- 1)
        }
        guard let leaf = place.leaf.previous else { return nil }
        return Place(leaf: leaf, index: leaf.count &- 1)
    }

    /// The mapping at a place, or if the place is behind the end of its leaf, the first of the next leaf.
    @inline(__always)
    func place(atOrAfter place: Place) -> Place? {
        if place.index < place.leaf.count {
            return place
        }
        guard let leaf = place.leaf.next else { return nil }
        return Place(leaf: leaf, index: 0)
    }

    /// The mapping after the one at a place.
    @inline(__always)
    func place(after place: Place) -> Place? {
        self.place(atOrAfter: Place(leaf: place.leaf, index: place.index &+ 1))
    }

    /// The mapping that contains `key`.
    @inline(__always)
    func place(containing key: UInt64) -> Place? {
        guard let upper = upperPlace(of: key), let candidate = place(before: upper) else { return nil }
        return candidate.leaf.last(at: candidate.index) >= key ? candidate : nil
    }

    /// The mapping that starts at `key`.
    @inline(__always)
    func place(startingAt key: UInt64) -> Place? {
        guard let upper = upperPlace(of: key), upper.index > 0 else { return nil }
        let candidate = Place(leaf: upper.leaf, index: upper.index &- 1)
        return candidate.leaf.key(at: candidate.index) == key ? candidate : nil
    }

    /// The lowest mapping that ends at or above `key`: it contains `key`, or is the next one up.
    func place(endingAtOrAbove key: UInt64) -> Place? {
        guard let upper = upperPlace(of: key) else { return nil }
        if let candidate = place(before: upper), candidate.leaf.last(at: candidate.index) >= key {
            return candidate
        }
        return place(atOrAfter: upper)
    }

    /// The lowest mapping.
    var firstPlace: Place? {
        firstLeaf.map { Place(leaf: $0, index: 0) }
    }

    /// The highest mapping.
    var lastPlace: Place? {
        lastLeaf.map { Place(leaf: $0, index: $0.count - 1) }
    }

    // MARK: Inserting

    /// Inserts an entry that overlaps none, at the place that ``upperPlace(of:)`` gave for its first address.
    mutating func insert(_ entry: Entry, at place: Place?) {
        count += 1
        guard let place else {
            let leaf = pool.take(isLeaf: true)
            leaf.openGap(at: 0)
            leaf.setKey(entry.first, at: 0)
            leaf.setPayload(entry.payload, at: 0)
            root = leaf
            firstLeaf = leaf
            lastLeaf = leaf
            height = 0
            return
        }
        if place.leaf.count < Node.leafCapacity {
            MappingTree.store(entry, in: place.leaf, at: place.index)
            return
        }
        guard let oldRoot = root else {
            preconditionFailure("a tree with a place has a root")
        }
        if let split = insertWithSplit(entry, below: oldRoot, level: height) {
            let newRoot = pool.take(isLeaf: false)
            MappingTree.store(Split(node: oldRoot, bound: 0), in: newRoot, at: 0)
            MappingTree.store(split, in: newRoot, at: 1)
            root = newRoot
            height += 1
        }
    }

    private static func store(_ entry: Entry, in leaf: Node, at index: Int) {
        leaf.openGap(at: index)
        leaf.setKey(entry.first, at: index)
        leaf.setPayload(entry.payload, at: index)
    }

    /// A node that was split off to the right of another, and its lower bound.
    private struct Split {
        var node: Node
        var bound: UInt64
    }

    private mutating func insertWithSplit(_ entry: Entry, below node: Node, level: Int) -> Split? {
        if level == 0 {
            let index = node.upperBound(of: entry.first)
            guard node.count == Node.leafCapacity else {
                MappingTree.store(entry, in: node, at: index)
                return nil
            }
            return splitLeaf(node, inserting: entry, at: index)
        }
        var index = node.childIndex(for: entry.first)
        if level == 1, spill(child: index, of: node) {
            index = node.childIndex(for: entry.first)
        }
        guard let split = insertWithSplit(entry, below: node.child(at: index), level: level - 1) else {
            return nil
        }
        if node.count < Node.innerCapacity {
            MappingTree.store(split, in: node, at: index + 1)
            return nil
        }
        return splitInner(node, inserting: split, at: index + 1)
    }

    private static func store(_ split: Split, in node: Node, at index: Int) {
        node.openGap(at: index)
        node.setKey(split.bound, at: index)
        node.setChild(split.node, at: index)
    }

    /// Makes room in a full leaf by evening it out with a neighbour under the same parent.
    private mutating func spill(child index: Int, of parent: Node) -> Bool {
        guard parent.child(at: index).count == Node.leafCapacity else { return false }
        let enough = Node.leafCapacity - MappingTree.roomForSpill
        if index > 0, parent.child(at: index - 1).count <= enough {
            MappingTree.even(parent, leftIndex: index - 1)
            return true
        }
        if index + 1 < parent.count, parent.child(at: index + 1).count <= enough {
            MappingTree.even(parent, leftIndex: index)
            return true
        }
        return false
    }

    private mutating func splitLeaf(_ leaf: Node, inserting entry: Entry, at index: Int) -> Split {
        let right = pool.take(isLeaf: true)
        let entries = leaf.count
        let kept =
            if leaf == lastLeaf && index == entries {
                entries  // Ascending insertions: leave a full leaf behind.
            } else if leaf == firstLeaf && index == 0 {
                0  // Descending insertions: likewise.
            } else {
                entries / 2
            }
        leaf.moveSuffix(from: kept, to: right)
        if index < kept || kept == 0 {
            MappingTree.store(entry, in: leaf, at: index)
        } else {
            MappingTree.store(entry, in: right, at: index - kept)
        }
        right.next = leaf.next
        right.previous = leaf
        leaf.next = right
        if let after = right.next {
            after.previous = right
        } else {
            lastLeaf = right
        }
        return Split(node: right, bound: right.key(at: 0))
    }

    private mutating func splitInner(_ node: Node, inserting split: Split, at index: Int) -> Split {
        let right = pool.take(isLeaf: false)
        let children = node.count
        let kept = index == children ? children - MappingTree.minimumInner : children / 2
        node.moveSuffix(from: kept, to: right)
        // A child split off goes right behind the one it came from, never in front of all others.
        if index <= kept {
            MappingTree.store(split, in: node, at: index)
        } else {
            MappingTree.store(split, in: right, at: index - kept)
        }
        return Split(node: right, bound: right.key(at: 0))
    }

    // MARK: Removing

    /// Takes out the entry at a place.
    mutating func remove(at place: Place) {
        count -= 1
        let leaf = place.leaf
        let key = leaf.key(at: place.index)
        leaf.closeGap(at: place.index)
        let left = leaf.count
        if left >= MappingTree.minimumLeaf { return }
        if left > 0 && (leaf == firstLeaf || leaf == lastLeaf) { return }
        guard let top = root else {
            preconditionFailure("a tree with a place has a root")
        }
        if top.isLeaf {
            // Empty: a root leaf is both the first and the last.
            removeAll()
            return
        }
        refill(below: top, level: height, for: key)
        if top.count == 1 {
            root = top.child(at: 0)
            pool.giveBack(top)
            height -= 1
        }
    }

    /// Takes out everything and gives the memory back.
    mutating func removeAll() {
        pool.releaseAll()
        root = nil
        firstLeaf = nil
        lastLeaf = nil
        height = 0
        count = 0
    }

    /// Goes down to the leaf of `key` and repairs, on the way up, nodes that hold too little.
    private mutating func refill(below node: Node, level: Int, for key: UInt64) {
        let index = node.childIndex(for: key)
        let child = node.child(at: index)
        if level > 1 {
            refill(below: child, level: level - 1, for: key)
            if child.count >= MappingTree.minimumInner { return }
        }
        // Every inner node has two children at least, so there is a neighbour.
        let leftIndex = index > 0 ? index - 1 : 0
        let total = node.child(at: leftIndex).count + node.child(at: leftIndex + 1).count
        if total <= child.capacity - MappingTree.roomAfterMerge {
            merge(node, leftIndex: leftIndex)
        } else {
            MappingTree.even(node, leftIndex: leftIndex)
        }
    }

    /// Joins child `leftIndex + 1` into child `leftIndex`.
    private mutating func merge(_ parent: Node, leftIndex: Int) {
        let left = parent.child(at: leftIndex)
        let right = parent.child(at: leftIndex + 1)
        if right.isLeaf {
            left.next = right.next
            if let after = right.next {
                after.previous = left
            } else {
                lastLeaf = left
            }
        }
        right.movePrefix(right.count, to: left)
        parent.closeGap(at: leftIndex + 1)
        pool.giveBack(right)
    }

    /// Moves entries between child `leftIndex` and the next one until both hold about the same.
    private static func even(_ parent: Node, leftIndex: Int) {
        let left = parent.child(at: leftIndex)
        let right = parent.child(at: leftIndex + 1)
        let leftCount = left.count
        let target = (leftCount + right.count) / 2
        if leftCount > target {
            left.moveSuffix(from: target, to: right)
        } else {
            right.movePrefix(target - leftCount, to: left)
        }
        parent.setKey(right.key(at: 0), at: leftIndex + 1)
    }
}
