import ArgumentParser
import JSONText
import VFIO
import VFIOHost
import VFIOOperator

/// `vfio read DEVICE WHERE…`: registers of a device.
struct ReadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "read",
        abstract: "Read registers of a device, by place or name.",
        discussion: """
            WHERE is a region and an offset (bar0:0x14, config:4, rom:0, vga:0x3c0, region3:0) or a name \
            (config:COMMAND, config:PCIE.DEVCTL, config:AER+0x10, bar0:CSTS); --list prints the names. Several are read \
            one after another while the device is open. Most drivers of VFIO reset a device that is opened. Where it \
            can't be opened, or with --no-open, configuration space is read from sysfs. Exit code 3: what was read is \
            from a device that doesn't answer.
            """)

    @OptionGroup var options: HostOptions
    @OptionGroup var named: NamedDeviceArgument
    @Argument(help: ArgumentHelp("The places to read.", valueName: "where"))
    var places: [String] = []
    @Option(
        help: ArgumentHelp(
            "Bytes of a word: 1, 2, 4 or 8; as many as the register has, or 4.", valueName: "bytes"))
    var width: Int?
    @Option(help: ArgumentHelp("How many words to read, from the place on.", valueName: "n"))
    var count: Int?
    @Flag(help: "Print the names that there are, with their places.") var list = false
    @Flag(help: "Don't open the device: read its configuration space from sysfs.") var noOpen = false
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard list != !places.isEmpty else {
            throw ValidationError(
                list
                    ? "--list prints all names: name no place besides"
                    : "name a place, such as config:COMMAND or bar0:0; --list prints the names")
        }
        try RegisterArguments.check(width)
        guard count.map({ (1...DeviceRegisters.mostBytes).contains($0) }) ?? true else {
            throw ValidationError("--count is 1 to \(DeviceRegisters.mostBytes)")
        }
    }

    func run() throws {
        let id = try named.id()
        let places = try places.map { try RegisterArguments.place($0) }
        let host = try options.makeHost()
        guard !noOpen || host.kind != .vfioUser else {
            throw CommandFailure.wrongUsage(
                "a server shows its device to whoever opens it only: leave --no-open away")
        }
        let opens = !noOpen
        let choice = options.routeChoice
        try options.withRoots(of: host) { roots in
            // Who names a way in wants that and no other; what a server's device shows can't be had otherwise.
            let falls = noOpen || options.route == .auto && host.kind != .vfioUser
            let registers = try speaking { () throws(VFIOError) in
                try DeviceRegisters(of: id, on: host, choice, opening: opens, roots: falls ? roots : nil)
            }
            if list { return try RegisterText.list(registers, json: json) }
            try read(places, registers)
        }
    }

    private func read(_ places: [RegisterPlace], _ registers: DeviceRegisters) throws {
        if let refusal = registers.refusal, places.contains(where: { $0.region != .configuration }) {
            throw CommandFailure.of(refusal)
        }
        var readings: [RegisterReading] = []
        var failure: CommandFailure?
        for place in places {
            do throws(CommandFailure) {
                let reading = try speaking { () throws(VFIOError) in
                    try registers.read(place, width: width, count: count)
                }
                readings.append(reading)
                if !json { RegisterText.print(reading) }
            } catch {
                failure = error
                break
            }
        }
        if json {
            let members: [JSON.Member] = [
                JSON.Member("version", .integer(Int64(RegisterReading.version))),
                JSON.Member("device", .string(registers.deviceName)),
                JSON.Member("readings", .array(readings.map(\.json))),
            ]
            print(JSON.object(members).indentedText())
        }
        if let refusal = registers.refusal {
            Console.complain("vfio: read from sysfs, because the device couldn't be opened: \(refusal)")
        }
        if let failure { throw failure }
        if readings.contains(where: \.isCertainlyGone) {
            throw CommandFailure.undetermined(
                "\(registers.deviceName) doesn't answer: its configuration space reads all ones, too; "
                    + "vfio doctor \(registers.deviceName) looks for the reason, vfio reset may help")
        }
    }
}
