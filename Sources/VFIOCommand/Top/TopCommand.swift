import ArgumentParser
import FoundationEssentials
import LinuxSystem
import VFIOUser

/// `vfio top`: what devices in software are doing, while they do it.
struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Watch devices in software at work: requests, registers, DMA, interrupts, errors.",
        discussion: """
            Without --port: the devices of your programs under vfio run. With it: those of a server that was started with \
            --metrics-port; one on another machine is reached through ssh -L 9200:127.0.0.1:9200 MACHINE.

            On a terminal the table is redrawn, the busiest device first, until q is pressed. In a pipe there is a line \
            for each device and interval.

            Requests are messages of a server, and requests and accesses of a software machine; registers are those \
            among them that read or write a region. What goes through memory that two processes share, without a \
            message, isn't counted by a server. What is mapped is a server's device's own; of a program it is what all \
            its devices have.

            Examples:
              vfio serve edu --metrics-port 9200 &
              vfio top --port 9200
              vfio top --interval 5 --count 12 --json >minute.jsonl
            """)

    @Option(help: ArgumentHelp("The metrics port of a vfio-user server on this machine.", valueName: "port"))
    var port: UInt16?
    @Option(
        name: .customLong("run"),
        help: ArgumentHelp("The folder of one run; all of yours by default.", valueName: "folder"))
    var folder: String?
    @Option(help: ArgumentHelp("How often to look, in seconds, from 0.1 on.", valueName: "seconds"))
    var interval = 1.0
    @Option(help: ArgumentHelp("End after so many intervals.", valueName: "number"))
    var count: Int?
    @Flag(help: "Print a JSON object a line, for each device and interval.") var json = false

    func validate() throws {
        guard interval >= 0.1, interval <= 86_400 else {
            throw ValidationError("--interval must be 0.1 to 86400")
        }
        if let count, count < 1 { throw ValidationError("--count must be at least 1") }
        if port == 0 { throw ValidationError("--port must be the one that the server told: 1 to 65535") }
        if port != nil, folder != nil { throw ValidationError("--port and --run name two things to watch") }
    }

    private var source: TopSource {
        port.map { .server(MetricsReader(port: $0)) } ?? .runs(folder: folder)
    }

    private var pause: UInt64 { UInt64(interval * 1e9) }

    func run() throws {
        let console = Console()
        if console.isTerminal, !json {
            let signals = try catching("signals") { () throws(Errno) in
                try SignalDescriptor([.hangUp, .interrupt, .terminate, .resized])
            }
            return try TopScreen(source, pause: pause, count: count, signals: signals).run()
        }
        try printLines()
    }

    /// A line as programs get it.
    private struct Line: Encodable {
        let version = 1
        let time: String
        let rates: DeviceRates

        private enum CodingKeys: CodingKey { case version, time }

        func encode(to encoder: any Encoder) throws {
            try rates.encode(to: encoder)
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(version, forKey: .version)
            try container.encode(time, forKey: .time)
        }
    }

    private func printLines() throws {
        let source = source
        var before = try source.read()
        var moment = Clock.now
        var done = 0
        while count.map({ done < $0 }) ?? true {
            Clock.sleep(nanoseconds: pause)
            let now: [DeviceTraffic]
            do throws(CommandFailure) {
                now = try source.read()
            } catch {
                throw CommandFailure.refused(source.loss(error))
            }
            let reading = Clock.now
            let rates = DeviceRates.all(now, since: before, seconds: Double(reading &- moment) / 1e9)
            try print(rates, isFirst: done == 0)
            (before, moment) = (now, reading)
            done += 1
        }
    }

    /// A cell as wide as most headings: lines of later intervals stand below the first one's.
    private static func padded(_ column: Int, _ cell: String) -> String {
        let space = String(repeating: " ", count: max(0, 12 - cell.count))
        return column < 2 ? cell + space : space + cell
    }

    private func print(_ rates: [DeviceRates], isFirst: Bool) throws {
        let time = Date.now.formatted(.iso8601)
        if json {
            for one in rates { try JSONOutput.printLine(Line(time: time, rates: one)) }
        } else {
            var table = Table(["time"] + DeviceRates.heading, rightAligned: [3, 4, 5, 6, 7, 8, 9])
            for one in rates { table.add([time] + one.row.enumerated().map(Self.padded)) }
            for line in table.lines.dropFirst(isFirst ? 0 : 1) { Swift.print(line) }
        }
        StandardStream.flush()
    }
}
