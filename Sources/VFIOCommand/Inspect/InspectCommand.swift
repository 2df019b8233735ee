import ArgumentParser
import JSONText
import LinuxSystem
import PCIDecoder
import VFIO
import VFIOHost
import VFIOOperator

/// `vfio inspect DEVICE`: what a device tells of itself once it is open, and what it shows.
struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Open a device and show its regions, interrupts, features, usable addresses and registers.",
        discussion: """
            A device that can't be opened, or isn't to be, is shown as far as the machine tells of it: that needs no \
            privileges. Most drivers of VFIO reset a device that is opened. With --route group or cdev a device that \
            can't be opened is a failure. With -v every field of every register is shown, with its bits.
            """)

    @OptionGroup var options: HostOptions
    @Argument(
        help: ArgumentHelp(
            "The device: its PCI address, the UUID of a mediated device, or bus/name for other buses.",
            valueName: "device"), completion: .custom(Completion.devices))
    var device: String?
    @Flag(help: "Print JSON.") var json = false
    @Flag(help: "Show the configuration space only, without opening the device where the machine shows it.")
    var configOnly = false
    @Flag(help: "Don't open the device: show what the machine tells of it.") var noOpen = false
    @Option(
        help: ArgumentHelp("Save everything in a file, for --from.", valueName: "file"),
        completion: .file())
    var dump: String?
    @Option(
        help: ArgumentHelp(
            "Show what a file says: one that --dump or --json wrote, or a text of lspci -xxxx.",
            valueName: "file"), completion: .file())
    var from: String?
    @Option(
        name: .customLong("pci-ids"),
        help: ArgumentHelp(
            "The names of devices, if not those of this machine's pci.ids.", valueName: "file"),
        completion: .file(extensions: ["ids"]))
    var namesFile: String?
    @Option(
        help: ArgumentHelp(
            "Save what the device shows, if it is a display, as a PNG file.", valueName: "file"),
        completion: .file(extensions: ["png"]))
    var screenshot: String?

    func run() throws {
        if screenshot != nil, from != nil || noOpen || configOnly {
            throw CommandFailure.wrongUsage(
                "only an open device shows a picture",
                remedy: "leave --from, --no-open and --config-only away")
        }
        if let from {
            return try show(try Self.report(from: from, device: try name()))
        }
        guard let name = device else {
            throw CommandFailure.wrongUsage("no device is named", remedy: NextStep.listDevices)
        }
        let id = try NamedDeviceArgument.id(name)
        let host = try options.makeHost(printingCallsAt: 2)
        let choice = options.routeChoice
        // What a server's device shows can't be had otherwise.
        let isOpened = !noOpen && (!configOnly || host.kind == .vfioUser)
        let inspection = try options.withRoots(of: host) { roots in
            try speaking { () throws(VFIOError) in
                try DeviceInspection(of: id, on: host, choice, opening: isOpened, roots: roots)
            }
        }
        try show(inspection.report)
        if let refusal = inspection.refusal, options.route != .auto || screenshot != nil {
            throw CommandFailure.of(refusal)
        }
        guard let screenshot, let device = inspection.device else { return }
        let shown = try speaking { () throws(VFIOError) in try device.picture() }
        guard let picture = shown else {
            throw CommandFailure.refused(
                "\(id) shows nothing now", remedy: "have a guest draw something, and try again")
        }
        try Self.save(picture.png(), to: screenshot)
        // Standard output is a document of its own with --json.
        if !json { print("\n\(screenshot): what it shows, \(picture.width) by \(picture.height) pixels") }
    }

    /// The device's name as files have it.
    private func name() throws(CommandFailure) -> String? {
        guard let device else { return nil }
        return try NamedDeviceArgument.id(device).name
    }

    private func show(_ report: DeviceReport) throws(CommandFailure) {
        var report = report
        report.facts.name(by: try names())
        if json {
            print(report.json.indentedText())
        } else {
            let text = InspectText(
                report, isVerbose: options.trace.isVerbose, isConfigurationOnly: configOnly,
                width: InspectText.terminalWidth)
            text.print()
        }
        guard let dump else { return }
        try Self.save(Array((report.json.indentedText() + "\n").utf8), to: dump)
        if !json { print("\n\(dump): everything that is known, for vfio inspect --from \(dump)") }
    }

    private func names() throws(CommandFailure) -> PCINames {
        guard let namesFile else { return .ofThisMachine() }
        do throws(Errno) {
            return try PCINames(readingFile: namesFile)
        } catch {
            throw .file(namesFile, .read, error)
        }
    }

    /// What a file says of a device.
    static func report(from path: String, device name: String?) throws(CommandFailure) -> DeviceReport {
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try FileSystem.bytes(of: path, limit: DeviceReport.longestFile + 1)
        } catch {
            throw .file(path, .read, error)
        }
        do throws(DumpError) {
            return try DeviceReport(file: bytes, device: name)
        } catch {
            throw .wrongUsage(
                "\(path): \(error)", remedy: "name a file of --dump, --json or lspci -xxxx")
        }
    }

    /// Writes bytes to a file, which is made or replaced.
    static func save(_ bytes: [UInt8], to path: String) throws(CommandFailure) {
        do throws(Errno) {
            let file = try Descriptor(opening: path, [.writeOnly, .create, .truncate])
            var done = 0
            while done < bytes.count {
                // SAFETY: a UInt8 has no padding.
                let rest = unsafe bytes.span.bytes.extracting(done..<bytes.count)
                done += try Descriptor.write(file.number, rest)
            }
        } catch {
            throw .file(path, .written, error)
        }
    }
}
