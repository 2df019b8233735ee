import Glibc
import LinuxSystem

/// A pipe, for what a program writes and somebody else may or may not read.
enum Pipe {
    /// The numbers of both ends, to read from and to write to; the first doesn't wait.
    static func make() throws -> (Int32, Int32) {
        var numbers: [Int32] = [-1, -1]
        // SAFETY: two numbers are written into an array of two.
        guard unsafe pipe(&numbers) == 0 else { throw Errno(rawValue: errno) }
        _ = fcntl(numbers[0], F_SETFL, O_NONBLOCK)
        return (numbers[0], numbers[1])
    }

    /// What has come; nothing if nothing has.
    static func read(_ number: Int32) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        // SAFETY: at most the array's length is written.
        let count = unsafe Glibc.read(number, &bytes, bytes.count)
        guard count >= 0 else {
            if errno == EAGAIN { return [] }
            throw Errno(rawValue: errno)
        }
        return Array(bytes.prefix(count))
    }
}
