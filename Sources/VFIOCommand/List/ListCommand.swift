import ArgumentParser
import LinuxSystem
import PCIDecoder
import VFIOHost
import VFIOOperator

/// `vfio list`: the devices and groups of a host.
struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List devices with their group, driver, how they can be opened and who holds them.",
        discussion: """
            A device is ready when a VFIO driver has it and no other member of its IOMMU group has a driver that keeps \
            the group from being used. Bridges that pcieport drives don't. Nothing is changed, and no rights are \
            needed; without those of the super-user, processes of others that hold devices can't be seen, which is said.
            """
    )

    /// What the table is divided by.
    enum Order: String, ExpressibleByArgument, CaseIterable {
        case `class`
        case group
    }

    @OptionGroup(title: "Which devices") var filter: ListFilter
    @Option(help: "What devices are sorted by.") var by: Order = .class
    @Flag(help: "Show the groups with their members as a tree.") var tree = false
    @Flag(
        help: "Show all columns: reset methods, interrupts, NUMA node, power, what was made of it and more.")
    var wide = false
    @Flag(help: "Print JSON (version 2; Documentation/JSON.md tells what is in it).") var json = false
    @Option(
        help: ArgumentHelp("Draw groups, devices, drivers and holders into a file.", valueName: "file"),
        completion: .file(extensions: ["svg"]))
    var svg: String?
    @Option(
        name: .customLong("pci-ids"),
        help: ArgumentHelp(
            "The names of devices, if not those of this machine's pci.ids.", valueName: "file"),
        completion: .file(extensions: ["ids"]))
    var namesFile: String?
    @OptionGroup(title: "Which machine") var options: HostOptions

    func validate() throws {
        if tree && (json || wide) { throw ValidationError("--tree goes neither with --json nor with --wide") }
    }

    func run() throws {
        let wanted = try filter.checked()
        let names = try names()
        let host = try options.makeHost()
        let inventory = try inventory(of: host)
        let machine = try options.withRoots(of: host) { roots in
            // Of a machine inside a process, nobody else holds anything; and this command goes in a moment.
            let holders =
                host.kind == .linux ? Holders(in: roots, except: ProcessLimits.processID) : Holders()
            return MachineFacts(of: inventory, holders: holders, in: roots)
        }
        let shown = machine.devices.filter { wanted.matches($0, of: machine, names: names) }
        if let svg {
            let picture = MachinePicture(of: machine, showing: shown, names: names)
            do throws(Errno) {
                try FileSystem.makeFile(svg, Array(picture.svg.utf8))
            } catch {
                throw CommandFailure.file(svg, .written, error)
            }
            if !json { return print("\(svg): \(picture.summary)") }
        }
        if json { return try JSONOutput.print(ListReport(machine, showing: shown, names: names)) }
        ListText(machine: machine, shown: shown, names: names, console: Console()).write(
            tree ? .tree : by == .group ? .groups(isWide: wide) : .classes(isWide: wide))
    }

    private func names() throws(CommandFailure) -> PCINames {
        guard let namesFile else { return .ofThisMachine() }
        do throws(Errno) {
            return try PCINames(readingFile: namesFile)
        } catch {
            throw .file(namesFile, .read, error)
        }
    }
}
