import ArgumentParser
import LinuxSystem
import MachineFormat
import NVMe
import NVMeDriver
import VFIO
import VFIOHost

/// `vfio nvme …`: drive an NVMe disk.
struct NVMeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nvme", abstract: "Drive an NVMe disk.",
        subcommands: [Identify.self, Read.self, Write.self, PerfCommand.self])

    /// The disk that all of these verbs work on.
    struct Disk: ParsableArguments {
        @OptionGroup var options: HostOptions
        @OptionGroup var device: DeviceArgument
        @Option(
            name: .customLong("namespace"),
            help: ArgumentHelp("The namespace; the first one by default.", valueName: "id"))
        var namespaceID: UInt32?

        /// Opens it, and closes it in order whatever happens.
        func use<R>(_ body: (Controller) throws -> R) throws -> R {
            let address = try device.address()
            let host = try options.makeHost()
            var settings = ControllerOptions()
            settings.route = options.routeChoice
            let settled = settings
            let controller = try speakingNVMe { () throws(NVMeError) in
                try Controller(opening: address, on: host, settled)
            }
            do {
                let result = try body(controller)
                try speakingNVMe { () throws(NVMeError) in try controller.close() }
                return result
            } catch {
                // What went wrong first is what is told.
                try? controller.close()
                throw (error as? NVMeError).map { CommandFailure.of($0) } ?? error as? CommandFailure
                    ?? .refused("\(error)", remedy: NextStep.seeCalls)
            }
        }

        /// The namespace that was asked for.
        func namespace(_ controller: Controller) throws -> Namespace {
            guard let namespaceID else { return try controller.defaultNamespace() }
            guard let namespace = controller.namespace(namespaceID) else {
                throw NVMeError(.noNamespace, "use", on: controller.name, namespace: namespaceID)
            }
            return namespace
        }
    }

    /// `vfio nvme identify`
    struct Identify: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the controller and its namespaces.")
        @OptionGroup var disk: Disk
        @Flag(help: "Print JSON.") var json = false

        struct NamespaceEntry: Encodable {
            let id: UInt32
            let blocks: UInt64
            let blockByteCount: Int
            let byteCount: UInt64?
        }

        struct Report: Encodable {
            let version = 1
            let address: String
            let model: String
            let serial: String
            let firmware: String
            let nvmeVersion: String
            let queuePairs: Int
            let interrupts: Int
            let maximumTransfer: Int
            let temperatureKelvin: Int
            let namespaces: [NamespaceEntry]
            let route: String
        }

        func run() throws {
            let report = try disk.use { controller in
                let health = try controller.healthLog()
                return Report(
                    address: controller.name, model: controller.identity.modelNumber,
                    serial: controller.identity.serialNumber, firmware: controller.identity.firmwareRevision,
                    nvmeVersion: "\(controller.version)", queuePairs: controller.queuePairCount,
                    interrupts: controller.interruptCount, maximumTransfer: controller.maximumTransfer,
                    temperatureKelvin: Int(health.temperature),
                    namespaces: controller.namespaces.map {
                        NamespaceEntry(
                            id: $0.identifier, blocks: $0.blockCount, blockByteCount: $0.blockByteCount,
                            byteCount: $0.byteCount)
                    }, route: "\(controller.device.route)")
            }
            if json { return try JSONOutput.print(report) }
            print("\(report.address): \(report.model), serial \(report.serial), firmware \(report.firmware)")
            print("NVMe \(report.nvmeVersion), opened through \(report.route)")
            print(
                "\(report.queuePairs) I/O queue pairs, \(report.interrupts) interrupts, "
                    + "up to \(Human.bytes(UInt64(report.maximumTransfer))) a command, "
                    + "\(report.temperatureKelvin - 273) °C")
            for namespace in report.namespaces {
                print(
                    "namespace \(namespace.id): \(Human.grouped(namespace.blocks)) blocks of "
                        + "\(namespace.blockByteCount) bytes"
                        + (namespace.byteCount.map { ", \(Human.bytes($0))" } ?? ""))
            }
        }
    }

    /// `vfio nvme read`
    struct Read: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read blocks into a file or standard output.")
        @OptionGroup var disk: Disk
        @Option(help: "The first block.") var lba: UInt64 = 0
        @Option(help: "How many blocks; all from the first on by default.") var blocks: UInt64?
        @Option(
            help: ArgumentHelp("Where the bytes go; standard output by default.", valueName: "file"),
            completion: .file())
        var output: String?

        func run() throws {
            let done = try disk.use { controller in
                let namespace = try disk.namespace(controller)
                let range = try Blocks.range(lba, blocks, namespace)
                let file = try output.map { try OutputFile($0) }
                let console = Console()
                try Blocks.read(range, of: namespace, on: controller) { window, offset in
                    if let file {
                        try file.write(window, at: offset)
                        console.progress(
                            offset, of: UInt64(range.count) * UInt64(namespace.blockByteCount), "reading")
                    } else {
                        var bytes = [UInt8](repeating: 0, count: window.byteCount)
                        Blocks.copy(window, into: &bytes)
                        StandardStream.write(bytes, to: 1)
                    }
                }
                console.endProgress()
                return UInt64(range.count) * UInt64(namespace.blockByteCount)
            }
            if let output { print("read \(Human.bytes(done)) into \(output)") }
        }
    }

    /// `vfio nvme write`
    struct Write: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write a file to blocks and flush them.", discussion: "What the blocks held is lost.")
        @OptionGroup var disk: Disk
        @Option(help: "The first block.") var lba: UInt64
        @Option(
            help: ArgumentHelp("What is written: a whole number of blocks.", valueName: "file"),
            completion: .file())
        var input: String
        @Flag(help: "Say what would be written and write nothing.") var dryRun = false

        func run() throws {
            let written = try disk.use { controller in
                let namespace = try disk.namespace(controller)
                let file = try Blocks.opening(input) { () throws(Errno) in
                    try Descriptor(opening: input).release()
                }
                let source = Descriptor(owning: file)
                let length = try Blocks.opening(input) { () throws(Errno) in try source.status().byteCount }
                guard length > 0, length % UInt64(namespace.blockByteCount) == 0 else {
                    throw CommandFailure.wrongUsage(
                        "\(input) has \(length) bytes, which isn't a whole number of blocks of "
                            + "\(namespace.blockByteCount) bytes",
                        remedy: "fill it up: truncate --size=%\(namespace.blockByteCount) \(input)")
                }
                let range = try Blocks.range(lba, length / UInt64(namespace.blockByteCount), namespace)
                if dryRun { return length }
                let console = Console()
                try Blocks.write(range, of: namespace, on: controller) { window, offset in
                    let count = try Blocks.opening(input) { () throws(Errno) in
                        try source.read(at: offset, into: window)
                    }
                    guard count == window.byteCount else {
                        throw CommandFailure.refused(
                            "\(input) became shorter while it was read",
                            remedy: "write again when nobody changes it")
                    }
                    console.progress(offset, of: length, "writing")
                }
                console.endProgress()
                try controller.flush(namespace)
                return length
            }
            print(
                dryRun
                    ? "would write \(Human.bytes(written)) at block \(lba)"
                    : "wrote \(Human.bytes(written)) at block \(lba) and flushed them")
        }
    }
}
