import ArgumentParser
import VFIOHost
import VFIOOperator

/// `vfio bind`: gives devices to a VFIO driver, or to another.
struct BindCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bind",
        abstract: "Give devices to a VFIO driver, whole groups at a time.",
        discussion: """
            Refuses what would do harm: a mounted disk, swap, an interface that is up, a device that somebody has open. \
            What the devices were is remembered, for `vfio restore`; if a write fails, all of them are as they were.
            """)

    @OptionGroup var options: BindOptions
    @OptionGroup var devices: BindDevices

    @Option(
        help: ArgumentHelp(
            "The driver; the VFIO driver of the device's bus if none is named.", valueName: "name"),
        completion: .custom(Completion.drivers))
    var driver: String?

    @Flag(help: "Take the other members of the devices' groups too, except for bridges.")
    var wholeGroup = false

    func run() throws {
        let ids = try devices.ids()
        try options.carryOut(.bind) { binder throws(BindRefusal) in
            try binder.planBinding(ids, to: driver, wholeGroup: wholeGroup)
        }
    }
}

/// `vfio unbind`: takes devices from their drivers.
struct UnbindCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unbind", abstract: "Take devices from their drivers, and leave them without one.",
        discussion: "What the devices were is remembered, for `vfio restore`.")

    @OptionGroup var options: BindOptions
    @OptionGroup var devices: BindDevices

    func run() throws {
        let ids = try devices.ids()
        try options.carryOut(.unbind) { binder throws(BindRefusal) in try binder.planUnbinding(ids) }
    }
}

/// `vfio restore`: gives devices back.
struct RestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Give devices back to the drivers that they had before `vfio bind` or `vfio unbind`.")

    @OptionGroup var options: BindOptions

    @Flag(help: "All devices whose drivers were changed.")
    var all = false

    @Argument(
        help: ArgumentHelp("The devices.", valueName: "device"), completion: .custom(Completion.devices))
    var devices: [String] = []

    func run() throws {
        guard all != !devices.isEmpty else {
            throw CommandFailure.wrongUsage(
                all ? "--all means every device, and some are named besides" : "no device is named",
                remedy: all ? "leave --all or the names away" : "name devices, or use --all")
        }
        let ids = all ? nil : try BindDevices.ids(devices)
        try options.carryOut(.restore) { binder throws(BindRefusal) in try binder.planRestoring(ids) }
    }
}

/// The devices that a verb is for.
struct BindDevices: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "The devices: PCI addresses, or bus/name for other buses.", valueName: "device"),
        completion: .custom(Completion.devices))
    var devices: [String]

    func ids() throws(CommandFailure) -> [DeviceID] { try Self.ids(devices) }

    static func ids(_ names: [String]) throws(CommandFailure) -> [DeviceID] {
        var ids: [DeviceID] = []
        for name in names {
            ids.append(try NamedDeviceArgument.id(name))
        }
        return ids
    }
}
