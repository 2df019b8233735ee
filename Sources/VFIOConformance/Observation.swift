/// One thing that a case looked at.
public struct Observation: Sendable, Codable, Equatable {
    /// What was asked or done, e.g. "argsz 31".
    public var label: String
    /// What the host answered.
    public var got: String
    /// What it should have answered here; nil for what is only noted, because it depends on the device.
    public var wanted: String?
    /// Why the answer isn't that of Linux 7.2, where it isn't.
    public var reason: String?

    /// Whether it is as it should be.
    public var isAsWanted: Bool { wanted == nil || wanted == got }
}

/// What became of one case.
public struct CaseResult: Sendable, Codable, Equatable {
    /// How a case ended.
    public enum Status: String, Sendable, Codable {
        /// All answers are those of Linux 7.2.
        case equal
        /// All answers are as they should be, and those that aren't Linux 7.2's have a written reason.
        case explained
        /// An answer is different, and nothing says why.
        case different
        /// It can't be run here.
        case skipped
    }

    /// The section of the specification.
    public var section: String
    /// What the case shows.
    public var name: String
    /// How it ended.
    public var status: Status
    /// Why it was skipped, or how it broke.
    public var note: String?
    /// What it looked at, in order.
    public var observations: [Observation]

    /// What tells a case from all others.
    public var id: String { "\(section) \(name)" }
}

/// A run: all results of one host and one way in.
public struct Report: Sendable, Codable, Equatable {
    /// The version of this form.
    public var version = 1
    /// Who answered.
    public var kernel: String
    /// The way in.
    public var route: String
    /// By case, in the order of the catalogue.
    public var results: [CaseResult]

    /// A report of a host's answers.
    public init(kernel: String, route: String, results: [CaseResult]) {
        self.kernel = kernel
        self.route = route
        self.results = results
    }

    /// How many cases ended in a certain way.
    public func count(_ status: CaseResult.Status) -> Int { results.count { $0.status == status } }
}
