import LinuxSystem

/// What a host answered to one request.
public enum Answer: Equatable, Sendable, CustomStringConvertible {
    /// A result that isn't negative.
    case value(Int32)
    /// A new descriptor: its number differs from run to run.
    case descriptor
    /// A refusal.
    case errno(Errno)

    /// 0
    public static var success: Answer { .value(0) }

    /// The answer as people write it: "0", "a descriptor", "EINVAL".
    public var description: String {
        switch self {
        case .value(let value): "\(value)"
        case .descriptor: "a descriptor"
        case .errno(let errno): "\(errno.name)"
        }
    }

    /// Does something and keeps how it ended.
    static func of(_ body: () throws(Errno) -> Void) -> Answer {
        do throws(Errno) { try body() } catch { return .errno(error) }
        return .success
    }

    /// Runs a request and keeps what it answers.
    static func of(_ body: () throws(Errno) -> Int32) -> Answer {
        do throws(Errno) { return .value(try body()) } catch { return .errno(error) }
    }
}
