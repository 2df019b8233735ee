import ArgumentParser
import LinuxSystem
import VFIOHost
import VFIOOperator

/// `vfio doctor`: what keeps devices from being used, and what helps.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Find out what keeps devices from being used through VFIO, and what helps.",
        discussion: """
            Writes nothing and needs no root: what can't be read is said to be unknown. Nodes are tried with open(2).

            Ends with 0 if nothing failed, 1 if something did, 3 if something that matters couldn't be determined.
            With -v what was read is said for every check, not only for those that aren't ok.

              vfio doctor                                the machine, and the devices that a VFIO driver has
              vfio doctor 0000:01:00.0                   that device in depth besides
              vfio doctor --memory 16G --devices 2       for a virtual machine of 16 GiB with two devices
            """)

    @Argument(
        help: ArgumentHelp(
            "A device to look at in depth: its PCI address, the UUID of a mediated device, or bus/name.",
            valueName: "device"), completion: .custom(Completion.devices))
    var device: String?

    @Option(
        help: ArgumentHelp(
            "How much memory devices are to reach, e.g. 16G: a virtual machine's, or a driver's buffers.",
            valueName: "size"))
    var memory: MemorySize?

    @Option(help: ArgumentHelp("How many devices are to be used at once.", valueName: "number"))
    var devices = 1

    @Option(
        help: ArgumentHelp("The QEMU that is asked what it can; \"none\" to ask none.", valueName: "program"),
        completion: .file())
    var qemu = Doctor.usualQEMU

    @OptionGroup var options: HostOptions
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        if !(1...65_536).contains(devices) { throw ValidationError("--devices is 1 to 65536") }
    }

    func run() throws {
        if case .user = options.host {
            throw CommandFailure.wrongUsage(
                "a vfio-user server has no kernel, groups or limits to look at",
                remedy: "ask its device with vfio inspect"
            )
        }
        let id = try device.map { text throws(CommandFailure) in
            try NamedDeviceArgument.id(text)
        }
        let host = try options.makeHost(printingCallsAt: 2)
        let findings = try options.withRoots(of: host) { roots in
            var doctor = Doctor(
                roots, kind: host.kind, plan: Doctor.Plan(memory: memory?.byteCount, devices: devices),
                qemu: qemu == "none" ? nil : qemu)
            if host.kind != .linux {
                doctor.lockedMemoryLimit = try inventory(of: host).lockedMemoryLimit ?? .max
                doctor.hiddenFolder = String(roots.sysfs.dropLast("/sys".count))
            }
            return id.map { doctor.checks(of: $0) } ?? doctor.checks()
        }
        if json {
            try JSONOutput.print(DoctorReport(findings))
        } else {
            DoctorText(verbose: options.trace.isVerbose, isSoftware: host.kind != .linux).print(findings)
        }
        switch findings.verdict {
        case .ok, .warning: return
        case .failed: throw ExitCode(CommandFailure.Code.refused.rawValue)
        case .undetermined: throw ExitCode(CommandFailure.Code.undetermined.rawValue)
        }
    }
}

/// A number of bytes as it is written on a command line: "512M", "16G", "1.5G" isn't.
struct MemorySize: ExpressibleByArgument, Equatable {
    let byteCount: UInt64

    init?(argument: String) {
        var digits = argument[...]
        for ending in ["iB", "B"] where digits.hasSuffix(ending) {
            digits = digits.dropLast(ending.count)
            break
        }
        let units: [Character: Int] = ["k": 10, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50]
        var shift = 0
        if let last = digits.last, let unit = units[last] {
            shift = unit
            digits = digits.dropLast()
        }
        guard let count = UInt64(digits), count > 0, digits.first != "+", count <= UInt64.max >> UInt64(shift)
        else {
            return nil
        }
        byteCount = count << UInt64(shift)
    }
}
