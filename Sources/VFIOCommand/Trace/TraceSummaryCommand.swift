import ArgumentParser
import VFIOHost
import VFIOTrace

/// `vfio trace summary FILE`: what a trace comes to.
struct TraceSummaryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "summary",
        abstract: "Sum up a trace: calls, errors, registers, the slowest, what was left open, what when.")

    @Argument(help: ArgumentHelp("What --trace wrote.", valueName: "file"), completion: .file())
    var file: String
    @Option(help: ArgumentHelp("Show at most so many registers.", valueName: "number"))
    var registers = 20
    @Flag(help: "Print JSON.") var json = false

    struct CallEntry: Encodable {
        let call: String
        let count: Int
        let errors: [String: Int]
        let nanoseconds: UInt64
        let slowest: UInt64
    }

    struct AccessEntry: Encodable {
        let device: String
        let region: String
        let register: String?
        let reads: Int
        let writes: Int
    }

    struct SlowEntry: Encodable {
        let time: UInt64
        let nanoseconds: UInt64
        let thread: Int32
        let text: String
    }

    struct OpenEntry: Encodable {
        let process: Int32
        let handle: Int32
        let object: String
        let since: UInt64
    }

    struct PhaseEntry: Encodable {
        let begin: UInt64
        let end: UInt64
        let calls: Int
        let what: String
    }

    /// What `--json` prints. Times are nanoseconds since the trace began.
    struct Report: Encodable {
        let version = 1
        let damage: String?
        let processes: [String]
        let threads: Int
        let begin: UInt64
        let end: UInt64
        let calls: [CallEntry]
        let registers: [AccessEntry]
        let slowest: [SlowEntry]
        let leftOpen: [OpenEntry]
        let phases: [PhaseEntry]
    }

    func run() throws {
        let options = try TraceFileOptions.parse([file])
        let trace = try options.trace()
        let summary = TraceSummary(trace)
        if json { try JSONOutput.print(Self.report(trace, summary)) } else { show(summary) }
    }

    private static let phaseCount = 16

    private static func report(_ trace: Trace, _ summary: TraceSummary) -> Report {
        Report(
            damage: trace.damage, processes: summary.processes.map(\.command),
            threads: summary.threadCount, begin: summary.begin, end: summary.end,
            calls: summary.calls.map {
                CallEntry(
                    call: $0.verb, count: $0.count, errors: $0.errors, nanoseconds: $0.duration,
                    slowest: $0.slowest)
            },
            registers: summary.accesses.map {
                AccessEntry(
                    device: $0.device, region: $0.region, register: $0.register, reads: $0.reads,
                    writes: $0.writes)
            },
            slowest: summary.slowest.map {
                SlowEntry(
                    time: $0.record.time, nanoseconds: $0.record.duration, thread: $0.record.thread,
                    text: $0.question)
            },
            leftOpen: summary.openHandles.map {
                OpenEntry(process: $0.process, handle: $0.handle, object: $0.object, since: $0.time)
            },
            phases: summary.timeline(atMost: phaseCount).map {
                PhaseEntry(begin: $0.begin, end: $0.end, calls: $0.count, what: $0.name)
            })
    }

    private func show(_ summary: TraceSummary) {
        let console = Console()
        for process in summary.processes { print("process \(process.number): \(process.command)") }
        let time = summary.end > summary.begin ? summary.end - summary.begin : 0
        print(
            "\(summary.callCount) calls of \(summary.threadCount) thread\(summary.threadCount == 1 ? "" : "s") in "
                + "\(Human.nanoseconds(time)), \(summary.errorCount) failed")
        print("")
        console.heading("calls")
        var calls = Table(["  CALL", "COUNT", "TIME", "SLOWEST", "FAILED"], rightAligned: [1, 2, 3])
        for one in summary.calls {
            let errors = one.errors.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
            calls.add([
                "  " + one.verb, "\(one.count)", Human.nanoseconds(one.duration),
                Human.nanoseconds(one.slowest),
                errors.map { "\($0.value) \($0.key)" }.joined(separator: ", "),
            ])
        }
        for line in calls.lines { print(line) }
        showAccesses(summary, console)
        print("")
        console.heading("slowest")
        for event in summary.slowest { print("  \(TraceShowCommand.line(event))") }
        print("")
        console.heading("left open")
        if summary.openHandles.isEmpty { print("  nothing") }
        for one in summary.openHandles {
            print(
                "  \(one.handle)  \(one.object), since \(TraceTime.seconds(one.time)) (process \(one.process))"
            )
        }
        print("")
        console.heading("what when")
        var phases = Table(["  FROM", "TO", "CALLS", "WHAT"], rightAligned: [0, 1, 2])
        for phase in summary.timeline(atMost: Self.phaseCount) {
            phases.add([
                "  " + TraceTime.seconds(phase.begin), TraceTime.seconds(phase.end), "\(phase.count)",
                phase.name,
            ])
        }
        for line in phases.lines { print(line) }
    }

    private func showAccesses(_ summary: TraceSummary, _ console: Console) {
        guard !summary.accesses.isEmpty else { return }
        print("")
        console.heading("registers")
        var table = Table(["  DEVICE", "REGION", "REGISTER", "READS", "WRITES"], rightAligned: [3, 4])
        for one in summary.accesses.prefix(max(0, registers)) {
            table.add([
                "  " + one.device, one.region, one.register ?? "(others)", "\(one.reads)", "\(one.writes)",
            ])
        }
        for line in table.lines { print(line) }
        let rest = summary.accesses.count - registers
        if rest > 0 { print("  and \(rest) more (--registers)") }
    }
}
