import ArgumentParser
import LinuxSystem
import VFIOHost

/// Writing down and telling what a host is asked and answers: options of every verb that uses one.
struct TraceOption: ParsableArguments {
    @Option(
        name: .customLong("trace"),
        help: ArgumentHelp(
            "Write every call of the host and its answer to a file, for `vfio trace`.", valueName: "file"),
        completion: .file())
    var path: String?

    @Flag(
        name: [.short, .customLong("verbose")],
        help: ArgumentHelp(
            "Print every call of the host and its answer to standard error, as it happens.",
            discussion: """
                The lines are those of `vfio trace show`. The verbs inspect, doctor and conform have details of \
                their own to print: -v prints those, and -vv the calls too.
                """))
    var verbosity: Int

    /// Whether details are to be printed.
    var isVerbose: Bool { verbosity > 0 }

    /// Begins the trace, for others to go on with.
    /// - Returns: its absolute path; nil where none is asked for.
    func begin() throws(CommandFailure) -> String? {
        guard let path else { return nil }
        let absolute = path.hasPrefix("/") ? path : try RunPlan.absolute("") + path
        _ = try Self.speaking(path) { () throws(TraceError) -> TraceWriter in
            try TraceWriter(creating: absolute)
        }
        return absolute
    }

    /// The host, with one in front of it that writes down or prints what passes, where that is asked for.
    /// - Parameter level: how often `-v` has to be given for calls to be printed.
    func added(to host: any Host, printingAt level: Int = 1) throws(CommandFailure) -> any Host {
        let isPrinting = verbosity >= level
        guard isPrinting || path != nil else { return host }
        let printer = CallPrinter()
        guard let path else {
            return TracingHost(host, writingTo: TraceWriter(telling: { printer.take($0) }))
        }
        var observer: TraceWriter.Observer?
        if isPrinting { observer = { printer.take($0) } }
        let output = try Self.speaking(path) { () throws(TraceError) -> TraceWriter in
            try TraceWriter(creating: path, telling: observer)
        }
        return TracingHost(host, writingTo: output)
    }

    private static func speaking<R>(
        _ path: String, _ body: () throws(TraceError) -> R
    ) throws(CommandFailure) -> R {
        do throws(TraceError) {
            return try body()
        } catch {
            guard case .file(let errno) = error else { throw .refused("--trace \(path): \(error)") }
            throw .refused(
                "--trace \(path): can't be written: \(errno)",
                remedy: CommandFailure.fileRemedy(path, isWritten: true, errno))
        }
    }
}

extension Host {
    /// Who answers in the end: the host itself, or the one behind those that only write down what passes.
    var answering: any Host {
        var host: any Host = self
        while let tracing = host as? TracingHost { host = tracing.inner }
        return host
    }
}
