/// What is wrong inside a map: a mistake of this module, never of its user.
package struct InvariantViolation: Error {
    package let what: StaticString

    init(_ what: StaticString) {
        self.what = what
    }
}

extension IOVAMap {
    /// Checks everything that the code relies on: order, no overlap, how full nodes are, links, bounds, counts.
    ///
    /// Takes time linear in the number of mappings; for tests.
    package func _invariantCheck() throws(InvariantViolation) {
        var walk = InvariantWalk()
        if let root = tree.root {
            try walk.visit(root, level: tree.height, lower: 0, upper: nil, tree: tree)
        } else {
            guard tree.height == 0, tree.firstLeaf == nil, tree.lastLeaf == nil else {
                throw InvariantViolation("an empty tree has leaves")
            }
        }
        guard walk.mappingCount == tree.count else { throw InvariantViolation("wrong number of mappings") }
        guard walk.byteSum == byteSum else { throw InvariantViolation("wrong number of bytes") }
        guard walk.leaf == tree.lastLeaf else { throw InvariantViolation("wrong last leaf") }
        guard walk.leaf?.next == nil else { throw InvariantViolation("the last leaf has a next one") }
        guard walk.nodeCount == tree.pool.usedCount else { throw InvariantViolation("a node is lost") }
        guard tree.pool.usedCount + tree.pool.unusedCount() == tree.pool.nodeCount else {
            throw InvariantViolation("an unused node is lost")
        }
    }
}

/// A walk through a tree in order, with what it has met so far.
private struct InvariantWalk {
    var leaf: Node?
    var last: UInt64?
    var mappingCount = 0
    var nodeCount = 0
    var byteSum: UInt64 = 0

    mutating func visit(
        _ node: Node, level: Int, lower: UInt64, upper: UInt64?, tree: borrowing MappingTree
    ) throws(InvariantViolation) {
        nodeCount += 1
        guard node.hasCleanSlots else { throw InvariantViolation("an unused slot has a key") }
        guard node.isLeaf == (level == 0) else { throw InvariantViolation("leaves at different depths") }
        if node.isLeaf {
            try visitLeaf(node, lower: lower, upper: upper, tree: tree)
            return
        }
        let minimum = node == tree.root ? 2 : MappingTree.minimumInner
        guard node.count >= minimum, node.count <= Node.innerCapacity else {
            throw InvariantViolation("an inner node is too empty or too full")
        }
        guard node.key(at: 0) == lower else { throw InvariantViolation("a node that doesn't know its bound") }
        for index in 0..<node.count {
            let bound = node.key(at: index)
            let next = index + 1 < node.count ? node.key(at: index + 1) : upper
            guard next.map({ bound < $0 }) ?? true else {
                throw InvariantViolation("bounds out of order")
            }
            try visit(node.child(at: index), level: level - 1, lower: bound, upper: next, tree: tree)
        }
    }

    private mutating func visitLeaf(
        _ node: Node, lower: UInt64, upper: UInt64?, tree: borrowing MappingTree
    ) throws(InvariantViolation) {
        guard node.previous == leaf else { throw InvariantViolation("wrong link to the leaf before") }
        if let leaf {
            guard leaf.next == node else { throw InvariantViolation("wrong link to the leaf after") }
        } else {
            guard tree.firstLeaf == node else { throw InvariantViolation("wrong first leaf") }
        }
        leaf = node
        let isEdge = node == tree.firstLeaf || node == tree.lastLeaf
        guard node.count >= (isEdge ? 1 : MappingTree.minimumLeaf), node.count <= Node.leafCapacity else {
            throw InvariantViolation("a leaf is too empty or too full")
        }
        for index in 0..<node.count {
            let first = node.key(at: index)
            let payload = node.payload(at: index)
            guard first >= lower, upper.map({ first < $0 }) ?? true else {
                throw InvariantViolation("a mapping outside the bounds of its leaf")
            }
            guard payload.last >= first else { throw InvariantViolation("a mapping ends before it begins") }
            guard last.map({ $0 < first }) ?? true else { throw InvariantViolation("mappings overlap") }
            guard !payload.backing.addingReportingOverflow(payload.last - first).overflow else {
                throw InvariantViolation("the memory of a mapping wraps")
            }
            last = payload.last
            mappingCount += 1
            byteSum &+= payload.last &- first &+ 1
        }
    }
}
