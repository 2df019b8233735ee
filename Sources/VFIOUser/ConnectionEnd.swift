import LinuxSystem
import VFIOABI

/// Why a connection ended.
public enum ConnectionEnd: Equatable, Sendable {
    /// The client closed it, or the server was stopped.
    case closed
    /// The first message was no version that we understand; it was refused.
    case refused
    /// The client's bytes could not be cut into messages any more.
    case framing(FramingError)
    /// The socket failed; `ETIMEDOUT` where the client didn't read what we sent.
    case failed(Errno)
    /// The client connected and didn't say its version in time.
    case silent
    /// The client didn't answer a command of ours in time.
    case unanswered
    /// The client sent more commands than are kept while it owed an answer.
    case flooded

    /// A word for each way, in order.
    static let names = ["closed", "refused", "framing", "failed", "silent", "unanswered", "flooded"]

    /// Which of ``names`` it is.
    var index: Int {
        switch self {
        case .closed: 0
        case .refused: 1
        case .framing: 2
        case .failed: 3
        case .silent: 4
        case .unanswered: 5
        case .flooded: 6
        }
    }
}

extension ConnectionEnd: CustomStringConvertible {
    /// "the client has gone"
    public var description: String {
        switch self {
        case .closed: "the client has gone"
        case .refused: "a client was refused: its first message was no version that is spoken here"
        case .framing(.messageSize(let header)):
            "a client was cut off: it sent a message that is shorter than its header (\(header.messageSize) bytes)"
        case .failed(let errno): "a client was lost: \(errno)"
        case .silent: "a client was cut off: it never said its version"
        case .unanswered: "a client was cut off: it didn't answer a request for DMA in time"
        case .flooded: "a client was cut off: it sent too much while it owed an answer"
        }
    }
}
