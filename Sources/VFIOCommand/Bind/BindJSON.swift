import LinuxSystem
import VFIOHost
import VFIOOperator

/// What `vfio bind`, `unbind` and `restore` print with `--json`.
struct BindJSON: Encodable {
    /// Who drives a device, and who may.
    struct State: Encodable {
        let driver: String?
        let override: String?

        init(_ state: DriverState) {
            driver = state.driver
            override = state.override
        }
    }

    /// A write.
    struct Step: Encodable {
        let kind: String
        let path: String
        let text: String
        let shell: String
        /// "done", "failed", "pending", or "not-made".
        let ending: String
    }

    /// A node that a device ought to have.
    struct Node: Encodable {
        let path: String
        let isThere: Bool
    }

    /// A device.
    struct Device: Encodable {
        let device: String
        let before: State
        let wanted: State
        let after: State?
        /// "planned", "done", "unchanged", "rolled-back", "pending" or "stranded".
        let outcome: String
        /// Whether it wasn't named, and is taken as a member of a group.
        let isTaken: Bool
        let steps: [Step]
        let nodes: [Node]
        /// The process that waits for a write.
        let process: Int32?
        /// What is left to do by hand, as a shell does it.
        let byHand: [String]
    }

    /// A write that failed.
    struct Failure: Encodable {
        let device: String
        let write: String
        let errno: String?
        let cause: String
        let remedy: String?
    }

    /// A reason why nothing was done.
    struct Reason: Encodable {
        let code: String
        let device: String?
        let cause: String
        let remedy: String?
    }

    let version = 1
    let verb: String
    let dryRun: Bool
    let complete: Bool
    let devices: [Device]
    let notes: [String]
    let failure: Failure?
    let refused: [Reason]

    /// A change that was refused.
    init(_ report: BindReport, _ refusal: BindRefusal) {
        verb = report.purpose.rawValue
        dryRun = report.isDryRun
        complete = false
        devices = []
        notes = []
        failure = nil
        refused = refusal.reasons.map {
            Reason(
                code: $0.code.rawValue, device: $0.device?.qualifiedName, cause: report.shown($0.cause),
                remedy: $0.remedy.map { report.shown($0) })
        }
    }

    /// A change that was made, or would be.
    init(
        _ report: BindReport, _ plan: BindPlan, _ result: BindResult? = nil,
        _ endings: [BindWrite: String] = [:]
    ) {
        verb = report.purpose.rawValue
        dryRun = report.isDryRun
        complete = result?.isComplete ?? false
        refused = []
        notes = plan.notes.map { report.shown($0) }
        failure = result?.failure.map { failure in
            Failure(
                device: failure.step.device.qualifiedName, write: report.shown(failure.step.write.shell),
                errno: failure.errno.map { "\($0.name)" }, cause: failure.cause, remedy: failure.remedy)
        }
        devices = plan.moves.map { move in
            let end = result?.devices.first { $0.device == move.device }
            let (outcome, process, byHand) = Self.words(end?.outcome, move)
            return Device(
                device: move.device.qualifiedName, before: State(move.from), wanted: State(move.to),
                after: end?.after.map { State($0) }, outcome: outcome,
                isTaken: plan.taken.contains(move.device),
                steps: move.steps.map { step in
                    Step(
                        kind: step.kind.rawValue, path: report.shown(step.write.path), text: step.write.text,
                        shell: report.shown(step.write.shell), ending: endings[step.write] ?? "not-made")
                },
                nodes: end?.nodes.map { Node(path: report.shown($0.path), isThere: $0.isThere) } ?? [],
                process: process, byHand: byHand.map { report.shown($0.shell) })
        }
    }

    private static func words(
        _ outcome: BindResult.Outcome?, _ move: BindMove
    ) -> (String, Int32?, [BindWrite]) {
        switch outcome {
        case nil: (move.steps.isEmpty ? "unchanged" : "planned", nil, [])
        case .done: ("done", nil, [])
        case .unchanged: ("unchanged", nil, [])
        case .rolledBack: ("rolled-back", nil, [])
        case .pending(let process): ("pending", process, [])
        case .stranded(let writes): ("stranded", nil, writes)
        }
    }
}
