/// A completion as it lies in a completion queue: 16 bytes, little-endian
/// (NVMe Base 2.0, Figure 90: "Common Completion Queue Entry Layout").
@frozen
public struct CompletionEntry: Equatable, Sendable, BitwiseCopyable {
    /// DW0: the command's result.
    public var result: UInt32
    /// DW1: more of the result for the few commands that have it.
    public var result1: UInt32
    /// SQHD: the submission queue's head as of this completion; entries before it may be used again.
    public var submissionQueueHead: UInt16
    /// SQID: the submission queue the command came from.
    public var submissionQueueID: UInt16
    /// CID of the command.
    public var commandID: UInt16
    /// Bit 0 the phase tag, bits 15:1 the status.
    public var statusAndPhase: UInt16

    /// The bytes of an entry.
    public static let size = 16
    /// The exponent of `size`, as CC.IOCQES wants it.
    public static let sizeExponent: UInt8 = 4
    /// The offset of `statusAndPhase`, which the poller of a queue watches.
    public static let statusOffset = 14

    /// A completion with every field given.
    @inlinable
    public init(
        result: UInt32 = 0, result1: UInt32 = 0, submissionQueueHead: UInt16 = 0,
        submissionQueueID: UInt16 = 0, commandID: UInt16 = 0, status: Status = .success, phase: Bool = false
    ) {
        self.result = result
        self.result1 = result1
        self.submissionQueueHead = submissionQueueHead
        self.submissionQueueID = submissionQueueID
        self.commandID = commandID
        statusAndPhase = status.rawValue << 1 | (phase ? 1 : 0)
    }

    /// P: flips each time the controller goes round the queue.
    @inlinable public var phase: Bool {
        get { statusAndPhase & 1 != 0 }
        set { statusAndPhase = (statusAndPhase & ~1) | (newValue ? 1 : 0) }
    }

    /// SF: how the command ended.
    @inlinable public var status: Status {
        get { Status(rawValue: statusAndPhase >> 1) }
        set { statusAndPhase = (statusAndPhase & 1) | newValue.rawValue << 1 }
    }
}
