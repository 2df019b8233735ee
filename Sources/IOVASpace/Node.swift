/// A handle on one node of the tree: 1,024 bytes of raw memory, and the only code that touches them.
///
/// | byte | leaf | inner node |
/// |---|---|---|
/// | 0 | number of entries, UInt32 | number of children, UInt32 |
/// | 4 | 1, UInt32 | 0, UInt32 |
/// | 8 | the leaf before, or 0 | the next unused node while it is unused |
/// | 16 | the leaf after, or 0 | |
/// | 24 | the next block of nodes, in the first node of a block | same |
/// | 32 | 31 keys: first addresses | 63 slots for 61 keys: lower bounds of the children |
/// | 280 | 31 payloads of 24 bytes | (536) 61 children of 8 bytes |
///
/// The keys lie together because a search reads many of them and one payload only. Slots without an entry
/// hold the highest key, for the search. The bound of a first child is that of its parent, or 0. A bound is
/// true but not tight: removing the lowest entry of a child leaves it as it is.
///
/// SAFETY of everything in here: a handle is made by ``NodePool`` only, from 1,024 bytes that stay allocated
/// and initialised as long as the map lives, and all handles are held by that map. Offsets are constants plus
/// an index that `precondition`s keep below the capacity of the node's kind.
@safe
struct Node: Equatable {
    static let byteCount = 1024
    static let alignment = 64
    static let leafCapacity = 31
    static let innerCapacity = 61
    private static let keysOffset = 32
    private static let leafKeySlots = 31
    private static let innerKeySlots = 63
    private static let payloadsOffset = keysOffset + leafKeySlots * 8
    private static let childrenOffset = keysOffset + innerKeySlots * 8

    /// All of a mapping but its first address.
    struct Payload: BitwiseCopyable {
        var last: UInt64
        var backing: UInt64
        /// Permissions in the low byte, the tag in the upper half.
        var meta: UInt64
    }

    private let memory: UnsafeMutableRawPointer

    init(_ memory: UnsafeMutableRawPointer) {
        // SAFETY: the one place where a handle is made; see the type's comment.
        unsafe self.memory = memory
    }

    static func == (lhs: Node, rhs: Node) -> Bool {
        // SAFETY: compares two addresses, reads nothing.
        unsafe lhs.memory == rhs.memory
    }

    /// The address, for giving a block of nodes back to the allocator.
    @unsafe var address: UnsafeMutableRawPointer {
        // SAFETY: the caller takes over the obligation.
        unsafe memory
    }

    // MARK: Header

    /// The number of entries.
    var count: Int {
        // SAFETY: header field at byte 0.
        Int(truncatingIfNeeded: unsafe memory.load(as: UInt32.self))
    }

    private func setCount(_ count: Int) {
        precondition(count >= 0 && count <= capacity)
        // SAFETY: header field at byte 0.
        unsafe memory.storeBytes(of: UInt32(truncatingIfNeeded: count), as: UInt32.self)
    }

    var isLeaf: Bool {
        // SAFETY: header field at byte 4.
        unsafe memory.load(fromByteOffset: 4, as: UInt32.self) != 0
    }

    var capacity: Int { isLeaf ? Node.leafCapacity : Node.innerCapacity }

    /// The leaf before this one; in an unused node, the next unused one.
    var previous: Node? {
        get { link(at: 8) }
        nonmutating set { setLink(at: 8, newValue) }
    }

    var next: Node? {
        get { link(at: 16) }
        nonmutating set { setLink(at: 16, newValue) }
    }

    /// The first node of the next block, in the first node of each block.
    var nextBlock: Node? {
        get { link(at: 24) }
        nonmutating set { setLink(at: 24, newValue) }
    }

    /// Makes this an empty node of the given kind; keeps the link of blocks.
    func reset(isLeaf: Bool) {
        // SAFETY: header fields at bytes 0 and 4.
        unsafe memory.storeBytes(of: 0, as: UInt32.self)
        unsafe memory.storeBytes(of: isLeaf ? 1 : 0, toByteOffset: 4, as: UInt32.self)
        previous = nil
        next = nil
        fillKeys(from: 0, to: isLeaf ? Node.leafKeySlots : Node.innerKeySlots)
    }

    /// Stores the highest key in slots that have no entry.
    private func fillKeys(from start: Int, to end: Int) {
        precondition(start >= 0 && end <= (isLeaf ? Node.leafKeySlots : Node.innerKeySlots))
        for index in stride(from: start, to: end, by: 1) {
            // SAFETY: below the number of slots of this kind of node.
            unsafe memory.storeBytes(of: .max, toByteOffset: Node.keysOffset + index * 8, as: UInt64.self)
        }
    }

    private func link(at offset: Int) -> Node? {
        // SAFETY: header fields at bytes 8, 16 and 24 hold a node's address or 0.
        guard let other = unsafe memory.load(fromByteOffset: offset, as: UnsafeMutableRawPointer?.self) else {
            return nil
        }
        return unsafe Node(other)
    }

    private func setLink(at offset: Int, _ node: Node?) {
        if let node {
            // SAFETY: header fields at bytes 8, 16 and 24.
            unsafe memory.storeBytes(of: node.memory, toByteOffset: offset, as: UnsafeMutableRawPointer.self)
        } else {
            // SAFETY: as above; a nil pointer is all zeroes.
            unsafe memory.storeBytes(of: 0, toByteOffset: offset, as: UInt.self)
        }
    }

    // MARK: Entries

    @inline(__always)
    func key(at index: Int) -> UInt64 {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: Node.innerCapacity))
        // SAFETY: index below the larger capacity: inside the node for both kinds.
        return unsafe memory.load(fromByteOffset: Node.keysOffset &+ index &* 8, as: UInt64.self)
    }

    @inline(__always)
    func setKey(_ key: UInt64, at index: Int) {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: capacity))
        // SAFETY: index below the capacity of this kind: inside the keys.
        unsafe memory.storeBytes(of: key, toByteOffset: Node.keysOffset &+ index &* 8, as: UInt64.self)
    }

    @inline(__always)
    func payload(at index: Int) -> Payload {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: Node.leafCapacity))
        // SAFETY: index below the capacity of a leaf; only leaves are asked.
        return unsafe memory.load(
            fromByteOffset: Node.payloadsOffset &+ index &* 24, as: Payload.self)
    }

    @inline(__always)
    func last(at index: Int) -> UInt64 {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: Node.leafCapacity))
        // SAFETY: as payload(at:); the last address is its first field.
        return unsafe memory.load(fromByteOffset: Node.payloadsOffset &+ index &* 24, as: UInt64.self)
    }

    @inline(__always)
    func setPayload(_ payload: Payload, at index: Int) {
        precondition(isLeaf && UInt(bitPattern: index) < UInt(bitPattern: Node.leafCapacity))
        // SAFETY: this is a leaf and the index is below its capacity.
        unsafe memory.storeBytes(
            of: payload, toByteOffset: Node.payloadsOffset &+ index &* 24, as: Payload.self)
    }

    @inline(__always)
    func child(at index: Int) -> Node {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: Node.innerCapacity))
        // SAFETY: index below the capacity of an inner node; only those are asked, below their count, where
        // every child has been stored by setChild.
        return unsafe Node(
            memory.load(
                fromByteOffset: Node.childrenOffset &+ index &* 8, as: UnsafeMutableRawPointer.self))
    }

    @inline(__always)
    func setChild(_ child: Node, at index: Int) {
        precondition(!isLeaf && UInt(bitPattern: index) < UInt(bitPattern: Node.innerCapacity))
        // SAFETY: this is an inner node and the index is below its capacity.
        unsafe memory.storeBytes(
            of: child.memory, toByteOffset: Node.childrenOffset &+ index &* 8,
            as: UnsafeMutableRawPointer.self)
    }

    // MARK: Search

    /// The index of the child under which `key` belongs.
    @inline(__always)
    func childIndex(for key: UInt64) -> Int {
        let samples = countKeys(upTo: key, from: 7, by: 8, count: 7)
        let found = samples &* 8 &+ countKeys(upTo: key, from: samples &* 8, by: 1, count: 7)
        return Swift.max(Swift.min(found, count), 1) &- 1
    }

    /// How many of the keys of this leaf are at most `key`.
    @inline(__always)
    func upperBound(of key: UInt64) -> Int {
        let samples = countKeys(upTo: key, from: 7, by: 8, count: 3)
        let found = samples &* 8 &+ countKeys(upTo: key, from: samples &* 8, by: 1, count: 7)
        return Swift.min(found, count)
    }

    /// How many of `length` keys, each `stride` behind the one before, are at most `key`.
    ///
    /// A search is two of these: one over every eighth key, to find the eight among which the answer lies, and
    /// one over the first seven of those (the last is known to be above). Both run without a branch that
    /// depends on a key, and their loads don't wait for each other; a search by halves waits for each load,
    /// and has every second branch mispredicted.
    ///
    /// Slots without an entry hold the highest key, so they count only for that one, and the caller puts it
    /// right.
    @inline(__always)
    private func countKeys(upTo key: UInt64, from start: Int, by stride: Int, count length: Int) -> Int {
        // SAFETY: the highest slot read is 7 + 7 * 8 - 1 = 62 in inner nodes, which have 63, and 30 in leaves,
        // which have 31: start is 7, or 8 times a result of at most 7 and 3.
        let keys = unsafe memory + (Node.keysOffset &+ start &* 8)
        var found = 0
        for index in 0..<length {
            let probe = unsafe keys.load(fromByteOffset: index &* stride &* 8, as: UInt64.self)
            found &+= probe <= key ? 1 : 0
        }
        return found
    }

    // MARK: Moving entries

    private var payloadOffset: Int { isLeaf ? Node.payloadsOffset : Node.childrenOffset }
    private var payloadStride: Int { isLeaf ? 24 : 8 }

    /// Copies `length` entries from `index` on to `target` in another node (or this one) of the same kind.
    ///
    /// Doesn't change either count.
    private func copyEntries(from index: Int, count length: Int, to destination: Node, at target: Int) {
        guard length > 0 else { return }
        precondition(isLeaf == destination.isLeaf)
        precondition(index >= 0 && target >= 0 && length <= capacity)
        precondition(index <= capacity - length && target <= capacity - length)
        let offset = payloadOffset
        let stride = payloadStride
        // SAFETY: both spans end inside the nodes by the checks above; copyMemory allows overlap.
        unsafe (destination.memory + Node.keysOffset + target * 8)
            .copyMemory(from: memory + Node.keysOffset + index * 8, byteCount: length * 8)
        unsafe (destination.memory + offset + target * stride)
            .copyMemory(from: memory + offset + index * stride, byteCount: length * stride)
    }

    /// Makes room for one entry at `index`, whose contents are then to be stored.
    func openGap(at index: Int) {
        let entries = count
        precondition(entries < capacity)
        copyEntries(from: index, count: entries - index, to: self, at: index + 1)
        setCount(entries + 1)
    }

    /// Takes out the entry at `index`.
    func closeGap(at index: Int) {
        let entries = count
        precondition(index < entries)
        copyEntries(from: index + 1, count: entries - index - 1, to: self, at: index)
        setCount(entries - 1)
        fillKeys(from: entries - 1, to: entries)
    }

    /// Moves the entries from `index` on to the front of `right`, the next node.
    func moveSuffix(from index: Int, to right: Node) {
        let entries = count
        let present = right.count
        let moved = entries - index
        right.copyEntries(from: 0, count: present, to: right, at: moved)
        copyEntries(from: index, count: moved, to: right, at: 0)
        right.setCount(present + moved)
        setCount(index)
        fillKeys(from: index, to: entries)
    }

    /// Moves the first `length` entries to the end of `left`, the node before.
    func movePrefix(_ length: Int, to left: Node) {
        let entries = count
        let present = left.count
        copyEntries(from: 0, count: length, to: left, at: present)
        copyEntries(from: length, count: entries - length, to: self, at: 0)
        left.setCount(present + length)
        setCount(entries - length)
        fillKeys(from: entries - length, to: entries)
    }

    /// Whether the slots without an entry hold what the search expects.
    var hasCleanSlots: Bool {
        for index in count..<(isLeaf ? Node.leafKeySlots : Node.innerKeySlots) {
            // SAFETY: below the number of slots of this kind of node.
            let key = unsafe memory.load(fromByteOffset: Node.keysOffset + index * 8, as: UInt64.self)
            guard key == .max else { return false }
        }
        return true
    }
}
