import NVMe

/// A command in flight: what a queue gives for a submission, and names again in its completion.
public struct RequestToken: Equatable, Hashable, Sendable, BitwiseCopyable {
    /// Which of the queue's slots it occupies.
    let slot: UInt16
    /// How often the slot has been used: tells a late answer to an earlier command from one to this.
    let serial: UInt32
}

/// What the submitter of a command wants beyond the command itself.
public struct RequestOptions: Sendable, BitwiseCopyable {
    /// Any number; comes back with the completion.
    public var tag: UInt64
    /// How the command's memory is to be described.
    public var style: DataPointerStyle

    /// Options of a request.
    public init(tag: UInt64 = 0, style: DataPointerStyle = .automatic) {
        self.tag = tag
        self.style = style
    }
}

extension DataPointerStyle: BitwiseCopyable {}

/// The end of a command.
public struct Completion: Equatable, Sendable, BitwiseCopyable {
    /// Which command.
    public let token: RequestToken
    /// The number that its submitter gave.
    public let tag: UInt64
    /// How it ended.
    public let status: Status
    /// DW0: the command's result.
    public let result: UInt32
    /// Whether the command ended because its controller was reset, stopped or closed; it may or may not have
    /// been carried out.
    public let isCancelled: Bool
    /// The opcode of the command.
    public let opcode: UInt8
    /// The namespace that the command was about; 0 for none.
    public let namespace: UInt32
    /// The first block of the command's range; meaningless for commands without one.
    public let firstBlock: UInt64
    /// How many blocks the command was about; 0 for commands without a range.
    public let blockCount: UInt32
    /// When it was submitted, in nanoseconds of `LinuxSystem.Clock`; 0 on queues without a timeout.
    public let submitted: UInt64

    /// Whether the command did what it was asked to do.
    @inlinable public var isSuccess: Bool { status.isSuccess && !isCancelled }

    /// What went wrong, as an error; nil if nothing did.
    /// - Parameter device: the controller's name for the text.
    public func error(on device: String) -> NVMeError? {
        guard !isSuccess else { return nil }
        let (end, overflow) = firstBlock.addingReportingOverflow(UInt64(blockCount))
        return NVMeError(
            isCancelled ? .cancelled : .status(status), Self.operation(opcode), on: device,
            namespace: namespace == 0 ? nil : namespace,
            blocks: blockCount == 0 || overflow ? nil : firstBlock..<end)
    }

    /// What an I/O command does, in a word.
    static func operation(_ opcode: UInt8) -> String {
        switch IOOpcode(rawValue: opcode) {
        case .flush: "flush"
        case .write: "write"
        case .read: "read"
        case .compare: "compare"
        case .writeZeroes: "write zeroes to"
        case .datasetManagement: "deallocate"
        case .verify: "verify"
        default: "I/O command 0x\(hexadecimal(opcode, digits: 2))"
        }
    }
}
