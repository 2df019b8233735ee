import ArgumentParser
import LinuxSystem
import SoftwareHost
import VFIOHost
import VFIOOperator

/// What the verbs that change drivers have in common.
struct BindOptions: ParsableArguments {
    @OptionGroup var host: HostOptions

    @Flag(help: "Only print the writes, in order, as a shell would make them.")
    var dryRun = false

    @Flag(help: "Print JSON.") var json = false

    @Option(
        help: ArgumentHelp(
            "How long a write may take, in seconds: after that it is left alone, and the other devices' turns come.",
            valueName: "seconds"))
    var timeout = 15.0

    @Option(
        help: ArgumentHelp(
            "Where the previous drivers are remembered, if not in /run/vfio/bindings.json.",
            valueName: "file"), completion: .file(extensions: ["json"]))
    var state: String?

    func validate() throws {
        guard timeout > 0, timeout <= 86_400 else {
            throw ValidationError("--timeout is between 0 and 86400 seconds")
        }
    }

    /// Plans a change, and makes it unless it is only to be shown.
    func carryOut(
        _ purpose: BindPlan.Purpose, _ plan: (Binder) throws(BindRefusal) -> BindPlan
    ) throws {
        let host = try self.host.makeHost()
        if host.kind == .vfioUser {
            throw CommandFailure.refused(
                "a vfio-user server's device has no driver that could be changed", remedy: "use it as it is")
        }
        try self.host.withRoots(of: host) { roots in
            let binder = try binder(host, roots)
            // The folders of a software machine are gone afterwards, so they are shown as they would be there.
            let root = host.kind == .linux ? "" : String(roots.sysfs.dropLast("/sys".count))
            let report = BindReport(
                purpose: purpose, isDryRun: dryRun, json: json, root: root, state: state,
                isLasting: host.kind == .linux)
            try report.carryOut(binder, plan)
        }
    }

    private func binder(_ host: any Host, _ roots: SystemRoots) throws(CommandFailure) -> Binder {
        var store = BindingStore.ofThisUser ?? BindingStore("/run/vfio/bindings.json")
        if let state { store = BindingStore(state) }
        var binder: Binder
        if host.kind == .linux {
            binder = Binder(roots, remembering: store)
        } else {
            guard let machine = host.answering as? SoftwareHost else {
                throw .refused(
                    "drivers can be changed on this machine (--host linux) or a software one",
                    remedy: "use --host linux or --host soft")
            }
            // What happens on a machine that is gone with this process needn't be remembered.
            if state == nil { store = BindingStore(roots.processes + "/bindings.json") }
            binder = Binder(roots, remembering: store, writer: SoftwareBindWriter(machine, roots))
            binder.holders = Holders()
        }
        binder.writeMilliseconds = max(1, Int(timeout * 1000))
        return binder
    }
}
