/// Two runs side by side: what one host answered and what another did.
public struct Comparison: Sendable {
    /// One answer that the two gave differently.
    public struct Difference: Sendable, Equatable {
        /// The case.
        public var id: String
        /// What was asked.
        public var label: String
        /// The answer of the first run; nil if it didn't ask.
        public var first: String?
        /// The answer of the second run; nil if it didn't ask.
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
        let ours = first.observations.filter { $0.wanted != nil }
        let theirs = second.observations.filter { $0.wanted != nil }
        var found: [Difference] = []
        for index in 0..<max(ours.count, theirs.count) {
            let a = index < ours.count ? ours[index] : nil
            let b = index < theirs.count ? theirs[index] : nil
            if let a, let b, a.label == b.label, a.got == b.got { continue }
            found.append(
                Difference(
                    id: first.id, label: a?.label ?? b?.label ?? "", first: a?.got, second: b?.got,
                    reason: a?.reason ?? b?.reason))
        }
        // A case that broke off says so itself.
        if first.note != second.note, found.isEmpty {
            found.append(
                Difference(id: first.id, label: "how it ended", first: first.note, second: second.note))
        }
        if found.isEmpty { sameCount += 1 }
        differences += found
    }
}
