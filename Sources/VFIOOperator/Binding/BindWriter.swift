import LinuxSystem

/// Who writes to the files of sysfs: the kernel's, or those of a machine that is made of something else.
public protocol BindWriter: AnyObject {
    /// Writes a text and a line feed to a file, in one write(2).
    /// - Parameter milliseconds: how long to wait for the write to come back, at most.
    func write(_ write: BindWrite, milliseconds: Int) -> BindWriteEnding
}

/// How a write ended.
public enum BindWriteEnding: Sendable, Equatable {
    /// It was taken.
    case done
    /// What the kernel answered.
    case failed(Errno)
    /// It hasn't come back, and goes on in this process, whenever it was started (`/proc/<process>/stat`).
    case pending(process: Int32)
}

/// Writes to real files, each by a process of its own, since the kernel may let a write wait for ever.
public final class DetachedWriter: BindWriter {
    /// Makes a writer.
    public init() {}

    /// Writes a text and a line feed to a file.
    public func write(_ write: BindWrite, milliseconds: Int) -> BindWriteEnding {
        do throws(Errno) {
            let running = try DetachedWrite(write.text + "\n", to: write.path)
            return switch running.wait(milliseconds: milliseconds) {
            case .done: .done
            case .failed(let errno): .failed(errno)
            case .pending: .pending(process: running.process)
            }
        } catch {
            return .failed(error)
        }
    }
}
