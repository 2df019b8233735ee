import CLinux

/// A text being written to a file by a process of its own, since the write may never come back: the attributes of sysfs
/// that take a device from its driver wait until its users have let it go, and nothing ends such a wait.
///
/// The process has nothing of this one open and listens to no terminal, so it holds nobody up; it is called
/// "vfio-write".
public struct DetachedWrite: Sendable {
    /// The process that writes.
    public let process: Int32

    /// How a write ended.
    public enum Ending: Sendable, Equatable {
        /// The whole text was taken in one write(2).
        case done
        /// What open(2) or write(2) answered; `EIO` for a part of the text.
        case failed(Errno)
        /// It hasn't ended.
        case pending
    }

    /// Starts writing a text to a file that exists.
    /// - Throws: the errno of fork(2).
    public init(_ text: String, to path: String) throws(Errno) {
        let bytes = Array(text.utf8)
        // SAFETY: the process has a copy of both texts.
        let result = unsafe bytes.withUnsafeBytes { buffer in
            unsafe path.withCString { path in
                unsafe clinux_start_write(
                    path, buffer.bindMemory(to: CChar.self).baseAddress, buffer.count)
            }
        }
        process = Int32(truncatingIfNeeded: try checked(retrying: false) { result })
    }

    /// Waits for the write's end.
    /// - Parameter milliseconds: how long at most. A write that is pending then goes on.
    public func wait(milliseconds: Int) -> Ending {
        let end = Clock.moment(inMilliseconds: milliseconds)
        // Most writes take microseconds, some a second: the pauses grow.
        var pause: UInt64 = 20_000
        while true {
            let result = clinux_look_for_end(process)
            if result > 0 {
                let status = Int32(truncatingIfNeeded: result - 1)
                let code = clinux_exit_code(status)
                return code == 0 ? .done : .failed(code > 0 ? Errno(rawValue: code) : .interrupted)
            }
            // Somebody else has waited for it.
            if result < 0, result != -Int(EINTR) { return .failed(Errno(rawValue: Int32(-result))) }
            let now = Clock.now
            if now >= end { return .pending }
            Clock.sleep(nanoseconds: min(pause, end - now))
            pause = min(pause * 2, 20_000_000)
        }
    }
}
