import LinuxSystem
import NVMe

/// A completion queue, raw: entries are taken as their phase bit turns, the doorbell is rung separately.
///
/// The ring doesn't own the memory of its entries.
public struct CompletionRing: ~Copyable, Sendable {
    /// The queue's identifier, QID; 0 is the admin queue.
    public let identifier: UInt16
    /// How many entries the queue has.
    public let entryCount: Int
    private let entries: MemoryWindow
    private let doorbell: QueueDoorbell
    /// Where the next entry is expected.
    private var head: UInt16 = 0
    /// The head that the controller has been told.
    private var rungHead: UInt16 = 0
    /// The phase tag of entries that are new in this round: 1 in the first, as memory begins with zeros.
    private var phase: UInt16 = 1

    /// An empty queue.
    /// - Parameters:
    ///   - identifier: QID.
    ///   - entries: zeroed memory for all entries, 16 bytes each, which outlives the ring.
    ///   - entryCount: 2...65536, as the queue was created with.
    ///   - doorbell: the queue's head doorbell.
    public init(identifier: UInt16, entries: MemoryWindow, entryCount: Int, doorbell: QueueDoorbell) {
        precondition(entryCount >= 2 && entryCount <= 0x10000, "a queue has 2...65536 entries")
        precondition(
            entries.byteCount >= entryCount * CompletionEntry.size, "not enough memory for the entries")
        self.identifier = identifier
        self.entries = entries
        self.entryCount = entryCount
        self.doorbell = doorbell
    }

    /// Whether entries were taken that the controller hasn't been told of.
    public var hasUnrungEntries: Bool { head != rungHead }

    /// How many entries were taken that the controller hasn't been told of.
    var unrungCount: Int {
        let count = Int(head) - Int(rungHead)
        return count < 0 ? count + entryCount : count
    }

    /// Takes the next completion; nil if there is none yet.
    ///
    /// Its place is given back to the controller with ``ring()`` only.
    @inline(__always)
    public mutating func next() -> CompletionEntry? {
        let offset = Int(head) * CompletionEntry.size
        guard entries.load16(offset + CompletionEntry.statusOffset) & 1 == phase else { return nil }
        // The phase bit is what the controller writes last; nothing of the entry, nor of the data it stands
        // for, may be loaded before it.
        Fence.afterCompletion()
        let entry = entries.load(CompletionEntry.self, at: offset)
        if Int(head) + 1 == entryCount {
            head = 0
            phase ^= 1
        } else {
            head += 1
        }
        return entry
    }

    /// Gives the places of the completions taken back to the controller. Does nothing if there are none.
    @inline(__always)
    public mutating func ring() {
        guard head != rungHead else { return }
        let old = rungHead
        rungHead = head
        // The entries have to be loaded before the controller is allowed to write over them: this fence keeps
        // earlier loads before later stores.
        Fence.afterCompletion()
        doorbell.ring(head, after: old)
    }

    /// Starts over, as after the queue has been created anew.
    public mutating func reset() {
        head = 0
        rungHead = 0
        phase = 1
        entries.zero(at: 0, byteCount: entryCount * CompletionEntry.size)
    }
}
