import NVMe
import NVMeDriver
import VFIO
import VFIOOperator

/// The page of `vfio nvme perf --html`.
struct PerfPage {
    /// The page.
    let page: MeasurementPage

    /// What stands above the numbers of each depth.
    static let heading = [
        "queue depth", "requests/s", "bytes/s", "mean", "p50", "p90", "p99", "p99.9", "max",
    ]

    /// The numbers of one depth.
    static func row(_ run: PerfCommand.Run) -> [String] {
        let times = [
            UInt64(run.meanNanoseconds.rounded()), run.p50Nanoseconds, run.p90Nanoseconds,
            run.p99Nanoseconds, run.p999Nanoseconds, run.maximumNanoseconds,
        ]
        return [
            "\(run.queueDepth)", Human.grouped(UInt64(run.requestsPerSecond)),
            Human.bytes(UInt64(run.bytesPerSecond)),
        ] + times.map(Human.nanoseconds)
    }

    /// - Parameter workload: what was done: "random reads of 4 KiB".
    init(
        _ measured: [Measurement], _ workload: String, _ controller: Controller, _ namespace: Namespace,
        _ facts: RunFacts
    ) {
        let identity = controller.identity
        let best = measured.max { $0.requestsPerSecond < $1.requestsPerSecond }
        let quickest = measured.min { $0.latencies.percentile(50) < $1.latencies.percentile(50) }
        var summary = ""
        if let best, let quickest {
            summary =
                "\(workload.prefix(1).uppercased())\(workload.dropFirst()): "
                + "\(Human.grouped(UInt64(best.requestsPerSecond))) requests a second, "
                + "\(Human.bytes(UInt64(best.bytesPerSecond))) a second with \(best.queueDepth) in flight; "
                + "half of all done within \(Human.nanoseconds(quickest.latencies.percentile(50))) with "
                + "\(quickest.queueDepth) in flight."
        }
        let total = measured.reduce(0) { $0 + $1.nanoseconds }
        page = MeasurementPage(
            "\(identity.modelNumber) at \(controller.name)", summary: summary,
            table: .init(
                Self.heading, numbers: Set(Self.heading.indices),
                rows: measured.map { Self.row(PerfCommand.Run($0)) }),
            distributions: measured.map { one in
                Distribution(
                    "queue depth \(one.queueDepth)",
                    note: "\(Human.grouped(UInt64(one.requestCount))) requests, "
                        + "\(Human.grouped(UInt64(one.requestsPerSecond))) a second",
                    of: one.latencies)
            }, sharesAxis: true,
            notes: [
                "A latency is from the moment when a request is put into the queue until its completion is seen by the program, with the others of its depth in flight.",
                "Latencies are counted in buckets 3 % wide; percentiles are never less than the true ones.",
            ],
            facts: facts.list([
                .init("Device", "\(controller.name), NVMe \(controller.version)"),
                .init("Model", identity.modelNumber),
                .init("Serial number", identity.serialNumber),
                .init("Firmware", identity.firmwareRevision),
                .init(
                    "Namespace",
                    "\(namespace.identifier): \(Human.grouped(namespace.blockCount)) blocks of "
                        + "\(namespace.blockByteCount) bytes"),
                .init("Opened through", "\(controller.device.route)"),
                .init("Workload", "\(workload), \(Human.nanoseconds(total)) in all"),
            ]))
    }
}
