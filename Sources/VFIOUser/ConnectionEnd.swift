import LinuxSystem

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
}
