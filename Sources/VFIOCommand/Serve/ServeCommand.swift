import ArgumentParser
import FoundationEssentials
import JSONText
import LinuxSystem
import MachineFormat
import SoftwareHost
import VFIOHost
import VFIOUser

/// `vfio serve …`: devices in software for other programs, such as QEMU, over sockets that speak vfio-user.
struct ServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Be a device for QEMU and others, over a socket that speaks vfio-user.",
        discussion: """
            A device by its model, or all devices of a machine file, each behind a socket of its own:
              vfio serve nvme --image disk.img
              vfio serve nvme --image new.img --size 8G      makes the image if it isn't there
              vfio serve edu --socket /run/edu.sock
              vfio serve --machine lab.json --socket /run/lab
            The options that QEMU 10.1 and later need for each device are printed.

            SIGTERM and the interrupt key end it: requests that have come are carried out, disks are flushed, the
            sockets are removed. SIGUSR1 switches the trace of messages on and off, SIGUSR2 prints what was counted.
            """)

    @Argument(
        help: ArgumentHelp("The kind of device: nvme, edu, virtio-net, 82574.", valueName: "model"),
        completion: .list(MachineFile.models))
    var model: String?
    @Option(
        help: ArgumentHelp(
            "The disk image of an nvme; without one its blocks are in memory.", valueName: "file"),
        completion: .file())
    var image: String?
    @Option(
        help: ArgumentHelp(
            "How large the disk is that is made, e.g. 8G; 64M if there is no image.", valueName: "bytes"))
    var size: String?
    @Option(help: ArgumentHelp("The disk's serial number.", valueName: "text"))
    var serial: String?
    @Flag(help: "Refuse writes to the disk.") var readOnly = false
    @Option(
        help: ArgumentHelp(
            "A software machine, as a JSON file: all its devices are served.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    var machine: String?
    @Option(
        help: ArgumentHelp(
            "Where clients connect.",
            discussion: """
                The default is nvme.sock for an nvme, in this folder. With --machine it is a folder, in which each
                device has a socket with its address for a name.
                """, valueName: "path"))
    var socket: String?
    @Option(
        name: .customLong("listen-fd"),
        help: ArgumentHelp(
            "A socket that listens already, inherited from whoever started this.", valueName: "number"))
    var listenDescriptor: Int32?
    @Option(
        help: ArgumentHelp(
            "How often to look for a request before sleeping: costs a processor, saves waking up.",
            valueName: "number"))
    var polls = 0
    @Option(
        defaultAsFlag: Observation.standardError, parsing: .next,
        help: ArgumentHelp(
            "Write a line for every message, to a file or to standard error.",
            discussion: "SIGUSR1 switches that off and on again, also where it was off to begin with.",
            valueName: "file"))
    var trace: String?
    @Flag(help: "Count messages, bytes, errors and times, and print that at the end.") var metrics = false
    @Option(
        help: ArgumentHelp(
            "Count, and answer http://127.0.0.1:PORT/metrics in Prometheus's format; 0 chooses a port.",
            valueName: "port"))
    var metricsPort: UInt16?
    @Flag(help: "Print what QEMU needs as JSON, once clients can connect.") var json = false

    func validate() throws {
        if model == nil, machine == nil, let trace, trace == "edu" || trace == "nvme" {
            throw ValidationError(
                "--trace took \"\(trace)\" for its file: name the model first, or say --trace=FILE")
        }
        guard (model == nil) != (machine == nil) else {
            throw ValidationError("name a model (like nvme or edu) or give a machine with --machine")
        }
        if machine != nil, image != nil || size != nil || serial != nil || readOnly {
            throw ValidationError(
                "--image, --size, --serial and --read-only go with a model; a machine's file says them")
        }
        if listenDescriptor != nil, socket != nil || machine != nil {
            throw ValidationError("--listen-fd is for one device and takes the place of --socket")
        }
        guard polls >= 0 else { throw ValidationError("--polls can't be negative") }
    }

    func run() throws {
        let devices = try servedDevices()
        // Before there are threads: they inherit that these signals aren't theirs.
        let signals = try catching("signals") { () throws(Errno) in
            try SignalDescriptor([.terminate, .interrupt, .user1, .user2])
        }
        // Before there are sockets that somebody might connect to.
        let output = try Observation.output(trace)
        var listener: LoopbackSocket?
        if let metricsPort { listener = try Observation.listener(metricsPort) }
        var serving = try Serving(devices, listenDescriptor, polls: polls)
        let observation = try Observation(
            serving.observed, trace: output, isTracing: trace != nil, counts: metrics,
            listener: listener.take())
        try tell(devices, observation)
        defer { observation.end() }
        try serving.run(until: signals, observation)
    }

    // MARK: what is served

    /// The devices that were asked for.
    private func servedDevices() throws(CommandFailure) -> [OfferedDevice] {
        guard let machine else { return [try servedModel()] }
        let description = try MachineFile.read(machine)
        let folder = absolute(socket ?? ".")
        var devices: [OfferedDevice] = []
        for device in description.groups.flatMap(\.devices) + description.ungroupedDevices {
            // A bystander is only there to be in the way; nobody could use it.
            guard let model = device.model else { continue }
            guard let address = device.address else {
                throw .wrongUsage("\(machine): \"\(device.addressText)\" isn't a PCI address")
            }
            devices.append(
                OfferedDevice(name: "\(address)", model: model, socket: "\(folder)/\(address).sock"))
        }
        guard !devices.isEmpty else {
            throw .wrongUsage(
                "\(machine) has no device that could be served",
                remedy: "describe one with \"model\": \"edu\" or another")
        }
        if !description.faults.rules.isEmpty {
            Console.complain(
                "vfio: the faults in \(machine) are for the software kernel; here nothing goes wrong")
        }
        return devices
    }

    private func servedModel() throws(CommandFailure) -> OfferedDevice {
        let name = model ?? ""
        var members = [
            JSON.Member("model", .string(name)), JSON.Member("address", .string("0000:00:00.0")),
        ]
        if name != "nvme", image != nil || size != nil || serial != nil || readOnly {
            throw .wrongUsage(
                "--image, --size, --serial and --read-only are for disks",
                remedy: "use them with vfio serve nvme")
        }
        try makeImage()
        if let image { members.append(.init("image", .string(image))) }
        if let size { members.append(.init("size", .string(size))) }
        if let serial { members.append(.init("serial", .string(serial))) }
        if readOnly { members.append(.init("readOnly", .bool(true))) }
        do throws(StrictObject.Problem) {
            guard let model = try MachineFile.device(.object(members), "", "").model else {
                throw StrictObject.Problem(description: "a \(name) has no registers that could be served")
            }
            let path = listenDescriptor == nil ? absolute(socket ?? "\(name).sock") : nil
            return OfferedDevice(name: name, model: model, socket: path)
        } catch {
            throw .wrongUsage(
                "\(error)", remedy: "models that are served: \(MachineFile.models.joined(separator: ", "))")
        }
    }

    /// Makes the image if it isn't there and its size is told.
    private func makeImage() throws(CommandFailure) {
        guard let image, let size else { return }
        guard let byteCount = ByteCount.parse(size), byteCount > 0, byteCount % 512 == 0 else {
            throw .wrongUsage(
                "--size: \"\(size)\" isn't a multiple of 512", remedy: "say for instance 64M or 8G")
        }
        try Blocks.opening(image) { () throws(Errno) in
            if FileSystem.exists(image) {
                guard try FileSystem.status(image).byteCount != byteCount else { return }
                throw .exists
            }
            try Descriptor(opening: image, [.readWrite, .create, .exclusive]).resize(to: byteCount)
        }
    }

    private func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/") else { return path }
        let folder = FileManager.default.currentDirectoryPath
        return path == "." ? folder : "\(folder)/\(path)"
    }

    // MARK: what is told

    private struct DeviceEntry: Encodable {
        let device: String
        let socket: String?
        let qemu: [String]
    }

    /// What `--json` prints.
    private struct Report: Encodable {
        let version = 1
        let devices: [DeviceEntry]
        /// Where metrics are; absent without.
        let metrics: String?
    }

    private func tell(_ devices: [OfferedDevice], _ observation: Observation) throws {
        if json {
            let entries = devices.map {
                DeviceEntry(
                    device: $0.name, socket: $0.socket,
                    qemu: $0.socket.map { ["-device", QEMUOptions.device(socket: $0)] } ?? [])
            }
            try JSONOutput.print(Report(devices: entries, metrics: observation.address))
            return StandardStream.flush()
        }
        let console = Console()
        for device in devices {
            console.line(
                "\(device.name): listening \(device.socket.map { "at \($0)" } ?? "on what was inherited")")
        }
        if let address = observation.address { console.line("metrics: \(address)") }
        let paths = devices.compactMap(\.socket)
        guard !paths.isEmpty else { return }
        console.line("\nin QEMU (10.1 or later):\n\(QEMUOptions.command(sockets: paths))\n")
    }
}

/// What a user of QEMU needs to have a served device in a guest.
enum QEMUOptions {
    /// The value of `-device`: QEMU takes a socket's address in JSON only.
    static func device(socket path: String) -> String {
        #"{"driver":"vfio-user-pci","socket":{"type":"unix","path":\#(quoted(path))}}"#
    }

    /// A command for the shell. The guest's memory must be one that can be shared, or the device would see none of
    /// it.
    static func command(sockets: [String], memory: String = "2G") -> String {
        let devices = sockets.map { "    -device \(shellWord(device(socket: $0)))" }
        return
            ([
                "qemu-system-x86_64 -m \(memory) -machine q35,memory-backend=ram",
                "    -object memory-backend-memfd,id=ram,size=\(memory),share=on",
            ] + devices)
            .joined(separator: " \\\n")
    }

    /// A text in JSON.
    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case _ where scalar.value < 0x20: quoted += "\\u" + hexadecimal(scalar.value, digits: 4)
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    /// A text as one word for a shell.
    private static func shellWord(_ text: String) -> String {
        "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#) + "'"
    }
}

/// Runs something on the system and turns what it throws into what the command says.
func catching<R: ~Copyable>(_ what: String, _ body: () throws(Errno) -> R) throws(CommandFailure) -> R {
    do throws(Errno) { return try body() } catch { throw .refused("\(what): \(error)") }
}
