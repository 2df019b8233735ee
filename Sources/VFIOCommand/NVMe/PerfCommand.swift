import ArgumentParser
import LinuxSystem
import MachineFormat
import NVMe
import NVMeDriver
import VFIO
import VFIOHost
import VFIOOperator

/// How many requests are in flight: one number, or several to be tried one after the other.
struct QueueDepths: ExpressibleByArgument {
    let values: [Int]

    init(_ values: [Int]) { self.values = values }

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
        guard !parts.isEmpty, parts.count <= 32, parts.allSatisfy({ $0 != nil }) else { return nil }
        values = parts.compactMap { $0 }
    }

    var defaultValueDescription: String { values.map(String.init).joined(separator: ",") }
}

/// `vfio nvme perf`
struct PerfCommand: ParsableCommand {
    enum Operation: String, ExpressibleByArgument, CaseIterable { case read, write }
    enum Order: String, ExpressibleByArgument, CaseIterable { case random, sequential }

    static let configuration = CommandConfiguration(
        commandName: "perf", abstract: "Measure requests a second and their latencies.",
        discussion: """
            Writing destroys what the blocks hold and wants --destroy. Several queue depths are measured one after the \
            other, --seconds each: --queue-depth 1,4,32,128.
            """)
    @OptionGroup var disk: NVMeCommand.Disk
    @Option(help: "read or write.") var operation: Operation = .read
    @Option(help: "random or sequential.") var order: Order = .random
    @Option(help: "Bytes a request, e.g. 4K.") var size = "4K"
    @Option(help: ArgumentHelp("Requests in flight, or several such numbers.", valueName: "number,…"))
    var queueDepth = QueueDepths([32])
    @Option(help: "How long, in seconds.") var seconds = 1.0
    @Flag(help: "Allow writing over what the disk holds.") var destroy = false
    @Flag(help: "Print JSON.") var json = false
    @Option(
        help: ArgumentHelp("Write a page with the histograms of latencies, for a browser.", valueName: "file")
    )
    var html: String?

    /// What was measured at one depth.
    struct Run: Encodable {
        let requests: Int
        let queueDepth: Int
        let requestsPerSecond: Double
        let bytesPerSecond: Double
        let meanNanoseconds: Double
        let p50Nanoseconds: UInt64
        let p90Nanoseconds: UInt64
        let p99Nanoseconds: UInt64
        let p999Nanoseconds: UInt64
        let maximumNanoseconds: UInt64

        init(_ measured: Measurement) {
            requests = measured.requestCount
            queueDepth = measured.queueDepth
            requestsPerSecond = measured.requestsPerSecond
            bytesPerSecond = measured.bytesPerSecond
            meanNanoseconds = measured.latencies.mean
            p50Nanoseconds = measured.latencies.percentile(50)
            p90Nanoseconds = measured.latencies.percentile(90)
            p99Nanoseconds = measured.latencies.percentile(99)
            p999Nanoseconds = measured.latencies.percentile(99.9)
            maximumNanoseconds = measured.latencies.maximum
        }
    }

    /// What `--json` prints for one depth.
    private struct Single: Encodable {
        let version = 1
        let run: Run

        private enum CodingKeys: CodingKey { case version }

        func encode(to encoder: any Encoder) throws {
            try run.encode(to: encoder)
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(version, forKey: .version)
        }
    }

    /// What `--json` prints for several.
    private struct Sweep: Encodable {
        let version = 1
        let runs: [Run]
    }

    func validate() throws {
        guard seconds > 0, seconds <= 86_400 else {
            throw ValidationError("--seconds must be above 0 and at most 86400")
        }
        guard queueDepth.values.allSatisfy({ $0 >= 1 && $0 <= 4095 }) else {
            throw ValidationError("--queue-depth must be 1 to 4095")
        }
        guard operation == .read || destroy else {
            throw ValidationError(
                "--operation write destroys what the disk holds: add --destroy if that is meant")
        }
    }

    func run() throws {
        guard let byteCount = ByteCount.parse(size), byteCount > 0 else {
            throw CommandFailure.wrongUsage(
                "--size: \"\(size)\" isn't a number of bytes", remedy: "say for instance 4096 or 4K")
        }
        let console = Console()
        var page: MeasurementPage?
        let measured = try disk.use { controller in
            let namespace = try disk.namespace(controller)
            guard byteCount % UInt64(namespace.blockByteCount) == 0,
                byteCount <= UInt64(controller.maximumTransfer)
            else {
                throw CommandFailure.wrongUsage(
                    "--size must be a multiple of \(namespace.blockByteCount) bytes, at most "
                        + Human.bytes(UInt64(controller.maximumTransfer)))
            }
            var measured: [Measurement] = []
            let facts = RunFacts(controller.device.addressSpace.host.kind)
            for depth in queueDepth.values {
                if queueDepth.values.count > 1 {
                    console.progress(
                        UInt64(measured.count), of: UInt64(queueDepth.values.count), "queue depth \(depth)")
                }
                measured.append(
                    try controller.measure(
                        Workload(
                            operation == .read ? .read : .write, order == .random ? .random : .sequential,
                            blocksPerRequest: Int(byteCount) / namespace.blockByteCount, queueDepth: depth,
                            limit: .milliseconds(Int(seconds * 1000))), of: namespace))
            }
            console.endProgress()
            if html != nil {
                page =
                    PerfPage(
                        measured, words(byteCount), controller, namespace, facts
                    ).page
            }
            return measured
        }
        let runs = measured.map(Run.init)
        if let html, let page { try RunFacts.save(page, to: html) }
        if json {
            guard runs.count == 1 else { return try JSONOutput.print(Sweep(runs: runs)) }
            return try JSONOutput.print(Single(run: runs[0]))
        }
        runs.count == 1 ? tell(runs[0]) : tell(runs)
        if let html { print("\(html): the latencies as histograms, for a browser") }
    }

    /// "random reads of 4 KiB"
    private func words(_ byteCount: UInt64) -> String {
        "\(order.rawValue) \(operation.rawValue)s of \(Human.bytes(byteCount))"
    }

    private func tell(_ run: Run) {
        print(
            "\(Human.grouped(UInt64(run.requestsPerSecond))) requests a second, "
                + "\(Human.bytes(UInt64(run.bytesPerSecond))) a second, queue depth \(run.queueDepth)"
        )
        print(
            "latency: median \(Human.nanoseconds(run.p50Nanoseconds)), "
                + "99 % below \(Human.nanoseconds(run.p99Nanoseconds)), "
                + "longest \(Human.nanoseconds(run.maximumNanoseconds))")
    }

    private func tell(_ runs: [Run]) {
        var table = Table(PerfPage.heading, rightAligned: Set(PerfPage.heading.indices))
        for run in runs { table.add(PerfPage.row(run)) }
        for line in table.lines(on: Console()) { print(line) }
    }
}
