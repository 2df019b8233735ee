import LinuxSystem
import Synchronization
import VFIOHost
import VFIOTrace

/// Prints calls on standard error as they end (`--verbose`), as `vfio trace show` prints those of a file.
final class CallPrinter: Sendable {
    private let session = Mutex(TraceSession())

    /// Prints a call. Of other records it takes notice.
    func take(_ record: TraceRecord) {
        let line = session.withLock { session -> String? in
            let event = session.take(record)
            return event.isCall ? TraceShowCommand.line(event) : nil
        }
        if let line { Console.complain(line) }
    }

    /// Prints the calls of a file that a program wrote.
    /// - Parameter trace: an absolute path.
    static func printCalls(of trace: String) {
        guard let trace = try? Trace(trace) else { return }
        let printer = CallPrinter()
        for record in trace.records { printer.take(record) }
    }
}
