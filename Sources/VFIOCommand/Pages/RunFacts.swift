import FoundationEssentials
import LinuxSystem
import NVMeDriver
import PCIDecoder
import VFIOHost
import VFIOOperator

/// What is to be known of a measurement besides its numbers, or nobody can compare them later.
struct RunFacts {
    /// When it began, in UTC.
    let date: String
    /// The kernel's release.
    let kernel: String
    /// The processor's model, and how many there are.
    let processor: String
    /// Who answered.
    let host: String
    /// What was typed.
    let commandLine: String

    init(_ kind: HostKind) {
        date = Date.now.formatted(.iso8601)
        kernel = Self.line("/proc/sys/kernel/osrelease") ?? "unknown"
        processor = Self.processor
        host = Self.words(for: kind)
        commandLine = (["vfio"] + CommandLine.arguments.dropFirst().map(Self.word)).joined(separator: " ")
    }

    static func words(for kind: HostKind) -> String {
        switch kind {
        case .linux: "this machine's kernel"
        case .software: "a software machine in this process"
        case .vfioUser: "a vfio-user server"
        }
    }

    /// Them, and others that come between.
    func list(_ others: [MeasurementPage.Fact]) -> [MeasurementPage.Fact] {
        [.init("Date", date), .init("Host", host)] + others + [
            .init("Kernel", kernel), .init("Processor", processor), .init("Command", commandLine),
        ]
    }

    private static func line(_ path: String) -> String? {
        guard let text = try? FileSystem.text(of: path) else { return nil }
        return text.split(separator: "\n").first.map { PrintableText.of($0.utf8, limit: 120) }
    }

    private static var processor: String {
        let text = (try? FileSystem.text(of: "/proc/cpuinfo")) ?? ""
        let lines = text.split(separator: "\n")
        let count = lines.count { $0.hasPrefix("processor") }
        // Arm's kernels name no model there; the board's is the next best.
        let model =
            lines.first { $0.hasPrefix("model name") }?.split(separator: ":", maxSplits: 1).last.map {
                PrintableText.of($0.drop { $0 == " " }.utf8, limit: 120)
            } ?? line("/proc/device-tree/model") ?? "unknown"
        return count > 0 ? "\(model), \(count) of them" : model
    }

    /// A word as a shell takes it.
    private static func word(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            (0x30...0x3a).contains(byte) || (0x40...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || [0x2c, 0x2d, 0x2e, 0x2f, 0x3d, 0x5f].contains(byte)
        }
        if isPlain && !text.isEmpty { return text }
        return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#)
            + "'"
    }

    /// Writes a page to a file.
    static func save(_ page: MeasurementPage, to path: String) throws(CommandFailure) {
        try InspectCommand.save(Array(page.html.utf8), to: path)
    }
}

extension Distribution {
    /// What an NVMe disk's histogram tells.
    init(_ title: String, note: String = "", of latencies: LatencyHistogram, reference: Quantile? = nil) {
        self.init(
            title, note: note, noun: "requests",
            buckets: latencies.buckets.map {
                Bucket(
                    // No bucket reaches beyond the longest there was.
                    from: Double($0.nanoseconds.lowerBound),
                    to: min(Double($0.nanoseconds.upperBound), Double(latencies.maximum)), count: $0.count)
            },
            quantiles: latencies.count == 0
                ? []
                : Distribution.markedShares.map {
                    Quantile($0.name, nanoseconds: Double(latencies.percentile($0.share * 100)))
                }, reference: reference)
    }
}
