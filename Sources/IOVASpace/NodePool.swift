/// The memory of one tree: blocks of nodes, and a list of those not in use.
///
/// Blocks grow with the tree by an eighth, so that little lies idle, and are given back together: by
/// ``releaseAll()`` and at the end of the pool's life. Nodes of a tree that shrinks are kept for its growth.
///
/// A class, so that a map can be destroyed by code of other modules also in Embedded Swift, which has to see the
/// end of a noncopyable structure's life. It is touched when nodes come and go, not on the way to a mapping.
final class NodePool {
    private var firstBlock: Node?
    private var unused: Node?

    /// How many nodes have been allocated, in use or not.
    private(set) var nodeCount = 0

    /// How many of them are in use.
    private(set) var usedCount = 0

    /// The largest block: 1 MiB.
    private static let maximumBlock = 1024

    init() {}

    deinit {
        NodePool.release(firstBlock)
    }

    /// A node that holds nothing yet.
    func take(isLeaf: Bool) -> Node {
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
    func giveBack(_ node: Node) {
        node.previous = unused
        unused = node
        usedCount -= 1
    }

    /// Gives all memory back; no node may be in use afterwards.
    func releaseAll() {
        NodePool.release(firstBlock)
        firstBlock = nil
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

    private func grow() {
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
        head.nextBlock = firstBlock
        firstBlock = head
        nodeCount += nodes
    }

    private static func release(_ first: Node?) {
        var block = first
        while let current = block {
            block = current.nextBlock
            // SAFETY: the address that allocate gave; the link was read before, nothing is read after.
            unsafe current.address.deallocate()
        }
    }
}
