import LinuxSystem
import NVMeDriver
import VFIO
import VFIOHost
import VFIOOperator

/// What `vfio bench` found, to be printed, written as JSON, and shown as a page.
struct BenchReport {
    /// A thing that was measured, as programs get it.
    struct Entry: Encodable {
        let name: String
        let title: String
        /// How many times were taken, and of how many each is the mean.
        let samples: Int
        let batch: Int
        let minimumNanoseconds: Double
        let p50Nanoseconds: Double
        let p90Nanoseconds: Double
        let p99Nanoseconds: Double
        let p999Nanoseconds: Double
        let maximumNanoseconds: Double
        /// What it is compared with, and how many times as long the median is.
        let reference: String?
        let referenceNanoseconds: Double?
        let ratio: Double?
    }

    struct OmissionEntry: Encodable {
        let title: String
        let reason: String
    }

    /// What `--json` prints.
    struct Document: Encodable {
        let version = 1
        let date: String
        let kernel: String
        let processor: String
        let host: String
        let device: String
        let identity: String?
        let route: String
        let measurements: [Entry]
        let omitted: [OmissionEntry]
    }

    static let readTitle = "NVMe read of 4 KiB, alone"

    private let facts: RunFacts
    private let device: String
    private let identity: String?
    private let route: String
    private let copy: DeviceBenchmark.Reference?
    private var entries: [Entry] = []
    private var distributions: [Distribution] = []
    private var omitted: [OmissionEntry]

    /// Whether it is an NVMe disk.
    let isDisk: Bool

    init(_ benchmark: DeviceBenchmark, _ device: Device, _ facts: RunFacts) {
        self.facts = facts
        self.device = device.id.name
        route = "\(device.route)"
        copy = benchmark.copyReference
        let space = device.configuration
        if device.address != nil, let vendor = try? space.vendor, let number = try? space.deviceID,
            let code = try? space.classCode
        {
            identity =
                "\(hexadecimal(vendor, digits: 4)):\(hexadecimal(number, digits: 4)), class "
                + hexadecimal(code, digits: 6)
            isDisk = code == 0x01_0802
        } else {
            identity = nil
            isDisk = false
        }
        omitted = benchmark.omissions.map { OmissionEntry(title: $0.title, reason: $0.reason) }
        for result in benchmark.results {
            distributions.append(result.distribution)
            entries.append(
                Entry(
                    name: result.identifier, title: result.title, samples: result.nanoseconds.count,
                    batch: result.batch, minimumNanoseconds: result.quantile(0),
                    p50Nanoseconds: result.quantile(0.5), p90Nanoseconds: result.quantile(0.9),
                    p99Nanoseconds: result.quantile(0.99), p999Nanoseconds: result.quantile(0.999),
                    maximumNanoseconds: result.quantile(1), reference: result.reference?.name,
                    referenceNanoseconds: result.reference?.nanoseconds, ratio: result.ratio))
        }
    }

    /// The disk's reads.
    mutating func add(_ measured: Measurement) {
        let times = measured.latencies
        let median = Double(times.percentile(50))
        distributions.append(
            Distribution(
                Self.readTitle, of: times,
                reference: copy.map { .init($0.name, nanoseconds: $0.nanoseconds) }))
        entries.append(
            Entry(
                name: "nvme-read-4KiB", title: Self.readTitle, samples: measured.requestCount, batch: 1,
                minimumNanoseconds: Double(times.minimum), p50Nanoseconds: median,
                p90Nanoseconds: Double(times.percentile(90)), p99Nanoseconds: Double(times.percentile(99)),
                p999Nanoseconds: Double(times.percentile(99.9)), maximumNanoseconds: Double(times.maximum),
                reference: copy?.name, referenceNanoseconds: copy?.nanoseconds,
                ratio: copy.flatMap { $0.nanoseconds > 0 ? median / $0.nanoseconds : nil }))
    }

    /// Something that couldn't be measured.
    mutating func addOmission(_ title: String, _ reason: String) {
        omitted.append(OmissionEntry(title: title, reason: reason))
    }

    // MARK: what is told

    /// For programs.
    var document: Document {
        Document(
            date: facts.date, kernel: facts.kernel, processor: facts.processor, host: facts.host,
            device: device, identity: identity, route: route, measurements: entries, omitted: omitted)
    }

    private static let heading = ["", "median", "p99", "longest", "compared with", "its median", "ratio"]

    private var rows: [[String]] {
        entries.map { entry in
            [
                entry.title, DurationText.of(entry.p50Nanoseconds), DurationText.of(entry.p99Nanoseconds),
                DurationText.of(entry.maximumNanoseconds), entry.reference ?? "",
                entry.referenceNanoseconds.map(DurationText.of) ?? "",
                entry.ratio.map(DurationText.digits) ?? "",
            ]
        }
    }

    /// For people.
    func print(on console: Console) {
        console.line("\(device)\(identity.map { " (\($0))" } ?? "") on \(facts.host), \(route)\n")
        var table = Table(Self.heading, rightAligned: [1, 2, 3, 5, 6])
        for row in rows { table.add(row) }
        for line in table.lines(on: console) { console.line(line) }
        if !omitted.isEmpty {
            console.line("\nnot measured:")
            for omission in omitted { console.line("  \(omission.title): \(omission.reason)") }
        }
    }

    /// For a browser.
    var page: MeasurementPage {
        var summary = "How long \(facts.host) takes for what programs ask of it."
        if let first = entries.first, let ratio = first.ratio, let reference = first.reference {
            summary +=
                " \(first.title): \(DurationText.of(first.p50Nanoseconds)), "
                + "\(DurationText.digits(ratio)) times a \(reference)."
        }
        return MeasurementPage(
            "Benchmark of \(device)", summary: summary,
            table: .init(
                ["what", "median", "p99", "longest", "compared with", "its median", "ratio"],
                numbers: [1, 2, 3, 5, 6], rows: rows),
            distributions: distributions, sharesAxis: false,
            notes: omitted.map { "Not measured: \($0.title): \($0.reason)" } + [
                "What takes less than 2 µs is done several times in a row, and the time is the mean of those.",
                "A ratio is the median divided by that of what it is compared with, which was measured in the same run.",
            ],
            facts: facts.list(
                [.init("Device", device)] + (identity.map { [.init("Identity", $0)] } ?? []) + [
                    .init("Opened through", route)
                ]))
    }
}
