import ArgumentParser
import VFIOHost
import VFIOTrace

/// `vfio trace`: what programs asked of VFIO, and what was answered.
struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace",
        abstract: "Show, sum up and replay what a program asked of VFIO.",
        discussion: """
            A trace is written by the option --trace of the verbs that use a host. It has every call: nodes \
            that are opened, requests with their structures, accesses to registers at offsets, mappings. Not \
            in it: accesses through a mapping, DMA, and eventfds that a device signals.
            """,
        subcommands: [TraceShowCommand.self, TraceSummaryCommand.self, TraceCaseCommand.self])
}

/// A trace as it is named on a command line, and what of it is wanted.
struct TraceFileOptions: ParsableArguments {
    @Argument(help: ArgumentHelp("What --trace wrote.", valueName: "file"), completion: .file())
    var file: String

    @Option(
        help: ArgumentHelp(
            "Only calls with this in their name, e.g. map-dma, read, open; may be given several times.",
            valueName: "name"), completion: .list(Completion.requests))
    var request: [String] = []

    @Option(help: ArgumentHelp("Only what is about this device.", valueName: "device"))
    var device: String?

    @Option(
        help: ArgumentHelp(
            "Only accesses to a register or region with this in its name, e.g. BAR0 or SQ0TDBL.",
            valueName: "name"))
    var register: String?

    @Option(help: ArgumentHelp("Only this handle.", valueName: "number")) var handle: Int32?
    @Option(help: ArgumentHelp("Only this process.", valueName: "number")) var process: Int32?
    @Option(help: ArgumentHelp("Only this thread.", valueName: "number")) var thread: Int32?

    @Option(help: ArgumentHelp("Only what failed so, or at all.", valueName: "errno|any"))
    var errno: String?

    @Option(help: ArgumentHelp("Only from this moment on.", valueName: "seconds")) var since: Double?
    @Option(help: ArgumentHelp("Only up to this moment.", valueName: "seconds")) var until: Double?
    @Option(help: ArgumentHelp("Only what took this long or longer.", valueName: "seconds"))
    var slower: Double?

    /// Nanoseconds, for a number of seconds that makes sense.
    private func nanoseconds(_ seconds: Double, _ option: String) throws(CommandFailure) -> UInt64 {
        guard seconds >= 0, let value = UInt64(exactly: (seconds * 1e9).rounded()) else {
            throw .wrongUsage(
                "\(option) is a number of seconds, not \(seconds)", remedy: "say for instance \(option) 0.5")
        }
        return value
    }

    func filter() throws(CommandFailure) -> TraceFilter {
        var filter = TraceFilter()
        filter.verbs = request
        filter.device = device
        filter.place = register
        filter.handle = handle
        filter.process = process
        filter.thread = thread
        filter.errno = errno
        if let since { filter.since = try nanoseconds(since, "--since") }
        if let until { filter.until = try nanoseconds(until, "--until") }
        if let slower { filter.slowerThan = try nanoseconds(slower, "--slower") }
        return filter
    }

    private static func unreadable(_ file: String, _ error: TraceError) -> CommandFailure {
        switch error {
        case .file(let errno): .file(file, .read, errno)
        default:
            .refused(
                "\(file): \(error)", remedy: "name a file that --trace wrote: vfio inspect … --trace FILE")
        }
    }

    /// The whole trace; what of the file is damaged is complained about.
    func trace() throws(CommandFailure) -> Trace {
        do throws(TraceError) {
            let trace = try Trace(file)
            if let damage = trace.damage { Console.complain("vfio: \(file): \(damage)") }
            return trace
        } catch {
            throw Self.unreadable(file, error)
        }
    }
}

/// Moments of a trace as people read them.
enum TraceTime {
    /// "0.001204": seconds.
    static func seconds(_ nanoseconds: UInt64) -> String {
        let micros = String(nanoseconds / 1000 % 1_000_000)
        return "\(nanoseconds / 1_000_000_000)." + String(repeating: "0", count: 6 - micros.count) + micros
    }
}
