import ArgumentParser
import DeviceModel
import LinuxSystem
import MachineFormat
import NVMeController
import NVMeDriver
import SoftwareDevices
import SoftwareHost
import VFIO
import VFIOHost
import VFIOOperator
import VFIOUser

/// Who answers, and which way in is taken: options that most verbs have.
struct HostOptions: ParsableArguments {
    enum Kind: ExpressibleByArgument, Equatable {
        case linux
        case soft
        /// A server that speaks vfio-user, by its socket's path.
        case user(String)

        init?(argument: String) {
            let socket = "user:"
            if argument == "linux" {
                self = .linux
            } else if argument == "soft" {
                self = .soft
            } else if argument.hasPrefix(socket), argument.count > socket.count {
                self = .user(String(argument.dropFirst(socket.count)))
            } else {
                return nil
            }
        }
    }

    enum RouteName: String, ExpressibleByArgument, CaseIterable {
        case auto
        case group
        case cdev
    }

    @Option(
        help: ArgumentHelp(
            "Who answers: this machine's kernel, a VFIO kernel inside this process, or a vfio-user server.",
            discussion: """
                The default is linux, and soft where --machine is given. A server's device is 0000:00:00.0.
                """, valueName: "linux|soft|user:socket"),
        completion: .custom(Completion.hosts))
    var host: Kind?

    @Option(
        help: ArgumentHelp("The software machine, as a JSON file.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    var machine: String?

    @OptionGroup var folders: FolderOptions
    @OptionGroup var faults: FaultOptions
    @OptionGroup var trace: TraceOption

    @Option(
        help: ArgumentHelp(
            "The way in: container and group, or device node and iommufd.", valueName: "auto|group|cdev"))
    var route: RouteName = .auto

    var routeChoice: RouteChoice {
        switch route {
        case .auto: .automatic
        case .group: .group
        case .cdev: .cdev
        }
    }

    /// The host that was asked for.
    /// - Parameter level: how often `-v` has to be given for its calls to be printed.
    func makeHost(printingCallsAt level: Int = 1) throws(CommandFailure) -> any Host {
        try trace.added(
            to: try Self.makeHost(host, machine, faults, folders: folders, sample: Self.sampleMachine),
            printingAt: level)
    }

    /// The host that was asked for.
    /// - Parameters:
    ///   - faults: what is to go wrong besides what the machine's description says.
    ///   - folders: where this machine's kernel tells its facts.
    ///   - sample: makes the software machine where none is described.
    static func makeHost(
        _ host: Kind?, _ machine: String?, _ faults: FaultOptions, folders: FolderOptions? = nil,
        sample: () throws(CommandFailure) -> MachineDescription
    ) throws(CommandFailure) -> any Host {
        let isLinux = machine == nil && (host == nil || host == .linux)
        if !isLinux, let name = folders?.given.first {
            throw .wrongUsage(
                "\(name) is where a kernel of Linux tells its facts", remedy: "use it with --host linux")
        }
        switch (host, machine) {
        case (.linux, .some), (.user, .some):
            throw .wrongUsage("--machine describes a software machine", remedy: "use it with --host soft")
        case (.linux, nil), (nil, nil):
            try faults.requireNone()
            return folders?.roots.host ?? LinuxHost()
        case (.user(let path), nil):
            try faults.requireNone()
            do throws(ClientFailure) {
                return try VFIOUserHost(connecting: path)
            } catch {
                throw Self.unreachable(path, error)
            }
        case (.soft, .some(let path)), (nil, .some(let path)):
            return try softwareHost(try faults.added(to: try MachineFile.read(path)), path)
        case (.soft, nil): return try softwareHost(try faults.added(to: try sample()), nil)
        }
    }

    /// A vfio-user server that isn't to be had.
    private static func unreachable(_ path: String, _ error: ClientFailure) -> CommandFailure {
        let remedy =
            switch error {
            case .unreachable(.noSuchEntry), .unreachable(.connectionRefused):
                "start a server there: vfio serve edu --socket \(path)"
            case .unreachable(.accessDenied): "see who may connect with ls -l \(path)"
            case .unreachable(let errno): CommandFailure.fileRemedy(path, isWritten: false, errno)
            default: "see what the server says; vfio serve --trace writes every message"
            }
        return .refused("\(path): \(error)", remedy: remedy)
    }

    private static func softwareHost(
        _ machine: MachineDescription, _ path: String?
    ) throws(CommandFailure) -> SoftwareHost {
        do throws(MachineError) {
            return try SoftwareHost(machine)
        } catch {
            throw .wrongUsage(
                "\(path ?? "the machine"): \(error)",
                remedy: "correct the file; Documentation/TestingWithoutHardware.md has whole machines")
        }
    }

    /// What `--host soft` means where no machine is described: an empty NVMe disk, an educational device, and a display
    /// and a serial card that are mediated.
    static func sampleMachine() throws(CommandFailure) -> MachineDescription {
        do throws(BlockStoreError) {
            let namespace = try NVMeNamespace(try MemoryStore(byteCount: 64 << 20))
            var machine = MachineDescription {
                IOMMUGroup(26) { PCIDevice(NVMeController([namespace]), at: "0000:01:00.0") }
                IOMMUGroup(27) { PCIDevice(Educational(), at: "0000:02:00.0") }
            }
            machine.mediatedParents = MediatedParents.make()
            machine.mediatedDevices = [
                MediatedDeviceName("5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01", type: "mdpy-vga", of: "mdpy"),
                MediatedDeviceName("5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a02", type: "mtty-2", of: "mtty"),
            ]
            return machine
        } catch {
            throw .refused(
                "the sample machine's disk: \(error)", remedy: "describe a machine with --machine FILE")
        }
    }
}

/// A device of any bus as it is named on a command line.
struct NamedDeviceArgument: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "The device: its PCI address, the UUID of a mediated device, or bus/name for other buses.",
            valueName: "device"), completion: .custom(Completion.devices))
    var device: String

    /// What it is called.
    func id() throws(CommandFailure) -> DeviceID { try Self.id(device) }

    /// What a device that was named so is called.
    static func id(_ device: String) throws(CommandFailure) -> DeviceID {
        guard let id = DeviceID(device) else {
            throw .wrongUsage(
                "\"\(device)\" is neither a PCI address nor another name; they look like 0000:01:00.0, "
                    + "5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01 or platform/fff51000.ethernet",
                remedy: NextStep.listDevices)
        }
        return id
    }
}

/// A device as it is named on a command line.
struct DeviceArgument: ParsableArguments {
    @Argument(
        help: ArgumentHelp("The device's address, e.g. 0000:01:00.0.", valueName: "bdf"),
        completion: .custom(Completion.addresses))
    var bdf: String

    /// The address.
    func address() throws(CommandFailure) -> PCIAddress {
        guard let address = PCIAddress(bdf) else {
            throw .wrongUsage(
                "\"\(bdf)\" isn't a PCI address; one looks like 0000:01:00.0", remedy: NextStep.listDevices)
        }
        return address
    }
}

/// Runs something on a disk and turns what it throws into what the command says.
func speakingNVMe<R: ~Copyable>(_ body: () throws(NVMeError) -> R) throws(CommandFailure) -> R {
    do throws(NVMeError) { return try body() } catch { throw .of(error) }
}

extension CommandFailure {
    /// What the NVMe driver threw.
    static func of(_ error: NVMeError) -> CommandFailure {
        let next =
            switch error.reason {
            case .vfio(let cause) where cause.code == .noSuchDevice: NextStep.listDevices
            case .badAddress: NextStep.listDevices
            case .notNVMe: "vfio list --class nvme shows the disks"
            case .noNamespace: "vfio nvme identify shows the namespaces"
            case .outOfRange, .wrongLength, .tooLarge: "vfio nvme identify tells how large the disk is"
            case .deviceGone:
                "look whether it is still there with vfio list, and in the kernel's log with dmesg"
            case .timedOut, .controllerFatal, .stopped:
                "run it again: the controller is reset when it is opened; -v shows the calls"
            default: NextStep.seeCalls
            }
        return CommandFailure.refused("\(error)").orElse(try: next)
    }
}

/// The inventory of a host.
func inventory(of host: any Host) throws(CommandFailure) -> Inventory {
    do throws(InventoryError) {
        return try host.inventory()
    } catch {
        throw .undetermined(
            "\(error.path) can't be read: \(error.errno)",
            remedy: "see that sysfs is mounted (mount -t sysfs), or say where with --sysfs")
    }
}
