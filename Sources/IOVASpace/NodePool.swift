/// The memory of one tree: blocks of nodes, and a list of those not in use.
///
/// Blocks grow with the tree by an eighth, so that little lies idle, and are given back together: by
/// ``releaseAll()`` and at the end of the pool's life. Nodes of a tree that shrinks are kept for its growth.
struct NodePool: ~Copyable {
    private let blocks = NodeBlocks()
    private var unused: Node?

    /// How many nodes have been allocated, in use or not.
    private(set) var nodeCount = 0

    /// How many of them are in use.
    private(set) var usedCount = 0

    /// The largest block: 1 MiB.
    private static let maximumBlock = 1024

    init() {}

    /// A node that holds nothing yet.
    mutating func take(isLeaf: Bool) -> Node {
        if unused == nil {
            grow()
        }
        guard let node = unused else {
            preconditionFailure("a pool that has just grown has unused nodes")
        }
        unused = node.previous
        usedCount += 1
        node.reset(isLeaf: isLeaf)
        return node
    }

    /// Takes back a node that nothing refers to any more.
    mutating func giveBack(_ node: Node) {
        node.previous = unused
        unused = node
        usedCount -= 1
    }

    /// Gives all memory back; no node may be in use afterwards.
    mutating func releaseAll() {
        blocks.release()
        unused = nil
        nodeCount = 0
        usedCount = 0
    }

    /// How many nodes are on the list of those not in use.
    func unusedCount() -> Int {
        var found = 0
        var node = unused
        while let current = node, found <= nodeCount {
            found += 1
            node = current.previous
        }
        return found
    }

    private mutating func grow() {
        let nodes = Swift.min(Swift.max(nodeCount / 8, 1), NodePool.maximumBlock)
        // SAFETY: fresh memory of nodes * 1,024 bytes, zeroed before a handle is made; each handle gets its
        // own 1,024 bytes of it. It is freed only in release(_:), when the tree has let go of all handles.
        let block = UnsafeMutableRawPointer.allocate(
            byteCount: nodes * Node.byteCount, alignment: Node.alignment)
        unsafe block.initializeMemory(as: UInt8.self, repeating: 0, count: nodes * Node.byteCount)
        for index in (0..<nodes).reversed() {
            let node = unsafe Node(block + index * Node.byteCount)
            node.previous = unused
            unused = node
        }
        let head = unsafe Node(block)
        head.nextBlock = blocks.first
        blocks.first = head
        nodeCount += nodes
    }
}

/// The blocks of a pool, and their end.
///
/// A class, because in Embedded Swift a structure with a `deinit` can't be owned outside of its own module
/// unless all of its inside is public.
private final class NodeBlocks {
    /// The block that was allocated last; it leads to the others.
    var first: Node?

    deinit { release() }

    /// Gives all blocks back.
    func release() {
        var block = first
        first = nil
        while let current = block {
            block = current.nextBlock
            // SAFETY: the address that allocate gave; the link was read before, nothing is read after.
            unsafe current.address.deallocate()
        }
    }
}
