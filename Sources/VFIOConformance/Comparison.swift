/// Two runs side by side: what one host answered and what another did.
public struct Comparison: Sendable {
    /// One answer that the two gave differently.
    public struct Difference: Sendable, Equatable {
        /// The case.
        public var id: String
        /// What was asked.
        public var label: String
        /// The answer of the first run.
        public var first: String?
        /// The answer of the second run.
        public var second: String?
        /// Why, where either run knows; nil for a difference that nobody explains.
        public var reason: String?
    }

    /// Who was compared.
    public let kernels: (first: String, second: String)
    /// How many cases both ran.
    public private(set) var sharedCount = 0
    /// How many of those gave the same answers, one by one.
    public private(set) var sameCount = 0
    /// The answers that differ.
    public private(set) var differences: [Difference] = []
    /// Cases that only the first run could run, and only the second.
    public private(set) var onlyFirst: [String] = []
    /// Cases that only the second run could run.
    public private(set) var onlySecond: [String] = []

    /// Compares two runs. Values that are only noted, because they depend on the device, don't count.
    public init(_ first: Report, _ second: Report) {
        kernels = (first.kernel, second.kernel)
        var others: [String: CaseResult] = [:]
        for result in second.results { others[result.id] = result }
        for result in first.results {
            let other = others.removeValue(forKey: result.id)
            switch (result.status == .skipped, other.map { $0.status == .skipped } ?? true) {
            case (true, true): break
            case (false, true): onlyFirst.append(result.id)
            case (true, false): onlySecond.append(result.id)
            case (false, false): compare(result, other ?? result)
            }
        }
        for result in second.results where others[result.id] != nil && result.status != .skipped {
            onlySecond.append(result.id)
        }
    }

    /// Whether every difference has a reason.
    public var isExplained: Bool { differences.allSatisfy { $0.reason != nil } }

    private mutating func compare(_ first: CaseResult, _ second: CaseResult) {
        sharedCount += 1
        let theirs = Self.answers(of: second)
        var found: [Difference] = []
        for (question, ours) in Self.answers(of: first) {
            // What only one of the two was asked depends on an answer before it, or on what the machine has.
            guard let other = theirs.first(where: { $0.question == question })?.answer else { continue }
            if ours.got == other.got { continue }
            found.append(
                Difference(
                    id: first.id, label: ours.label, first: ours.got, second: other.got,
                    reason: ours.reason ?? other.reason))
        }
        // A case that broke off says so itself.
        if first.note != second.note, found.isEmpty {
            found.append(
                Difference(id: first.id, label: "how it ended", first: first.note, second: second.note))
        }
        if found.isEmpty { sameCount += 1 }
        differences += found
    }

    /// What a case was asked and what was answered; a question that comes several times is told apart by how often
    /// it came before.
    private static func answers(
        of result: CaseResult
    ) -> [(question: String, answer: Observation)] {
        var counts: [String: Int] = [:]
        return result.observations.filter { $0.wanted != nil }.map { observation in
            let count = counts[observation.label, default: 0]
            counts[observation.label] = count + 1
            return ("\(count) \(observation.label)", observation)
        }
    }
}
