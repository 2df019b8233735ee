import JSONText
import LinuxSystem
import PCIDecoder
import SoftwareHost
import VFIOUser

/// Where traffic is read: a server's metrics, or the machines of this user's runs.
enum TopSource {
    /// A server's metrics on a port of this machine.
    case server(MetricsReader)
    /// The programs of this user under `vfio run`, or the one in a folder.
    case runs(folder: String?)

    /// What each device has done up to now.
    /// - Throws: why nothing can be told.
    func read() throws(CommandFailure) -> [DeviceTraffic] {
        switch self {
        case .server(let reader):
            do throws(MetricsFailure) {
                return try reader.read().map { DeviceTraffic($0, port: reader.port) }
            } catch {
                throw .refused("\(error)")
            }
        case .runs(let folder):
            let runs = try Run.all(folder)
            return runs.flatMap { run in
                run.statistics.devices.map {
                    DeviceTraffic($0, of: run.title, locked: run.statistics.lockedByteCount)
                }
            }
        }
    }

    /// What is told when it was there and isn't any more.
    func loss(_ failure: CommandFailure) -> String {
        switch self {
        case .server(let reader): "the server on port \(reader.port) has gone: \(failure.text)"
        case .runs(nil): "the programs under vfio run have ended; start one with vfio run -- PROGRAM"
        case .runs(let folder?):
            "the program of \(folder) has ended; vfio top without --run shows what runs now"
        }
    }

    /// What stands above the table.
    var title: String {
        switch self {
        case .server(let reader): "vfio-user server, 127.0.0.1:\(reader.port)"
        case .runs: "programs under vfio run"
        }
    }

    /// A run that is there.
    private struct Run {
        var title: String
        /// The end of its folder's name.
        let suffix: String
        let statistics: MachineStatistics

        /// - Throws: where a folder was named and isn't a run's, or where there is none.
        static func all(_ folder: String?) throws(CommandFailure) -> [Run] {
            if let folder {
                guard FileSystem.exists(folder + "/run.json") else {
                    throw .refused(
                        "\(folder) isn't a folder of vfio run; vfio top without --run shows what runs now")
                }
                return Run(folder).map { [$0] } ?? []
            }
            var runs = RunFolder.present().compactMap { Run($0) }
            guard !runs.isEmpty else {
                throw .refused(
                    "no program of yours has opened VFIO under vfio run; start one with vfio run -- PROGRAM, or name a server's "
                        + "port: vfio serve edu --metrics-port 9200, then vfio top --port 9200")
            }
            // Two runs of one program are told apart by their folders.
            for (title, same) in Dictionary(grouping: runs.indices, by: { runs[$0].title })
            where same.count > 1 {
                for index in same { runs[index].title = "\(title) \(runs[index].suffix)" }
            }
            return runs
        }

        /// - Returns: nil for a run whose program hasn't used VFIO yet.
        init?(_ folder: String) {
            guard let statistics = try? MachineStatistics(readingFile: folder + "/counters") else {
                return nil
            }
            self.statistics = statistics
            title = Self.program(folder)
            let name = folder.split(separator: "/").last ?? ""
            suffix = PrintableText.of(name.dropFirst(RunFolder.prefix.count).utf8, limit: 16)
        }

        /// What the run's description says; others may have written it.
        private static func program(_ folder: String) -> String {
            guard let bytes = try? FileSystem.bytes(of: folder + "/run.json", limit: 4 << 20),
                let document = try? JSON(bytes, maximumDepth: 20, maximumCount: 70_000),
                case .string(let program)? = document["program"]
            else { return "?" }
            let name = program.split(separator: "/").last.map { Array($0.utf8) } ?? []
            return PrintableText.of(name, limit: 32)
        }
    }
}

/// What a device has done up to a moment, wherever it is.
struct DeviceTraffic: Equatable {
    /// Whose it is: "port 9200", or a program's name.
    let source: String
    let device: String
    /// Messages of a server's, requests and accesses of a software machine's.
    var requests: UInt64 = 0
    var registers: UInt64 = 0
    var transfers: UInt64 = 0
    var transferBytes: UInt64 = 0
    var interrupts: UInt64 = 0
    var errors: UInt64 = 0
    /// What is mapped for DMA now.
    var mappedBytes: UInt64 = 0

    init(_ traffic: ServerTraffic, port: UInt16) {
        source = "port \(port)"
        device = PrintableText.of(traffic.name.utf8, limit: 64)
        requests = traffic.commands
        registers = traffic.reads &+ traffic.writes
        transfers = traffic.dmaTransfers
        transferBytes = traffic.dmaByteCount
        interrupts = traffic.interrupts
        errors = traffic.errors
        mappedBytes = traffic.mappedByteCount
    }

    init(_ statistics: DeviceStatistics, of source: String, locked: UInt64) {
        self.source = source
        device = PrintableText.of(statistics.name.utf8, limit: 64)
        registers = statistics.readCount &+ statistics.writeCount
        requests = statistics.requestCount &+ registers
        transfers = statistics.dmaReadCount &+ statistics.dmaWriteCount
        transferBytes = statistics.dmaReadByteCount &+ statistics.dmaWrittenByteCount
        interrupts = statistics.interruptCount
        errors = statistics.errorCount &+ statistics.dmaRefusedCount
        mappedBytes = locked
    }

    /// What tells it from others.
    var key: String { source + "\u{0}" + device }
}

extension RunFolder {
    /// The folders of this user's runs whose programs are there.
    static func present() -> [String] {
        var places: [String] = []
        for place in [
            ChildProcess.environmentValue("XDG_RUNTIME_DIR"), ChildProcess.environmentValue("TMPDIR"), "/tmp",
        ] {
            if let place, !place.isEmpty, !places.contains(place) { places.append(place) }
        }
        return places.flatMap { place in
            ((try? FileSystem.names(in: place)) ?? []).filter { $0.hasPrefix(prefix) }.sorted()
                .map { place + "/" + $0 }
        }.filter { FileSystem.exists($0 + "/counters") && isInUse($0) }
    }
}
