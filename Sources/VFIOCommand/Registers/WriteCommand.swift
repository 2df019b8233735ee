import ArgumentParser
import JSONText
import VFIO
import VFIOHost
import VFIOOperator

/// `vfio write DEVICE WHERE VALUE …`: writes registers of a device.
struct WriteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "write",
        abstract: "Write registers of a device, and read them before and afterwards.",
        discussion: """
            WHERE is as for vfio read; several pairs of WHERE and VALUE are written one after another while the device \
            is open. Most drivers of VFIO reset a device when it is opened and when it is closed: what is written lasts \
            until the command ends.
            """)

    @OptionGroup var options: HostOptions
    @OptionGroup var named: NamedDeviceArgument
    @Argument(
        help: ArgumentHelp("Places and values: WHERE VALUE, as often as wanted.", valueName: "where value"))
    var pairs: [String]
    @Option(
        help: ArgumentHelp(
            "Bytes of a word: 1, 2, 4 or 8; as many as the register has, or 4.", valueName: "bytes"))
    var width: Int?
    @Option(help: ArgumentHelp("Change these bits only; the others keep what is read.", valueName: "bits"))
    var mask: String?
    @Flag(help: "Read registers before and afterwards, too, that can be written only, such as doorbells.")
    var readBack = false
    @Flag(help: "Open the device and read, but write nothing.") var dryRun = false
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard pairs.count >= 2, pairs.count % 2 == 0 else {
            throw ValidationError("each place needs a value: vfio write DEVICE config:COMMAND 0x6")
        }
        try RegisterArguments.check(width)
    }

    func run() throws {
        let id = try named.id()
        var writes: [(place: RegisterPlace, value: UInt64)] = []
        for index in stride(from: 0, to: pairs.count, by: 2) {
            writes.append(
                (
                    try RegisterArguments.place(pairs[index]),
                    try RegisterArguments.value(pairs[index + 1], "the value")
                ))
        }
        let writing = RegisterWriting(
            width: width, mask: try mask.map { try RegisterArguments.value($0, "the mask") },
            readsAll: readBack,
            isPretended: dryRun)
        let host = try options.makeHost()
        let choice = options.routeChoice
        let registers = try speaking { () throws(VFIOError) in
            try DeviceRegisters(of: id, on: host, choice, roots: nil)
        }
        var changes: [RegisterChange] = []
        var failure: CommandFailure?
        for (place, value) in writes {
            do throws(CommandFailure) {
                let change = try speaking { () throws(VFIOError) in
                    try registers.write(value, to: place, writing)
                }
                changes.append(change)
                if !json { RegisterText.print(change) }
            } catch {
                failure = error
                break
            }
        }
        if json {
            let members: [JSON.Member] = [
                JSON.Member("version", .integer(Int64(RegisterReading.version))),
                JSON.Member("device", .string(registers.deviceName)),
                JSON.Member("dryRun", .bool(dryRun)),
                JSON.Member("changes", .array(changes.map(\.json))),
            ]
            print(JSON.object(members).indentedText())
        } else if !dryRun, !changes.isEmpty, registers.device?.canReset == true {
            print("The device is closed now, which resets it: what was written is gone.")
        }
        if let failure { throw failure }
    }
}
