import VFIOOperator

/// What `vfio doctor --json` prints.
struct DoctorReport: Encodable {
    /// A check's answer.
    struct Entry: Encodable {
        struct Evidence: Encodable {
            let place: String
            let found: String
        }
        struct Remedy: Encodable {
            let advice: String?
            let command: String?
        }

        let id: String
        let device: String?
        let title: String
        let result: String
        let summary: String
        let essential: Bool
        let evidence: [Evidence]
        let remedies: [Remedy]
    }

    let version = 1
    /// How it stands on the whole: what the exit code says.
    let result: String
    let counts: [String: Int]
    let findings: [Entry]

    init(_ findings: [Finding]) {
        result = findings.verdict.rawValue
        counts = Dictionary(
            uniqueKeysWithValues: Finding.Result.allCases.map { result in
                (result.rawValue, findings.count { $0.result == result })
            })
        self.findings = findings.map { finding in
            Entry(
                id: finding.id, device: finding.device, title: finding.title,
                result: finding.result.rawValue, summary: finding.summary, essential: finding.isEssential,
                evidence: finding.evidence.map { Entry.Evidence(place: $0.place, found: $0.found) },
                remedies: finding.remedies.map { Entry.Remedy(advice: $0.advice, command: $0.command) })
        }
    }
}
