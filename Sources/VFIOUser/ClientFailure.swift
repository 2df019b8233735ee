import LinuxSystem
import VFIOABI

/// Why a client's command didn't succeed.
public enum ClientFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The server refused it, with an errno. Where it names none that exists, that is `EINVAL`.
    case refused(Errno)
    /// No connection could be made.
    case unreachable(Errno)
    /// The connection ended before the answer came: what became of the command isn't known. Every command after it
    /// fails in the same way.
    case lost(Errno)
    /// No answer came in time. The connection goes on; an answer that is late is thrown away.
    case timedOut
    /// The answer isn't one that the protocol allows.
    case malformed(UserCommand)
    /// The server asks for a version of the protocol that isn't spoken here.
    case version(UserVersion)
    /// The command is more than the server says that it takes.
    case tooMuch

    /// What a host answers in its place: the server's errno; `ECONNRESET` for a connection that was lost (or why it
    /// couldn't be made), `ETIMEDOUT`; `EIO` for nonsense; `ENOTTY`-like mistakes keep the server's word.
    public var errno: Errno {
        switch self {
        case .refused(let errno), .unreachable(let errno), .lost(let errno): errno
        case .timedOut: .timedOut
        case .malformed, .version: .inputOutput
        case .tooMuch: .tooBig
        }
    }

    /// "the server refused it: EINVAL (22): …"
    public var description: String {
        switch self {
        case .refused(let errno): "the server refused it: \(errno)"
        case .unreachable(let errno): "no server can be reached: \(errno)"
        case .lost(let errno): "the connection to the server is lost: \(errno)"
        case .timedOut: "the server didn't answer in time"
        case .malformed(let command): "the server's answer to command \(command.rawValue) makes no sense"
        case .version(let version): "the server speaks version \(version.major).\(version.minor) of vfio-user"
        case .tooMuch: "the command is longer than the server allows"
        }
    }

    /// What a refusal's header says.
    init(refusal header: UserMessageHeader) {
        // Linux's errnos end at 4095.
        let isErrno = header.error > 0 && header.error < 4096
        self = .refused(isErrno ? Errno(rawValue: Int32(truncatingIfNeeded: header.error)) : .invalid)
    }
}
