import VFIOHost

/// A run of the catalogue against one host.
public struct Run: Sendable {
    /// Who answers.
    public let host: any Host
    /// The way in.
    public let route: Route
    /// The devices that may be used; nil for all that are bound to vfio-pci.
    public var devices: [PCIAddress]?
    /// Only cases whose section or name contains this; nil for all.
    public var filter: String?
    /// What changes the machine, for the cases that need it; nil where that isn't possible or not allowed.
    public var machine: (any MachineControl)?

    /// A run of all cases that are about a way in.
    public init(on host: any Host, by route: Route) {
        self.host = host
        self.route = route
    }

    /// The cases that this run is about.
    public var cases: [Case] {
        Catalogue.cases.filter { one in
            guard one.routes.contains(route.bit) else { return false }
            guard let filter else { return true }
            return one.section.contains(filter) || one.name.contains(filter)
        }
    }

    /// Runs the cases, one after the other.
    /// - Parameter observer: is told of each result as soon as it is there.
    public func run(_ observer: (CaseResult) -> Void = { _ in }) -> Report {
        let kernel = Kernel(of: host)
        var report = Report(kernel: "\(kernel)", route: route.rawValue, results: [])
        for one in cases {
            let result = run(one, kernel)
            report.results.append(result)
            observer(result)
        }
        return report
    }

    /// Why a case says nothing about a host; nil if it does.
    private func obstacle(_ one: Case, _ kernel: Kernel) -> String? {
        // A server answers for its device: sections D, and what all devices' descriptors have in common (A.7).
        // All else of a host without a kernel is a stand-in.
        guard kernel.kind == .vfioUser, !one.section.hasPrefix("D"), one.section != "A.7" else { return nil }
        return "it is about a kernel, and a vfio-user server has none"
    }

    private func run(_ one: Case, _ kernel: Kernel) -> CaseResult {
        if let reason = obstacle(one, kernel) {
            var result = CaseResult(
                section: one.section, name: one.name, status: .skipped, observations: [])
            result.note = reason
            return result
        }
        let trial = Trial(self, kernel)
        var result = CaseResult(section: one.section, name: one.name, status: .equal, observations: [])
        var end: CaseResult.Status?
        do {
            try one.body(trial)
        } catch let halt as Halt {
            switch halt {
            case .skipped(let reason): (end, result.note) = (.skipped, reason)
            case .broken(let reason): (end, result.note) = (.different, reason)
            }
        } catch {
            (end, result.note) = (.different, "\(error)")
        }
        trial.end()
        result.observations = trial.observations
        if result.observations.contains(where: { !$0.isAsWanted }) {
            result.status = .different
        } else if let end {
            result.status = end
        } else if result.observations.contains(where: { $0.reason != nil }) {
            result.status = .explained
        } else if result.observations.allSatisfy({ $0.wanted == nil }) {
            (result.status, result.note) = (.different, "it looked at nothing")
        }
        return result
    }
}
