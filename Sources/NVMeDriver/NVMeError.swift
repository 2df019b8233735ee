import NVMe
import VFIO

/// Why something that was asked of a controller didn't happen.
public struct NVMeError: Error, Equatable, Sendable {
    /// What went wrong.
    public var reason: Reason
    /// What was to be done, e.g. "read".
    public var operation: String
    /// The controller, e.g. "0000:01:00.0".
    public var device: String
    /// The namespace, where the operation was about one.
    public var namespace: UInt32?
    /// The blocks, where the operation was about a range of them.
    public var blocks: Range<UInt64>?

    /// What went wrong.
    public enum Reason: Equatable, Sendable {
        /// The controller completed the command with a status other than success.
        case status(Status)
        /// The controller didn't answer in time. `aborted` tells whether it gave the command up when asked to;
        /// else the controller has been stopped.
        case timedOut(milliseconds: Int, aborted: Bool)
        /// The controller was reset, stopped or closed while the command was in flight.
        case cancelled
        /// VFIO refused something.
        case vfio(VFIOError)
        /// The text given isn't a PCI address.
        case badAddress(String)
        /// The device's class code isn't that of an NVMe controller.
        case notNVMe(classCode: UInt32)
        /// Registers read as all ones: the device was pulled out, powered off or reset by somebody else.
        case deviceGone
        /// CSTS.CFS: the controller gave up.
        case controllerFatal
        /// The controller was stopped after an earlier failure and has to be reset first.
        case stopped
        /// The controller has been closed.
        case closed
        /// Blocks outside the namespace, which has this many.
        case outOfRange(blockCount: UInt64)
        /// Memory of the wrong length: what was given, and what the blocks need.
        case wrongLength(byteCount: Int, needed: Int)
        /// More than one command can carry: what was given, and the limit in bytes.
        case tooLarge(byteCount: Int, limit: Int)
        /// Memory that can't be described to the controller.
        case dataPointer(DataPointerError)
        /// The controller has no such namespace, or no namespace at all.
        case noNamespace
        /// The namespace is of a kind that this driver can't do input and output on.
        case unusableNamespace(Namespace.Obstacle)
        /// All the requests that the queue can have in flight are in flight.
        case queueFull
        /// The controller has no more queues to give.
        case noQueue
        /// The controller doesn't have what was asked for.
        case unsupported(Ability)
        /// A command that would pull the queues or the events from under the driver.
        case reserved(opcode: UInt8)
    }

    /// Things that a controller may lack.
    public enum Ability: String, Equatable, Sendable {
        /// The NVM command set.
        case nvmCommandSet = "the NVM command set"
        /// Entries of 64 and 16 bytes.
        case entrySizes = "queue entries of 64 and 16 bytes"
        /// Write Zeroes.
        case writeZeroes = "Write Zeroes"
        /// Dataset Management.
        case datasetManagement = "Dataset Management"
        /// Compare.
        case compare = "Compare"
        /// Verify.
        case verify = "Verify"
        /// Scatter gather lists.
        case scatterGatherLists = "scatter gather lists"
        /// A volatile write cache.
        case volatileWriteCache = "a volatile write cache"
        /// Interrupts.
        case interrupts = "interrupts that VFIO can pass on"
        /// I/O queues.
        case ioQueues = "I/O queues"
    }

    /// Describes a failure.
    public init(
        _ reason: Reason, _ operation: String, on device: String, namespace: UInt32? = nil,
        blocks: Range<UInt64>? = nil
    ) {
        self.reason = reason
        self.operation = operation
        self.device = device
        self.namespace = namespace
        self.blocks = blocks
    }

    // Not inlined into other modules: the 6.3.1 optimiser fails its own checks on the copy that it makes there.
    /// The status with which the controller ended the command, where that is what went wrong.
    @inline(never) public var status: Status? {
        if case .status(let status) = reason { status } else { nil }
    }

    /// Whether the same may work when tried again: what the controller's status says, and what passes.
    public var mayBeRetried: Bool {
        switch reason {
        case .status(let status): !status.doNotRetry
        case .timedOut(_, let aborted): aborted
        case .queueFull: true
        default: false
        }
    }
}

extension NVMeError: CustomStringConvertible {
    /// The whole story in a sentence or two, e.g. "read blocks 8..<16 of namespace 1 of 0000:01:00.0: LBA Out
    /// of Range (the command reaches past the end of the namespace)".
    public var description: String {
        var subject = operation
        if let blocks { subject += " blocks \(blocks.lowerBound)..<\(blocks.upperBound)" }
        if let namespace {
            subject += namespace == .max ? " of all namespaces" : " of namespace \(namespace)"
        }
        return "\(subject) (\(device)): \(reason)"
    }
}

extension NVMeError.Reason: CustomStringConvertible {
    /// The reason in plain words.
    public var description: String {
        switch self {
        case .status(let status):
            return "the controller answered \(status)"
                + (status.doNotRetry ? "; trying again won't help" : "")
        case .timedOut(let milliseconds, true):
            return "no answer within \(milliseconds) ms; the controller gave the command up when asked to"
        case .timedOut(let milliseconds, false):
            return "no answer within \(milliseconds) ms; the controller has been stopped, reset it to go on"
        case .cancelled: return "cancelled: the controller was reset, stopped or closed meanwhile"
        case .vfio(let error): return "\(error)"
        case .badAddress(let text): return "\"\(text)\" isn't a PCI address such as 0000:01:00.0"
        case .notNVMe(let classCode):
            return
                "its class code is \(hexadecimal(classCode, digits: 6)), that of an NVMe controller is 010802"
        case .deviceGone:
            return "the device is gone: its registers read as all ones (pulled out, powered off, or reset by "
                + "somebody else)"
        case .controllerFatal:
            return "the controller reports a fatal error (CSTS.CFS); reset it to go on"
        case .stopped: return "the controller was stopped after an earlier failure; reset it to go on"
        case .closed: return "the controller has been closed"
        case .outOfRange(let blockCount):
            return blockCount == 0
                ? "the namespace has no blocks" : "the namespace has blocks 0..<\(blockCount) only"
        case .wrongLength(let byteCount, let needed):
            return "the memory is \(byteCount) bytes long, these blocks are \(needed)"
        case .tooLarge(let byteCount, let limit):
            return "\(byteCount) bytes are too much for one command, which carries up to \(limit)"
        case .dataPointer(let error): return "\(error)"
        case .noNamespace: return "there is no such namespace"
        case .unusableNamespace(let obstacle): return "\(obstacle)"
        case .queueFull: return "the queue is full: take completions before submitting more"
        case .noQueue: return "the controller has no further queue to give"
        case .unsupported(let ability): return "the controller doesn't have \(ability.rawValue)"
        case .reserved(let opcode):
            return
                "admin command 0x\(hexadecimal(opcode, digits: 2)) is the driver's own: it makes the queues and asks "
                + "for events"
        }
    }
}

extension DataPointerError: CustomStringConvertible {
    /// The reason in plain words.
    public var description: String {
        switch self {
        case .empty: "there is no memory to transfer from or to"
        case .misaligned(let address):
            "the memory can't be described to the controller: a piece begins or ends at IOVA "
                + "0x\(hexadecimal(address)), where it would have to be aligned"
        case .tooLong(let address, let byteCount):
            "\(byteCount) bytes at IOVA 0x\(hexadecimal(address)) are too long for one piece"
        case .tooManyPieces(let limit):
            "the memory is in more pieces than one command can describe (\(limit))"
        }
    }
}

/// A number as lower-case hexadecimal digits, at least as many as asked for.
func hexadecimal(_ value: some FixedWidthInteger, digits: Int = 1) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
}
