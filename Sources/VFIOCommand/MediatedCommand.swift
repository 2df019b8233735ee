import ArgumentParser
import LinuxSystem
import VFIOHost

/// `vfio mdev`: mediated devices, which a driver of the kernel makes up.
struct MediatedCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mdev", abstract: "See, make and remove mediated devices.",
        subcommands: [Types.self, Create.self, Remove.self], defaultSubcommand: Types.self)

    /// Who makes them on a host.
    static func maker(_ options: HostOptions) throws(CommandFailure) -> any MediatedDeviceMaker {
        guard let maker = try options.makeHost().answering as? any MediatedDeviceMaker else {
            throw .refused(
                "this host makes no mediated devices", remedy: "use --host linux or --host soft")
        }
        return maker
    }

    /// `vfio mdev types`
    struct Types: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "types", abstract: "List the types of mediated devices that can be made.")

        @OptionGroup var options: HostOptions
        @Flag(help: "Print JSON.") var json = false

        /// A type as `--json` prints it.
        struct Entry: Encodable {
            let parent: String
            let type: String
            let interface: String
            let available: Int
            let title: String?
            let summary: String?
        }

        /// What `--json` prints.
        struct Report: Encodable {
            let version = 1
            let types: [Entry]
        }

        func run() throws {
            let report = Self.report(try parents())
            if json { return try JSONOutput.print(report) }
            var table = Table(["PARENT", "TYPE", "INTERFACE", "AVAILABLE", "WHAT"], rightAligned: [3])
            for entry in report.types {
                table.add([
                    entry.parent, entry.type, entry.interface, "\(entry.available)",
                    entry.summary ?? entry.title ?? "-",
                ])
            }
            for line in table.lines { print(line) }
            if report.types.isEmpty { print("no device makes mediated devices") }
        }

        private func parents() throws(CommandFailure) -> [MediatedParentRecord] {
            let maker = try MediatedCommand.maker(options)
            do throws(InventoryError) {
                return try maker.mediatedParents()
            } catch {
                throw .undetermined(
                    "\(error.path) can't be read: \(error.errno)",
                    remedy: "load a driver that makes mediated devices, or use --host soft")
            }
        }

        /// The types as they are printed.
        static func report(_ parents: [MediatedParentRecord]) -> Report {
            Report(
                types: parents.flatMap { parent in
                    parent.types.map {
                        Entry(
                            parent: parent.name, type: $0.name, interface: $0.interface,
                            available: $0.availableInstances, title: $0.title, summary: $0.summary)
                    }
                })
        }
    }

    /// `vfio mdev create PARENT TYPE UUID`
    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "create", abstract: "Make a mediated device.")

        @OptionGroup var options: HostOptions
        @Argument(help: "The parent, as `vfio mdev` lists it.") var parent: String
        @Argument(help: "The type, as `vfio mdev` lists it.") var type: String
        @Argument(help: "The UUID that the device will be called by.") var uuid: String
        @Flag(help: "Only say what would be done.") var dryRun = false

        func run() throws {
            guard let id = DeviceID(.mdev, uuid) else {
                throw CommandFailure.wrongUsage("\"\(uuid)\" isn't a UUID", remedy: "uuidgen makes one")
            }
            let maker = try MediatedCommand.maker(options)
            if dryRun { return print("would make \(id) of type \(type) of \(parent)") }
            do throws(Errno) {
                try maker.createMediatedDevice(id.name, type: type, of: parent)
            } catch {
                let cause =
                    switch error {
                    case .noSuchEntry: "\(parent) has no type \(type)"
                    case .exists: "there is a device of that name already"
                    case .noSpace, .tooManyUsers: "nothing is left to make it of"
                    default: "the kernel says no"
                    }
                throw CommandFailure.refused(
                    "\(id): can't be made: \(cause) [\(error)]",
                    remedy: "vfio mdev shows what can be made, and of what")
            }
            print("\(id) is there")
        }
    }

    /// `vfio mdev remove UUID`
    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "remove",
            abstract: "Remove a mediated device; waits while somebody has it open.")

        @OptionGroup var options: HostOptions
        @Argument(help: "The device's UUID.") var uuid: String
        @Flag(help: "Only say what would be done.") var dryRun = false

        func run() throws {
            guard let id = DeviceID(.mdev, uuid) else {
                throw CommandFailure.wrongUsage("\"\(uuid)\" isn't a UUID", remedy: "uuidgen makes one")
            }
            let maker = try MediatedCommand.maker(options)
            if dryRun { return print("would remove \(id)") }
            do throws(Errno) {
                try maker.removeMediatedDevice(id.name)
            } catch {
                throw CommandFailure.refused(
                    "\(id): can't be removed: \(error)", remedy: "vfio list --held shows who has it open")
            }
            print("\(id) is gone")
        }
    }
}
