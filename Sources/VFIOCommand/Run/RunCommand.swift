import ArgumentParser
import JSONText
import LinuxSystem
import MachineFormat
import SoftwareHost
import VFIOHost

/// `vfio run -- PROGRAM …`: a program that wasn't written for it on the software kernel.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a VFIO program, unchanged, on a machine in software: no hardware, no rights.",
        discussion: """
            A small library is loaded under the program. In it live a VFIO kernel and the machine's devices; the \
            program finds /dev/vfio, /dev/iommu and /sys as on a machine that has the hardware.

            Without --machine and --device the machine has an NVMe disk at 0000:01:00.0 (group 26) and an \
            educational device at 0000:02:00.0 (group 27).

            Programs that don't go through the C library can't be reached this way: statically linked ones, those \
            that run with another user's rights (setuid, file capabilities), those for another processor or another C \
            library, and what programs do by system calls of their own, as Go's do. Such a program is refused, or, in \
            Go, warned of; --anyway starts it, for instance a static shell whose children can be reached. What a \
            program starts later isn't looked at: a child that can't be reached finds the names of nodes that can't be \
            opened (ENXIO) if it was given their folder, and this computer's own devices otherwise.

            With -v the calls are printed when the program has ended; `vfio trace show` prints those of --trace at any \
            time. Ends with the program's own exit code, or 128 and the number of the signal that ended it.

            Examples:
              vfio run -- ls -l /sys/bus/pci/devices /dev/vfio
              vfio run --device nvme,image=disk.img -- qemu-system-x86_64 -device vfio-pci,host=01:00.0 …
            """)

    @Option(
        help: ArgumentHelp("The machine, as a JSON file.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    var machine: String?

    @Option(
        name: .customLong("device"),
        help: ArgumentHelp(
            "A device by its model, and what else a machine file says of it; may be given several times.",
            discussion: """
                For instance "edu", or "nvme,image=disk.img,address=0000:05:00.0,group=30". Without an address \
                they come at 0000:01:00.0, 0000:02:00.0, …, each in a group of its own from 26 on.
                """, valueName: "model[,key=value…]"), completion: .list(MachineFile.models))
    var devices: [String] = []

    @Option(
        help: ArgumentHelp(
            "What the program may map of a device's registers.",
            discussion: """
                trapped: all, and each access is caught and carried out. unmapped: only plain memory; registers are \
                read and written at offsets. auto: unmapped for QEMU, for which that is the exact and fastest way; \
                trapped for others.
                """, valueName: "auto|trapped|unmapped"))
    var bars: MappedBARs = .auto

    @OptionGroup var faults: FaultOptions
    @OptionGroup var trace: TraceOption

    @Flag(help: "Start the program even if the library can't be loaded under it.")
    var anyway = false

    @Argument(
        parsing: .postTerminator, help: ArgumentHelp("The program and its arguments.", valueName: "program"),
        completion: .file())
    var program: [String] = []

    func validate() throws {
        if program.isEmpty {
            throw ValidationError("Say which program: vfio run [options] -- PROGRAM [arguments]")
        }
        if machine != nil && !devices.isEmpty {
            throw ValidationError(
                "--device adds to the machine of the command line, not to that of --machine")
        }
    }

    func run() throws {
        if let known = ForeignProgram(program[0]), let complaint = known.complaint {
            guard anyway || known.obstacle == .isGo else {
                throw CommandFailure.refused(
                    complaint,
                    remedy: "--anyway starts it all the same, for instance for what it starts itself")
            }
            Console.complain("vfio: \(complaint)")
        }
        let plan = try RunPlan(machine: machine, devices: devices, faults: faults)
        let library = try PreloadLibrary.find()
        let calls = try RunTrace(trace)
        defer { calls.end() }
        let folder = try RunFolder(plan, bars: bars, trace: calls.path, program: program[0])
        var preload = library
        if let former = ChildProcess.environmentValue("LD_PRELOAD"), !former.isEmpty {
            preload += ":" + former
        }
        let ending: ChildProcess.Ending
        do throws(Errno) {
            ending = try ChildProcess.runInFront(
                program[0], Array(program.dropFirst()),
                variables: [("LD_PRELOAD", preload), (RunFolder.variable, folder.path)],
                // The library never holds SIGSEGV back: SIGSTKFLT's place in the mask stands for it (`SignalSet`).
                standIn: 16)
        } catch {
            folder.remove()
            throw CommandFailure.refused(
                "\(program[0]) can't be started: \(error)",
                remedy: error == .noSuchEntry
                    ? "look for the name's mistake, or give the program's whole path"
                    : "see that it is a program that you may run, with ls -l")
        }
        folder.removeWhenUnused()
        switch ending {
        case .exited(0): break
        case .exited(let code): throw ExitCode(code)
        case .signalled(let number):
            Console.complain("vfio: \(program[0]) was ended by signal \(number)")
            throw ExitCode(128 + number)
        }
    }
}

/// What a program under `vfio run` may map of a device's registers.
enum MappedBARs: String, ExpressibleByArgument, CaseIterable {
    case auto, trapped, unmapped
}

/// What a run needs: the machine's document, and the machine that it makes.
struct RunPlan {
    /// The machine, as in a machine file.
    let document: JSON
    /// What relative paths in it are put behind; ends with a slash.
    let folder: String

    init(machine: String?, devices: [String], faults: FaultOptions) throws(CommandFailure) {
        var document: JSON
        if let machine {
            let bytes = try MachineFile.text(of: machine)
            do throws(JSONError) {
                document = try JSON(bytes, maximumDepth: 16, maximumCount: 65_536)
            } catch {
                throw .wrongUsage("\(machine): isn't JSON: \(error)", remedy: MachineFile.remedy)
            }
            folder = try Self.absolute(MachineFile.folder(of: machine))
        } else {
            document = try Self.document(devices.isEmpty ? ["nvme", "edu"] : devices)
            folder = try Self.absolute("")
        }
        document = Self.adding(faults, to: document)
        self.document = document
    }

    /// The machine, made to see whether it can be.
    func makeHost() throws(CommandFailure) -> SoftwareHost {
        let description: MachineDescription
        do throws(StrictObject.Problem) {
            description = try MachineFile.machine(document, folder: folder)
        } catch {
            throw .wrongUsage("the machine: \(error)", remedy: MachineFile.remedy)
        }
        do throws(MachineError) {
            return try SoftwareHost(description)
        } catch {
            throw .wrongUsage("the machine: \(error)", remedy: MachineFile.remedy)
        }
    }

    static func absolute(_ folder: String) throws(CommandFailure) -> String {
        if folder.hasPrefix("/") { return folder }
        do throws(Errno) {
            return try FileSystem.linkTarget("/proc/self/cwd") + "/" + folder
        } catch {
            throw .refused("the current folder can't be told: \(error)", remedy: "cd to one that is there")
        }
    }

    /// A machine of devices as the command line names them, each in a group of its own unless they say otherwise.
    private static func document(_ devices: [String]) throws(CommandFailure) -> JSON {
        var groups: [(number: UInt64, devices: [JSON])] = []
        for (index, text) in devices.enumerated() {
            var parts = text.split(separator: ",", omittingEmptySubsequences: false)
            let model = parts.removeFirst()
            var members = [JSON.Member("model", .string(String(model)))]
            var group = UInt64(26 + index)
            var hasAddress = false
            for part in parts {
                let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard pair.count == 2, !pair[0].isEmpty else {
                    throw .wrongUsage(
                        "--device \(text): \"\(part)\" isn't like key=value",
                        remedy: "say for instance --device nvme,image=disk.img,address=0000:05:00.0")
                }
                let value = String(pair[1])
                if pair[0] == "group" {
                    guard let number = UInt64(value) else {
                        throw .wrongUsage(
                            "--device \(text): \"\(value)\" isn't a group's number",
                            remedy: "say for instance group=30")
                    }
                    group = number
                    continue
                }
                if pair[0] == "address" { hasAddress = true }
                let isSwitch = value == "true" || value == "false"
                members.append(.init(String(pair[0]), isSwitch ? .bool(value == "true") : .string(value)))
            }
            if !hasAddress {
                let next = PCIAddress(bus: UInt8(clamping: index + 1), device: 0, function: 0)
                members.append(.init("address", .string("\(next)")))
            }
            if let at = groups.firstIndex(where: { $0.number == group }) {
                groups[at].devices.append(.object(members))
            } else {
                groups.append((group, [.object(members)]))
            }
        }
        return .object([
            .init(
                "groups",
                .array(
                    groups.map { group in
                        .object([
                            .init("number", .integer(Int64(clamping: group.number))),
                            .init("devices", .array(group.devices)),
                        ])
                    }))
        ])
    }

    /// A machine's document with faults besides its own.
    private static func adding(_ faults: FaultOptions, to document: JSON) -> JSON {
        guard case .object(var members) = document else { return document }
        if let seed = faults.seed {
            members.removeAll { $0.name == "seed" }
            members.append(.init("seed", .string("\(seed)")))
        }
        if !faults.faults.isEmpty {
            var all: [JSON] = []
            if case .array(let own)? = document["faults"] { all = own }
            all += faults.faults.map { .string($0) }
            members.removeAll { $0.name == "faults" }
            members.append(.init("faults", .array(all)))
        }
        return .object(members)
    }
}

/// The library that is loaded under programs.
enum PreloadLibrary {
    private static let name = "libvfio-preload.so"

    /// Its path: what `VFIO_PRELOAD_LIBRARY` names, or next to this program, or in its `../lib`, or where a build of
    /// this package puts it. In a checkout of the package it is built if it isn't there yet, or is older than its
    /// sources.
    static func find() throws(CommandFailure) -> String {
        if let told = ChildProcess.environmentValue("VFIO_PRELOAD_LIBRARY") {
            guard FileSystem.exists(told) else {
                throw .refused(
                    "VFIO_PRELOAD_LIBRARY names \(told), which isn't there",
                    remedy: "unset it, or have it name \(name)")
            }
            return told
        }
        guard let program = try? FileSystem.linkTarget("/proc/self/exe") else {
            throw .undetermined(
                "/proc/self/exe can't be read, so the library isn't found",
                remedy: "mount /proc, or set VFIO_PRELOAD_LIBRARY")
        }
        var folder = parent(of: program)
        for place in [folder + "/" + name, folder + "/../lib/" + name] where FileSystem.exists(place) {
            return place
        }
        while !folder.isEmpty {
            let package = folder + "/Embedded"
            if FileSystem.exists(package + "/Package.swift"), FileSystem.exists(package + "/Preload.map") {
                return try build(package)
            }
            folder = parent(of: folder)
        }
        throw .refused(
            "\(name) is neither in \(parent(of: program)) nor in its ../lib",
            remedy: "install it there (Scripts/install), or have VFIO_PRELOAD_LIBRARY name it")
    }

    private static func build(_ package: String) throws(CommandFailure) -> String {
        let library = package + "/.build/release/" + name
        let sources = parent(of: package) + "/Sources"
        if let built = try? FileSystem.status(library).changed, built >= newest(in: sources, depth: 4) {
            return library
        }
        Console.complain("vfio: building \(name) (about two minutes the first time)")
        let ending = try? ChildProcess.runInFront(
            "swift",
            [
                "build", "--package-path", package, "-c", "release", "--product", "vfio-preload", "--quiet",
            ], variables: [])
        guard case .exited(0)? = ending, FileSystem.exists(library) else {
            throw .refused(
                "\(name) couldn't be built",
                remedy: "see what swift build --package-path \(package) -c release says")
        }
        return library
    }

    /// When the newest file of a folder was changed, in nanoseconds.
    private static func newest(in folder: String, depth: Int) -> UInt64 {
        guard depth > 0, let names = try? FileSystem.names(in: folder) else { return 0 }
        var newest: UInt64 = 0
        for name in names {
            let path = folder + "/" + name
            guard let status = try? FileSystem.status(path) else { continue }
            newest = max(
                newest, status.kind == .directory ? self.newest(in: path, depth: depth - 1) : status.changed)
        }
        return newest
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "" }
        return String(path[..<slash])
    }
}
