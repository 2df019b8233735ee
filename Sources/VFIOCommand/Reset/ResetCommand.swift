import ArgumentParser
import VFIO
import VFIOHost
import VFIOOperator

/// `vfio reset DEVICE`: resets a device, alone or with its bus.
struct ResetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reset",
        abstract: "Reset a device, alone or with its whole slot or bus.",
        discussion: """
            Alone, the kernel takes the first of the device's ways that works: those in sysfs `reset_method`. With \
            --hot every function of the slot or bus is reset, which only whoever has all of them may do: what VFIO's \
            drivers have and nobody uses is opened for it, and the command refuses, by name, where that can't be. \
            Exit code 3: a device doesn't answer afterwards.
            """)

    @OptionGroup var options: HostOptions
    @OptionGroup var named: NamedDeviceArgument
    @Flag(help: "Reset the slot or bus, with every function there.") var hot = false
    @Flag(
        help:
            "Say what would be reset, and reset nothing. The device isn't opened, because that resets it with most drivers."
    )
    var dryRun = false
    @Flag(help: "Print JSON.") var json = false

    func run() throws {
        let id = try named.id()
        let host = try options.makeHost()
        let choice = options.routeChoice
        let way: DeviceReset.Way = hot ? .hot : .device
        // A server tells of its device only to whoever opens it, and that resets nothing.
        let opens = !dryRun || host.kind == .vfioUser
        try options.withRoots(of: host) { roots in
            let reset = try speaking { () throws(VFIOError) in
                try DeviceReset(of: id, on: host, choice, opening: opens, roots: roots)
            }
            let text = ResetText(reset, way)
            if dryRun { return try finish(text, nil, nil) }
            if !json { text.printFacts() }
            let outcome: DeviceReset.Outcome
            do throws(VFIOError) {
                outcome = try reset.run(way)
            } catch {
                return try finish(text, nil, error)
            }
            try finish(text, outcome, nil)
        }
    }

    private func finish(
        _ text: ResetText, _ outcome: DeviceReset.Outcome?, _ failure: VFIOError?
    ) throws(CommandFailure) {
        if json {
            try JSONOutput.print(ResetReport(text.reset, text.way, outcome, failure, isDryRun: dryRun))
        } else if dryRun {
            text.printFacts()
            text.printPlan()
        } else if let outcome {
            text.print(outcome)
        }
        if let failure { throw .refused("\(failure)") }
        if dryRun, let reason = text.reason { throw .refused(reason) }
        if let outcome, !outcome.silent.isEmpty {
            throw .undetermined(
                "\(outcome.silent.joined(separator: ", ")) doesn't answer after the reset: its configuration space "
                    + "reads all ones; "
                    + (outcome.way == .hot
                        ? "switch the machine off and on" : "try vfio reset \(text.reset.name) --hot"))
        }
    }
}

/// A reset for people.
struct ResetText {
    let reset: DeviceReset
    let way: DeviceReset.Way

    /// Whether it has a PCI function's name; of others the machine tells less.
    private var isPCI: Bool { PCIAddress(reset.name) != nil }

    init(_ reset: DeviceReset, _ way: DeviceReset.Way) {
        self.reset = reset
        self.way = way
    }

    /// Prints which ways there are, and what a hot reset hits.
    func printFacts() {
        let console = Console()
        console.heading(reset.name)
        if let isOffered = reset.isOffered {
            print(isOffered ? "  VFIO offers to reset it alone" : "  VFIO has no way of resetting it alone")
        }
        if !reset.methods.isEmpty {
            print("  the kernel's ways, in this order: \(reset.methods.joined(separator: ", "))")
        } else if reset.isOffered == nil {
            print(
                isPCI
                    ? "  the kernel has no way of resetting it alone"
                    : "  only the open device tells whether it can be reset")
        }
        if let refusal = reset.hotResetRefusal {
            print("  no hot reset: \(refusal)")
        } else if !reset.functions.isEmpty {
            print(
                reset.isScopeCertain
                    ? "  a hot reset resets:"
                    : "  a hot reset would reset the functions of its bus, if there is a bridge that can do it:"
            )
            for function in reset.functions { print("    " + line(function)) }
        }
    }

    private func line(_ function: DeviceReset.Function) -> String {
        var parts: [String] = []
        if let group = function.group { parts.append("group \(group)") }
        parts.append(function.driver ?? "no driver")
        if !function.holders.isEmpty { parts.append("open in \(function.holders.joined(separator: ", "))") }
        let own = "\(function.address)" == reset.name ? " (this device)" : ""
        return "\(function.address): \(parts.joined(separator: ", "))\(own)"
    }

    /// Why the reset that was asked for would be refused, as far as that can be told; nil if nothing is known.
    var reason: String? {
        switch way {
        case .device:
            if let obstacle = reset.obstacle {
                return "\(reset.name) can't be opened: \(obstacle): vfio doctor \(reset.name)"
            }
            guard reset.isOffered == false || reset.isOffered == nil && isPCI && reset.methods.isEmpty else {
                return nil
            }
            return "\(reset.name) has no way of being reset alone; see what --hot would reset"
        case .hot:
            if let refusal = reset.hotResetRefusal { return "\(reset.name) has no hot reset: \(refusal)" }
            if let obstacle = reset.obstacle {
                return "\(reset.name) can't be opened: \(obstacle): vfio doctor \(reset.name)"
            }
            if reset.functions.isEmpty {
                return
                    "\(reset.name) has no hot reset: it isn't a PCI function of this machine; try it without --hot"
            }
            guard let function = reset.functions.first(where: { $0.obstacle != nil }),
                let obstacle = function.obstacle
            else { return nil }
            return "\(function.address) would be reset with \(reset.name), and \(obstacle): "
                + (function.holders.isEmpty
                    ? "vfio bind \(function.address)" : function.holders.joined(separator: ", "))
        }
    }

    /// Prints what would be done.
    func printPlan() {
        guard reason == nil else { return }
        switch way {
        case .device: print("would reset \(reset.name) alone")
        case .hot:
            let all = reset.functions.map { "\($0.address)" }.joined(separator: ", ")
            print("would reset by a hot reset: \(all)")
        }
    }

    /// Prints what was done.
    func print(_ outcome: DeviceReset.Outcome) {
        let what = outcome.functions.joined(separator: ", ")
        let how = outcome.way == .hot ? " by a hot reset" : ""
        let answer =
            outcome.silent.isEmpty
            ? "it answers" : "\(outcome.silent.joined(separator: ", ")) doesn't answer"
        print("reset \(what)\(how) in \(Human.nanoseconds(outcome.nanoseconds)); \(answer)")
    }

    private func print(_ line: String) { Swift.print(line) }
}

/// What `vfio reset --json` prints.
struct ResetReport: Encodable {
    let version = 1
    let device: String
    let way: String
    let dryRun: Bool
    let isOffered: Bool?
    let methods: [String]
    let hotReset: [Function]?
    let isScopeCertain: Bool
    let hotResetRefusal: String?
    let isDone: Bool
    let reset: [String]?
    let silent: [String]?
    let nanoseconds: UInt64?
    let failure: String?

    struct Function: Encodable {
        let address: String
        let group: Int?
        let driver: String?
        let holders: [String]?
        let obstacle: String?
    }

    init(
        _ reset: DeviceReset, _ way: DeviceReset.Way, _ outcome: DeviceReset.Outcome?, _ failure: VFIOError?,
        isDryRun: Bool
    ) {
        device = reset.name
        self.way = way.rawValue
        dryRun = isDryRun
        isOffered = reset.isOffered
        methods = reset.methods
        hotReset =
            reset.functions.isEmpty
            ? nil
            : reset.functions.map {
                Function(
                    address: "\($0.address)", group: $0.group, driver: $0.driver,
                    holders: $0.holders.isEmpty ? nil : $0.holders, obstacle: $0.obstacle)
            }
        isScopeCertain = reset.isScopeCertain
        hotResetRefusal = reset.hotResetRefusal
        isDone = outcome != nil
        self.reset = outcome?.functions
        silent = outcome?.silent
        nanoseconds = outcome?.nanoseconds
        self.failure = failure.map { "\($0)" }
    }
}
