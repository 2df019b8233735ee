import CLinux

/// Lines of text for a file, a terminal or a pipe, from any thread, without ever waiting for whoever reads them.
///
/// A line is written at once and whole, so that nothing is lost if the process ends for any reason. Where there is
/// no room for one, because nobody reads, it is dropped and counted; when there is room again, a line tells how many
/// were.
public final class LineOutput: @unchecked Sendable {
    // SAFETY: everything that changes is used with `lock` held.
    private let lock = Lock()
    private let descriptor: Descriptor?
    private let number: Int32
    /// What there was no room for, of a line that was begun.
    private var rest: [UInt8] = []
    private var lost: UInt64 = 0
    private var lostInAll: UInt64 = 0

    /// Lines for a descriptor that somebody else owns: 2 is standard error.
    public init(_ number: Int32) {
        descriptor = nil
        self.number = number
    }

    /// Lines for a file of its own.
    public init(owning descriptor: consuming Descriptor) {
        number = descriptor.number
        self.descriptor = consume descriptor
    }

    /// How many lines were dropped so far.
    public var droppedCount: UInt64 { lock.withLock { lostInAll } }

    /// Writes a line and its end.
    public func write(_ line: String) {
        lock.withLock {
            guard push() else { return drop() }
            if lost > 0 {
                rest = Array("(\(lost) lines dropped: nobody read them)\n".utf8)
                lost = 0
                guard push() else { return drop() }
            }
            rest = Array(line.utf8)
            rest.append(UInt8(ascii: "\n"))
            let count = rest.count
            // A line of which at least the beginning went out is finished later.
            if !push(), rest.isEmpty || rest.count == count {
                rest = []
                drop()
            }
        }
    }

    private func drop() {
        lost += 1
        lostInAll += 1
    }

    /// Writes what is left, as far as there is room.
    /// - Returns: whether nothing is left; what can't be written at all is forgotten.
    private func push() -> Bool {
        while !rest.isEmpty {
            let events = clinux_poll_one(number, Int16(POLLOUT), 0)
            guard events > 0 else { return false }
            // A pipe that nobody will ever read from: a write would end the process with a signal.
            if events & Int(POLLERR) != 0 {
                rest = []
                return false
            }
            // SAFETY: the kernel reads the array's own bytes.
            let result = unsafe rest.withUnsafeBytes { buffer in
                uninterrupted { unsafe clinux_write(number, buffer.baseAddress, buffer.count) }
            }
            if result == -Int(EAGAIN) { return false }
            guard result > 0 else {
                rest = []
                return true
            }
            rest.removeFirst(result)
        }
        return true
    }
}
