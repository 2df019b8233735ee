import LinuxSystem
import VFIOHost
import VFIOOperator

/// Says what a change of drivers does: in words as it happens, or in JSON when it is done.
struct BindReport {
    let purpose: BindPlan.Purpose
    let isDryRun: Bool
    let json: Bool
    /// What is left out at the beginning of paths.
    let root: String
    /// The file that was named for what is remembered.
    let state: String?
    /// Whether the change outlasts this process.
    let isLasting: Bool

    /// Plans a change, makes it unless it is only to be shown, and says what comes of it.
    func carryOut(_ binder: Binder, _ plan: (Binder) throws(BindRefusal) -> BindPlan) throws {
        do {
            let plan = try plan(binder)
            if isDryRun { return try show(plan) }
            if !json { for note in plan.notes { line("note: \(note)") } }
            var endings: [BindWrite: String] = [:]
            let result = try binder.carryOut(plan) { event in
                Self.note(event, in: &endings)
                if !json { say(event) }
            }
            // Who has the driver again that it had at first has nothing to be put back.
            let records = (try? binder.store.load()) ?? []
            try finish(plan, result, endings, remembered: records.map(\.device))
        } catch let refusal as BindRefusal {
            try refuse(refusal)
        }
    }

    private func line(_ text: String) { Console().line(shown(text)) }

    /// A text with paths as they are on the machine that is meant.
    func shown(_ text: String) -> String { root.isEmpty ? text : text.replacing(root, with: "") }

    // MARK: what is only shown

    /// Prints the writes for a shell.
    private func show(_ plan: BindPlan) throws(CommandFailure) {
        if json { return try JSONOutput.print(BindJSON(self, plan)) }
        for note in plan.notes { line("# note: \(note)") }
        for move in plan.moves {
            line("# " + heading(move))
            for step in move.steps { line(step.write.shell) }
        }
        if plan.moves.isEmpty { line("# nothing to do") }
    }

    /// "0000:01:00.0: nvme -> vfio-pci"
    private func heading(_ move: BindMove) -> String {
        if move.steps.isEmpty {
            return "\(move.device): " + (move.to.driver == nil ? "has no driver" : "has \(move.to)")
                + " already"
        }
        return "\(move.device): \(move.from) -> \(move.to)"
    }

    // MARK: what happens

    private func say(_ event: BindEvent) {
        switch event {
        case .begins(let move): Console().heading(shown(heading(move)))
        case .done(let step): line("  \(step.write.shell)")
        case .failed(let failure):
            line("  \(failure.step.write.shell)   <- failed" + (failure.errno.map { ": \($0.name)" } ?? ""))
            line("taking back what was done:")
        case .pending(let step, let process):
            line("  \(step.write.shell)   <- hasn't come back; process \(process) waits for it")
        case .undone(let write): line("  \(write.shell)")
        case .notUndone(let write, let errno): line("  \(write.shell)   <- failed: \(errno.name)")
        case .node(let device, let path, let isThere):
            line("\(device): \(path) " + (isThere ? "is there" : "isn't there"))
        }
    }

    /// Notes how a write ended, in the words of `--json`.
    private static func note(_ event: BindEvent, in endings: inout [BindWrite: String]) {
        switch event {
        case .done(let step): endings[step.write] = "done"
        case .failed(let failure): endings[failure.step.write] = "failed"
        case .pending(let step, _): endings[step.write] = "pending"
        default: break
        }
    }

    // MARK: what came of it

    private func finish(
        _ plan: BindPlan, _ result: BindResult, _ endings: [BindWrite: String], remembered: [DeviceID]
    ) throws(CommandFailure) {
        if json { try JSONOutput.print(BindJSON(self, plan, result, endings)) }
        if let problem = problem(plan, result) { throw .refused(shown(problem)) }
        if json { return }
        if plan.moves.isEmpty { line("nothing to do") }
        let changed = result.devices.filter { $0.outcome == .done && remembered.contains($0.device) }
            .map(\.device.qualifiedName)
        guard purpose != .restore, !changed.isEmpty, isLasting else { return }
        line("put back with: \(restoring(changed))")
    }

    private func restoring(_ devices: [String]) -> String {
        "vfio restore " + devices.joined(separator: " ") + (state.map { " --state \($0)" } ?? "")
    }

    /// What isn't as it was asked for, and what to do about it; nil if all is.
    private func problem(_ plan: BindPlan, _ result: BindResult) -> String? {
        var lines: [String] = []
        if let failure = result.failure { lines.append("\(failure)") }
        for device in result.devices {
            switch device.outcome {
            case .rolledBack where result.failure != nil: lines.append("\(device.device) is as it was")
            case .stranded(let writes):
                let now = device.after.map { "has \($0)" } ?? "can't be looked at"
                lines.append("\(device.device) \(now), and couldn't be given back. By hand:")
                lines += writes.map { "  " + $0.shell }
            case .pending(let process):
                lines.append(
                    "\(device.device): a write hasn't come back: somebody uses the device, and process \(process) "
                        + "(vfio-write) waits for that to end. End the user, then run this again")
            default: break
            }
            for node in device.nodes where !node.isThere {
                lines.append(
                    "\(device.device) is bound, but \(node.path) isn't there: udev or devtmpfs makes it; a container "
                        + "has to be given it (--device \(node.path))")
            }
        }
        return lines.isEmpty ? nil : lines.joined(separator: "\n      ")
    }

    private func refuse(_ refusal: BindRefusal) throws(CommandFailure) {
        if json { try JSONOutput.print(BindJSON(self, refusal)) }
        // What is to be done about it comes last.
        let lines = ["nothing was changed:"] + refusal.reasons.map(\.description)
        let text = shown(lines.joined(separator: "\n      "))
        throw refusal.reasons.allSatisfy { $0.code == .undetermined } ? .undetermined(text) : .refused(text)
    }
}
