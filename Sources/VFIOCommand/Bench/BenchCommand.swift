import ArgumentParser
import LinuxSystem
import MachineFormat
import NVMeDriver
import VFIO
import VFIOHost
import VFIOOperator

/// `vfio bench`: what a host takes for what programs ask of it.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure requests, registers, DMA mappings and interrupts, beside what everybody knows.",
        discussion: """
            Every number stands beside something that was measured in the same run, such as a system call that does \
            nothing, and says how many times as long it takes. Without a device it is the software machine's disk that is \
            measured.

            The device must not be in use, and nothing is written to a disk: of its registers two get back the value \
            that they have. Opening a device resets it, as any program's opening does. Of other devices than NVMe disks \
            a register is read only if it is named, because reading one may change a device.

            Examples:
              vfio bench                                       # the software machine's disk
              vfio bench 0000:01:00.0 --html bench.html        # a device that is bound to vfio-pci
              vfio bench --host user:/run/edu.sock --register bar0:0x0
            """)

    @OptionGroup var options: HostOptions
    @Argument(help: ArgumentHelp("The device, e.g. 0000:01:00.0.", valueName: "device"))
    var device: String?
    @Option(help: ArgumentHelp("How long each thing is measured, in milliseconds.", valueName: "number"))
    var milliseconds = 200
    @Option(
        help: ArgumentHelp(
            "A register of 32 bits that may be read as often as one likes.", valueName: "region:offset"))
    var register: RegisterName?
    @Option(help: ArgumentHelp("The most memory that is mapped at once, e.g. 256M.", valueName: "bytes"))
    var memory = "1G"
    @Flag(help: "Print JSON.") var json = false
    @Option(help: ArgumentHelp("Write a page with histograms, for a browser.", valueName: "file"))
    var html: String?

    func validate() throws {
        guard milliseconds >= 1, milliseconds <= 600_000 else {
            throw ValidationError("--milliseconds must be 1 to 600000")
        }
    }

    func run() throws {
        guard let mostMemory = ByteCount.parse(memory), mostMemory > 0, mostMemory <= 1 << 40 else {
            throw CommandFailure.wrongUsage(
                "--memory: \"\(memory)\" isn't a number of bytes up to 1T, like 256M")
        }
        var options = options
        if device == nil, options.host == nil, options.machine == nil { options.host = .soft }
        let host = try options.makeHost()
        let id = try chosen(on: host)
        let facts = RunFacts(host.kind)
        let console = Console()
        let report = try measure(id, on: host, options.routeChoice, Int(mostMemory), facts, console)
        console.endProgress()
        if let html { try RunFacts.save(report.page, to: html) }
        if json { return try JSONOutput.print(report.document) }
        report.print(on: console)
        if let html { console.line("\n\(html): the times as histograms, for a browser") }
    }

    /// The device that was named, or the first that can be used.
    private func chosen(on host: any Host) throws -> DeviceID {
        if let device { return try NamedDeviceArgument.id(device) }
        guard host.kind != .linux else {
            throw CommandFailure.wrongUsage(
                "name a device that isn't in use: vfio list shows those that are there")
        }
        let devices = try inventory(of: host).devices
        guard let first = devices.first(where: { $0.driver?.isVFIO == true }) ?? devices.first else {
            throw CommandFailure.refused("there is no device; vfio list shows what there is")
        }
        return DeviceID(first.address)
    }

    private func measure(
        _ id: DeviceID, on host: any Host, _ choice: RouteChoice, _ mostMemory: Int, _ facts: RunFacts,
        _ console: Console
    ) throws -> BenchReport {
        var report: BenchReport
        do {
            let device = try speaking { () throws(VFIOError) in
                try Device(opening: id, on: host, choice)
            }
            var benchmark = DeviceBenchmark(of: device)
            benchmark.milliseconds = milliseconds
            benchmark.register = register?.register
            benchmark.mostMemory = mostMemory
            var done: UInt64 = 0
            benchmark.progress = { what in
                console.progress(done, of: 12, what)
                done += 1
            }
            benchmark.run()
            report = BenchReport(benchmark, device, facts)
        }
        // The disk's own requests, now that nobody has it.
        guard report.isDisk, let address = id.address else { return report }
        console.progress(11, of: 12, BenchReport.readTitle)
        do throws(NVMeError) {
            var settings = ControllerOptions()
            settings.route = choice
            let settled = settings
            let controller = try Controller(opening: address, on: host, settled)
            let measured: Measurement
            do throws(NVMeError) {
                let size = try controller.defaultNamespace().blockByteCount
                measured = try controller.measure(
                    Workload(
                        .read, .random, blocksPerRequest: max(1, 4096 / size), queueDepth: 1,
                        limit: .milliseconds(max(milliseconds, 1))))
            } catch {
                try? controller.close()
                throw error
            }
            try controller.close()
            report.add(measured)
        } catch {
            report.addOmission(BenchReport.readTitle, "\(error)")
        }
        return report
    }
}

/// A register as it is named on a command line: "bar0:0x8", "config:0x0", "3:16".
struct RegisterName: ExpressibleByArgument {
    let register: DeviceBenchmark.Register

    init?(argument: String) {
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let region = Self.region(parts[0]), let offset = Self.number(parts[1]),
            offset % 4 == 0
        else { return nil }
        register = DeviceBenchmark.Register(region, at: offset)
    }

    private static func region(_ text: Substring) -> RegionIndex? {
        let named: [String: RegionIndex] = [
            "bar0": .bar0, "bar1": .bar1, "bar2": .bar2, "bar3": .bar3, "bar4": .bar4, "bar5": .bar5,
            "rom": .rom, "config": .configuration, "vga": .vga,
        ]
        return named[text.lowercased()] ?? UInt32(text).map { RegionIndex(rawValue: $0) }
    }

    private static func number(_ text: Substring) -> Int? {
        let value = text.hasPrefix("0x") ? Int(text.dropFirst(2), radix: 16) : Int(text)
        return value.flatMap { $0 >= 0 && $0 <= 1 << 40 ? $0 : nil }
    }
}
