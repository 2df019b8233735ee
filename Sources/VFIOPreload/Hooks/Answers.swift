import CLinux
import LinuxSystem

/// What a call on one of our handles answers to a C program: a result, or -1 and `errno`.
///
/// `errno` is set last, behind everything that might change it.
enum Answer {
    /// For calls that answer with an int.
    @inline(__always)
    static func int(_ body: () throws(Errno) -> Int32) -> Int32 {
        do throws(Errno) { return try body() } catch { return Int32(fail(error)) }
    }

    /// For calls that answer with a count.
    @inline(__always)
    static func count(_ body: () throws(Errno) -> Int) -> Int {
        do throws(Errno) { return try body() } catch { return fail(error) }
    }

    /// The failure of a call.
    @inline(never)
    static func fail(_ error: Errno) -> Int {
        clinux_set_errno(error.rawValue)
        return -1
    }
}
