import CLinux

/// An error number of the operating system, as a system call reports it (`errno`, man 3 errno).
///
/// Unknown numbers are representable: a kernel may answer with one that has no name here.
public struct Errno: Error, RawRepresentable, Equatable, Hashable, Sendable {
    /// The positive number, e.g. 22 for `EINVAL`.
    public let rawValue: Int32

    /// Wraps a positive error number.
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// `EPERM`
    public static let notPermitted = Errno(rawValue: EPERM)
    /// `ENOENT`
    public static let noSuchEntry = Errno(rawValue: ENOENT)
    /// `ESRCH`
    public static let noSuchProcess = Errno(rawValue: ESRCH)
    /// `EINTR`
    public static let interrupted = Errno(rawValue: EINTR)
    /// `EIO`
    public static let inputOutput = Errno(rawValue: EIO)
    /// `ENXIO`
    public static let noSuchAddress = Errno(rawValue: ENXIO)
    /// `E2BIG`
    public static let tooBig = Errno(rawValue: E2BIG)
    /// `EBADF`
    public static let badDescriptor = Errno(rawValue: EBADF)
    /// `EAGAIN`
    public static let again = Errno(rawValue: EAGAIN)
    /// `ENOMEM`
    public static let noMemory = Errno(rawValue: ENOMEM)
    /// `EACCES`
    public static let accessDenied = Errno(rawValue: EACCES)
    /// `EFAULT`
    public static let badAddress = Errno(rawValue: EFAULT)
    /// `EBUSY`
    public static let busy = Errno(rawValue: EBUSY)
    /// `EEXIST`
    public static let exists = Errno(rawValue: EEXIST)
    /// `ENODEV`
    public static let noDevice = Errno(rawValue: ENODEV)
    /// `ENOTDIR`
    public static let notDirectory = Errno(rawValue: ENOTDIR)
    /// `EISDIR`
    public static let isDirectory = Errno(rawValue: EISDIR)
    /// `EINVAL`
    public static let invalid = Errno(rawValue: EINVAL)
    /// `EMFILE`
    public static let tooManyDescriptors = Errno(rawValue: EMFILE)
    /// `ENOTTY`
    public static let noSuchRequest = Errno(rawValue: ENOTTY)
    /// `ENOSPC`
    public static let noSpace = Errno(rawValue: ENOSPC)
    /// `ESPIPE`
    public static let illegalSeek = Errno(rawValue: ESPIPE)
    /// `EROFS`
    public static let readOnlyFileSystem = Errno(rawValue: EROFS)
    /// `EPIPE`
    public static let brokenPipe = Errno(rawValue: EPIPE)
    /// `ERANGE`
    public static let outOfRange = Errno(rawValue: ERANGE)
    /// `ENAMETOOLONG`
    public static let nameTooLong = Errno(rawValue: ENAMETOOLONG)
    /// `ENOMSG`
    public static let noMessage = Errno(rawValue: ENOMSG)
    /// `EOVERFLOW`
    public static let overflow = Errno(rawValue: EOVERFLOW)
    /// `EBADFD`
    public static let wrongDescriptorKind = Errno(rawValue: EBADFD)
    /// `EMSGSIZE`
    public static let messageSize = Errno(rawValue: EMSGSIZE)
    /// `EOPNOTSUPP`
    public static let notSupported = Errno(rawValue: EOPNOTSUPP)
    /// `EADDRINUSE`
    public static let addressInUse = Errno(rawValue: EADDRINUSE)
    /// `ETIMEDOUT`
    public static let timedOut = Errno(rawValue: ETIMEDOUT)
    /// `ECONNREFUSED`
    public static let connectionRefused = Errno(rawValue: ECONNREFUSED)
    /// `ECONNABORTED`
    public static let connectionAborted = Errno(rawValue: ECONNABORTED)
    /// `ECONNRESET`
    public static let connectionReset = Errno(rawValue: ECONNRESET)
    /// `EUSERS`
    public static let tooManyUsers = Errno(rawValue: EUSERS)
    /// `ECANCELED`
    public static let cancelled = Errno(rawValue: ECANCELED)

    /// The number's name in the C headers ("EINVAL"), or "errno" where it has none here.
    public var name: StaticString {
        switch rawValue {
        case EPERM: "EPERM"
        case ENOENT: "ENOENT"
        case EINTR: "EINTR"
        case EIO: "EIO"
        case ENXIO: "ENXIO"
        case E2BIG: "E2BIG"
        case EBADF: "EBADF"
        case EAGAIN: "EAGAIN"
        case ENOMEM: "ENOMEM"
        case EACCES: "EACCES"
        case EFAULT: "EFAULT"
        case EBUSY: "EBUSY"
        case EEXIST: "EEXIST"
        case ENODEV: "ENODEV"
        case ENOTDIR: "ENOTDIR"
        case EISDIR: "EISDIR"
        case EINVAL: "EINVAL"
        case EMFILE: "EMFILE"
        case ENFILE: "ENFILE"
        case ENOTTY: "ENOTTY"
        case ENOSPC: "ENOSPC"
        case ESPIPE: "ESPIPE"
        case EROFS: "EROFS"
        case EPIPE: "EPIPE"
        case ERANGE: "ERANGE"
        case ENAMETOOLONG: "ENAMETOOLONG"
        case ENOMSG: "ENOMSG"
        case EOVERFLOW: "EOVERFLOW"
        case EBADFD: "EBADFD"
        case EMSGSIZE: "EMSGSIZE"
        case EOPNOTSUPP: "EOPNOTSUPP"
        case EADDRINUSE: "EADDRINUSE"
        case ETIMEDOUT: "ETIMEDOUT"
        case ECONNREFUSED: "ECONNREFUSED"
        case ECONNABORTED: "ECONNABORTED"
        case ECONNRESET: "ECONNRESET"
        case ECANCELED: "ECANCELED"
        case ENOSYS: "ENOSYS"
        case EDEADLK: "EDEADLK"
        case EUSERS: "EUSERS"
        default: "errno"
        }
    }

    /// What the number means, in plain words.
    public var meaning: StaticString {
        switch rawValue {
        case EPERM: "operation not permitted"
        case ENOENT: "no such file or directory"
        case EINTR: "interrupted by a signal"
        case EIO: "input/output error"
        case ENXIO: "no such device or address"
        case E2BIG: "argument too big"
        case EBADF: "not an open descriptor"
        case EAGAIN: "try again"
        case ENOMEM: "out of memory, or over a memory limit"
        case EACCES: "permission denied"
        case EFAULT: "bad address"
        case EBUSY: "in use"
        case EEXIST: "exists already"
        case ENODEV: "no such device"
        case ENOTDIR: "not a directory"
        case EISDIR: "is a directory"
        case EINVAL: "invalid argument"
        case EMFILE: "too many open descriptors in this process"
        case ENFILE: "too many open files in the system"
        case ENOTTY: "the request isn't known there"
        case ENOSPC: "no space left"
        case ESPIPE: "can't seek"
        case EROFS: "read-only file system"
        case EPIPE: "the other side is closed"
        case ERANGE: "out of range"
        case ENAMETOOLONG: "name too long"
        case ENOMSG: "nothing there for now"
        case EOVERFLOW: "value too large"
        case EBADFD: "the wrong kind of descriptor"
        case EMSGSIZE: "message too long"
        case EOPNOTSUPP: "not supported"
        case EADDRINUSE: "address in use"
        case ETIMEDOUT: "timed out"
        case ECONNREFUSED: "connection refused"
        case ECONNABORTED: "connection aborted"
        case ECONNRESET: "connection reset"
        case ECANCELED: "cancelled"
        case ENOSYS: "the kernel doesn't have this call"
        case EDEADLK: "would deadlock"
        case EUSERS: "too many users"
        default: "unnamed error number"
        }
    }
}

extension Errno: CustomStringConvertible {
    /// "EINVAL (22): invalid argument"
    public var description: String { "\(name) (\(rawValue)): \(meaning)" }
}

/// Carries out a system call until no signal interrupts it. This is the one place that does so.
/// - Returns: the call's result, or a negative error number.
@inline(__always)
func uninterrupted(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result != -Int(EINTR) { return result }
    }
}

/// Carries out a system call that answers with its result or with a negative error number.
/// - Parameter retrying: whether `EINTR` repeats the call. `close` must not be repeated, and a wait with a
///   deadline must compute its remaining time first.
@inline(__always)
func checked(retrying: Bool = true, _ call: () -> Int) throws(Errno) -> Int {
    let result = retrying ? uninterrupted(call) : call()
    if result < 0 { throw Errno(rawValue: Int32(truncatingIfNeeded: -result)) }
    return result
}
