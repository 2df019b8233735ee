import ArgumentParser
import VFIO
import VFIOHost
import VFIOOperator

/// `vfio irq`: interrupts of a device.
struct InterruptCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "irq", abstract: "See a device's interrupts, and watch them come.",
        subcommands: [InterruptListCommand.self, InterruptWatchCommand.self])

    /// Opens a device.
    static func open(
        _ named: NamedDeviceArgument, _ options: HostOptions
    ) throws(CommandFailure) -> Device {
        let id = try named.id()
        let host = try options.makeHost()
        let choice = options.routeChoice
        return try speaking { () throws(VFIOError) in try Device(opening: id, on: host, choice) }
    }
}

/// `vfio irq list DEVICE`: which interrupts there are.
struct InterruptListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Show which kinds of interrupts a device has.",
        discussion: """
            eventfd: they can be watched; maskable: they can be masked through VFIO; automasked: each interrupt masks \
            the line until it is unmasked; noresize: all vectors are enabled at once.
            """)

    @OptionGroup var options: HostOptions
    @OptionGroup var named: NamedDeviceArgument
    @Flag(help: "Print JSON.") var json = false

    /// What `--json` prints.
    private struct Report: Encodable {
        let version = 1
        let device: String
        let interrupts: [Entry]
    }

    private struct Entry: Encodable {
        let name: String
        let index: UInt32
        let vectors: Int
        let flags: [String]
    }

    func run() throws {
        let device = try InterruptCommand.open(named, options)
        let kinds = try speaking { () throws(VFIOError) in try device.interruptKinds() }
        if json {
            return try JSONOutput.print(
                Report(
                    device: device.id.name,
                    interrupts: kinds.map {
                        Entry(
                            name: $0.word, index: $0.index.rawValue, vectors: $0.info.count, flags: $0.flags)
                    }))
        }
        var table = Table(["KIND", "NAME", "VECTORS", "FLAGS"], rightAligned: [2])
        for kind in kinds {
            table.add([
                kind.title, kind.word, "\(kind.info.count)",
                kind.flags.isEmpty ? "-" : kind.flags.joined(separator: ", "),
            ])
        }
        for line in table.lines(on: Console()) { print(line) }
        if kinds.isEmpty { print("\(device.id.name) has no interrupts") }
    }
}
