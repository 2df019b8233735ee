import LinuxSystem
import NVMe

/// A submission queue, raw: entries are put into memory, the doorbell is rung separately.
///
/// The lowest of the driver's three levels. The ring knows nothing of command identifiers, timeouts or what
/// memory a command uses; ``QueuePair`` does. It doesn't own the memory of its entries.
public struct SubmissionRing: ~Copyable, Sendable {
    /// The queue's identifier, QID; 0 is the admin queue.
    public let identifier: UInt16
    /// How many entries the queue has. One of them always stays free.
    public let entryCount: Int
    private let entries: MemoryWindow
    private let doorbell: QueueDoorbell
    /// Where the next entry goes.
    private var tail: UInt16 = 0
    /// The tail that the controller has been told.
    private var rungTail: UInt16 = 0
    /// Up to where the controller has taken entries, as far as its completions told.
    private var head: UInt16 = 0

    /// An empty queue.
    /// - Parameters:
    ///   - identifier: QID.
    ///   - entries: zeroed memory for all entries, 64 bytes each, which outlives the ring.
    ///   - entryCount: 2...65536, as the queue was created with.
    ///   - doorbell: the queue's tail doorbell.
    public init(identifier: UInt16, entries: MemoryWindow, entryCount: Int, doorbell: QueueDoorbell) {
        precondition(entryCount >= 2 && entryCount <= 0x10000, "a queue has 2...65536 entries")
        precondition(
            entries.byteCount >= entryCount * SubmissionEntry.size, "not enough memory for the entries")
        self.identifier = identifier
        self.entries = entries
        self.entryCount = entryCount
        self.doorbell = doorbell
    }

    /// How many entries can be posted now.
    public var freeCount: Int {
        // Tail and head are both below `entryCount`; one entry stays free to tell full from empty.
        let used = Int(tail) - Int(head)
        return entryCount - 1 - (used < 0 ? used + entryCount : used)
    }

    /// Whether entries were posted that the controller hasn't been told of.
    public var hasUnrungEntries: Bool { tail != rungTail }

    /// Puts an entry into the queue, without telling the controller: entries posted one after the other share
    /// one ``ring()``.
    /// - Returns: false if the queue is full; nothing has happened then.
    @inline(__always)
    public mutating func post(_ entry: SubmissionEntry) -> Bool {
        guard freeCount > 0 else { return false }
        entries.store(entry, at: Int(tail) * SubmissionEntry.size)
        tail = Int(tail) + 1 == entryCount ? 0 : tail + 1
        return true
    }

    /// Tells the controller of the entries posted since the last time. Does nothing if there are none.
    ///
    /// A controller in this process may carry out all of them before this returns.
    @inline(__always)
    public mutating func ring() {
        guard tail != rungTail else { return }
        let old = rungTail
        rungTail = tail
        // The entries have to be in memory before the controller is told to fetch them.
        Fence.beforeDoorbell()
        doorbell.ring(tail, after: old)
    }

    /// Takes note of how far the controller has got: SQHD of a completion. Wild values are ignored.
    @inline(__always)
    public mutating func controllerReached(_ head: UInt16) {
        guard Int(head) < entryCount else { return }
        self.head = head
    }

    /// Starts over, as after the queue has been created anew.
    public mutating func reset() {
        tail = 0
        rungTail = 0
        head = 0
        entries.zero(at: 0, byteCount: entryCount * SubmissionEntry.size)
    }
}
