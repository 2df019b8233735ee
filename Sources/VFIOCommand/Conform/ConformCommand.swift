import ArgumentParser
import FoundationEssentials
import LinuxSystem
import SoftwareHost
import VFIOConformance
import VFIOHost

/// `vfio conform`: asks a host what VFIO's specification says, case by case.
struct ConformCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "conform",
        abstract: "Compare a host's answers with those of Linux \(Kernel.reference), case by case.",
        discussion: """
            Runs short scenarios at the level of the uAPI against the devices that are bound to vfio-pci: an \
            NVMe disk and an edu device are enough for most. What a case opens is closed after it; nothing is \
            written to disks. Ends with 1 if an answer is different and nothing explains it. \
            With -v every answer is printed, not only those that differ.
            """)

    @Option(
        help: ArgumentHelp(
            "Who answers: this machine's kernel, a VFIO kernel inside this process, or a vfio-user server.",
            discussion: "The default is linux, and soft where --machine is given.",
            valueName: "linux|soft|user:socket"),
        completion: .custom(Completion.hosts))
    var host: HostOptions.Kind?

    @Option(
        help: ArgumentHelp("The software machine, as a JSON file.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    var machine: String?

    @OptionGroup var faults: FaultOptions
    @OptionGroup var trace: TraceOption

    @Option(
        help: ArgumentHelp(
            "The way in: a container and a group, an iommufd in the container's place, a device's own node, a "
                + "group without an IOMMU, or a container with a POWER machine's IOMMU.",
            valueName: "group|compat|cdev|noiommu|spapr"))
    var route: Route = .group

    @Option(
        help: ArgumentHelp("Use only this device; may be given several times.", valueName: "bdf"),
        completion: .custom(Completion.addresses))
    var device: [String] = []

    @Option(help: ArgumentHelp("Only cases whose section or name contains this.", valueName: "text"))
    var filter: String?

    @Option(
        help: ArgumentHelp(
            "Compare with the answers of another run, which --json printed.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    var against: String?

    @Option(
        name: .customLong("case"),
        help: ArgumentHelp(
            "Run this case instead, which `vfio trace case` made; may be given several times.",
            valueName: "file"), completion: .file(extensions: ["json"]))
    var recorded: [String] = []

    @Flag(
        help: """
            Also run cases that bind and unbind drivers, change module parameters or the limit of locked \
            memory; all of it is put back. On a software machine they always run.
            """)
    var changeMachine = false

    @Flag(help: "List the cases instead of running them.") var list = false
    @Flag(help: "Print JSON.") var json = false

    func run() throws {
        if list { return printCatalogue() }
        if !recorded.isEmpty { return try replay() }
        let host = try makeHost()
        var run = Run(on: try trace.added(to: host, printingAt: 2), by: route)
        run.filter = filter
        if !device.isEmpty {
            run.devices = try device.map { text in
                guard let address = PCIAddress(text) else {
                    throw CommandFailure.wrongUsage(
                        "\"\(text)\" isn't a PCI address; one looks like 0000:01:00.0",
                        remedy: NextStep.listDevices)
                }
                return address
            }
        }
        if let software = host as? SoftwareHost {
            run.machine = SoftwareMachineControl(software)
        } else if changeMachine {
            run.machine = LinuxMachineControl()
        }
        guard !run.cases.isEmpty else {
            throw CommandFailure.wrongUsage(
                "no case by \(route.rawValue) matches \"\(filter ?? "")\"",
                remedy: "vfio conform --list shows them all")
        }
        let other = try against.map { try Self.readReport($0) }
        var printer = ConformPrinter(isVerbose: trace.isVerbose)
        let report = run.run { result in
            if !json { printer.print(result) }
        }
        if json { try JSONOutput.print(report) } else { printer.summary(of: report) }
        var complaints: [String] = []
        let different = report.count(.different)
        if different > 0 { complaints.append("\(different) cases aren't answered as they should be") }
        if let other {
            let comparison = Comparison(report, other)
            if !json { printer.print(comparison) }
            let unexplained = comparison.differences.count { $0.reason == nil }
            if unexplained > 0 { complaints.append("\(unexplained) answers differ without a reason") }
        }
        guard complaints.isEmpty else {
            throw CommandFailure.refused(
                complaints.joined(separator: ", "),
                remedy: "look at one alone with --filter, and at its calls with -vv")
        }
        if report.results.allSatisfy({ $0.status == .skipped }) {
            throw CommandFailure.undetermined(
                "no case could be run; the reasons stand above",
                remedy: "bind a device to vfio-pci (vfio bind), or use --host soft")
        }
    }

    /// Runs cases that were made from traces.
    private func replay() throws {
        let host = try HostOptions.makeHost(host, machine, faults, sample: HostOptions.sampleMachine)
        let traced = try trace.added(to: host, printingAt: 2)
        var report = Report(kernel: "\(Kernel(of: host))", route: "case", results: [])
        var printer = ConformPrinter(isVerbose: trace.isVerbose)
        for path in recorded {
            let result = try RecordedCase.read(path).replay(on: traced)
            report.results.append(result)
            if !json { printer.print(result) }
        }
        if json { try JSONOutput.print(report) } else { printer.summary(of: report) }
        let different = report.count(.different)
        if different > 0 {
            throw CommandFailure.refused(
                "\(different) cases aren't answered as they were", remedy: "see the calls with -vv")
        }
    }

    private func makeHost() throws(CommandFailure) -> any Host {
        try HostOptions.makeHost(host, machine, faults) { () throws(CommandFailure) in
            try ConformMachine.make(for: route)
        }
    }

    private func printCatalogue() {
        var table = Table(["SECTION", "CASE", "BY"])
        for one in Catalogue.cases {
            let routes = Route.allCases.filter { one.routes.contains($0.bit) }.map(\.rawValue)
            table.add([
                one.section, one.name, routes.count == 4 ? "all" : routes.joined(separator: ", "),
            ])
        }
        for line in table.lines { print(line) }
        print("\(Catalogue.cases.count) cases")
    }

    private static func readReport(_ path: String) throws(CommandFailure) -> Report {
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try FileSystem.bytes(of: path, limit: 64 << 20)
        } catch {
            throw .file(path, .read, error, code: .wrongUsage)
        }
        do {
            return try JSONDecoder().decode(Report.self, from: Data(bytes))
        } catch {
            throw .wrongUsage(
                "\(path) isn't what `vfio conform --json` prints",
                remedy: "make one: vfio conform --json >\(path)")
        }
    }
}

extension Route: ExpressibleByArgument {}

/// What a person sees of a run.
struct ConformPrinter {
    let isVerbose: Bool
    private var section = ""

    init(isVerbose: Bool) { self.isVerbose = isVerbose }

    /// A case: a line, and what it looked at where that is of interest.
    mutating func print(_ result: CaseResult) {
        if result.section != section {
            section = result.section
            Swift.print(section)
        }
        let status = result.status.rawValue
        Swift.print("  \(status)\(String(repeating: " ", count: max(1, 10 - status.count)))\(result.name)")
        if let note = result.note { Swift.print("              \(note)") }
        for observation in result.observations {
            let isOff = !observation.isAsWanted
            guard isVerbose || isOff || observation.reason != nil else { continue }
            var line = "              \(observation.label): \(observation.got)"
            if isOff, let wanted = observation.wanted { line += ", not \(wanted)" }
            if let reason = observation.reason { line += " (\(reason))" }
            Swift.print(line)
        }
        StandardStream.flush()
    }

    /// The counts.
    func summary(of report: Report) {
        Swift.print(
            "\(report.kernel), by \(report.route): \(report.results.count) cases: \(report.count(.equal)) equal, "
                + "\(report.count(.explained)) explained, \(report.count(.different)) different, "
                + "\(report.count(.skipped)) skipped")
    }

    /// Two runs side by side.
    func print(_ comparison: Comparison) {
        Swift.print("\(comparison.kernels.first) and \(comparison.kernels.second):")
        var id = ""
        for one in comparison.differences {
            if one.id != id { Swift.print("  \(one.id)") }
            id = one.id
            Swift.print(
                "    \(one.label): \(one.first ?? "-") and \(one.second ?? "-"): \(one.reason ?? "UNEXPLAINED")"
            )
        }
        let unexplained = comparison.differences.count { $0.reason == nil }
        Swift.print(
            "  \(comparison.sharedCount) cases ran on both: \(comparison.sameCount) the same; "
                + "\(comparison.differences.count) answers differ, \(unexplained) without a reason; "
                + "\(comparison.onlyFirst.count) ran only on the first, "
                + "\(comparison.onlySecond.count) only on the second")
    }
}
