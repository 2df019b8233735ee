import LinuxSystem
import NVMe
import VFIO

/// An I/O queue pair as two bare rings: the lowest of the driver's three levels.
///
/// Command identifiers, data pointers, and what belongs to which completion are the caller's. When the queue
/// pair goes, the controller deletes the queues before their memory is freed.
public struct RawQueuePair: ~Copyable, Sendable {
    private let lease: QueueLease
    /// Where commands go.
    public var submission: SubmissionRing
    /// Where completions come from.
    public var completion: CompletionRing

    init(_ core: ControllerCore, entryCount: Int) throws(NVMeError) {
        let shape = core.ioShape(entryCount: entryCount)
        let lease = try core.lease(shape)
        let identifier = lease.identifier
        let doorbells = try core.lock.withLock { () throws(NVMeError) in try core.doorbells(identifier) }
        let memory = lease.memory.window
        submission = SubmissionRing(
            identifier: identifier,
            entries: memory.window(at: 0, byteCount: shape.entryCount * SubmissionEntry.size),
            entryCount: shape.entryCount, doorbell: doorbells.tail)
        completion = CompletionRing(
            identifier: identifier,
            entries: memory.window(
                at: shape.completionOffset, byteCount: shape.entryCount * CompletionEntry.size),
            entryCount: shape.entryCount, doorbell: doorbells.head)
        self.lease = lease
    }

    /// The queues' identifier, 1...
    public var identifier: UInt16 { lease.identifier }
    /// Whether the controller still knows the queues.
    public var isLive: Bool { lease.isLive }
    /// A descriptor that becomes readable with an interrupt; nil without interrupts.
    public var interruptDescriptor: Int32? { lease.interrupts?.descriptor(lease.vector) }
}
