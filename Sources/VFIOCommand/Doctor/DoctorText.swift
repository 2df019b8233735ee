import VFIOOperator

/// Findings as a person reads them: a line for each, and what was read and what helps for those that aren't ok.
struct DoctorText {
    private let verbose: Bool
    private let isSoftware: Bool
    private let console = Console()

    init(verbose: Bool, isSoftware: Bool) {
        self.verbose = verbose
        self.isSoftware = isSoftware
    }

    func print(_ findings: [Finding]) {
        let machine = findings.filter { $0.device == nil }
        let others = findings.filter { $0.device != nil }
        console.heading(isSoftware ? "The software machine" : "The machine")
        if isSoftware {
            console.line(
                "  (firmware, modules, limits of this process and QEMU are a kernel's matter: left out)")
        }
        show(machine)
        if let name = others.first?.device {
            console.line()
            // In depth it is one device, otherwise there is a line for each.
            let isOne = others.allSatisfy { $0.device == name } && others.first?.title != name
            console.heading(isOne ? "The device \(name)" : "Devices of VFIO drivers")
            show(others)
        }
        console.line()
        console.line(summary(findings))
    }

    private func show(_ findings: [Finding]) {
        let width = findings.map(\.title.count).max() ?? 0
        for finding in findings {
            let title = finding.title + String(repeating: " ", count: width - finding.title.count)
            console.line("  \(word(finding.result))  \(title)  \(finding.summary)")
            if finding.result != .ok || verbose { details(of: finding) }
        }
    }

    private func details(of finding: Finding) {
        let margin = "             "
        for evidence in finding.evidence {
            console.line("\(margin)\(dim("read"))  \(evidence.place): \(evidence.found)")
        }
        for remedy in finding.remedies {
            switch (remedy.advice, remedy.command) {
            case (let advice?, let command?):
                console.line("\(margin)\(bold("do"))    \(advice):")
                console.line("\(margin)        \(command)")
            case (let advice?, nil): console.line("\(margin)\(bold("do"))    \(advice)")
            case (nil, let command?): console.line("\(margin)\(bold("do"))    \(command)")
            case (nil, nil): break
            }
        }
    }

    private func word(_ result: Finding.Result) -> String {
        switch result {
        case .ok: paint("ok     ", "32")
        case .warning: paint("warning", "33")
        case .failed: paint("FAILED ", "31;1")
        case .undetermined: paint("unknown", "35")
        }
    }

    private func summary(_ findings: [Finding]) -> String {
        func count(_ result: Finding.Result) -> Int { findings.count { $0.result == result } }
        var parts = ["\(count(.ok)) ok"]
        if count(.warning) > 0 { parts.append("\(count(.warning)) to know about") }
        if count(.failed) > 0 { parts.append(paint("\(count(.failed)) failed", "31;1")) }
        if count(.undetermined) > 0 { parts.append("\(count(.undetermined)) could not be determined") }
        return parts.joined(separator: ", ")
    }

    private func paint(_ text: String, _ code: String) -> String {
        console.isColoured ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text
    }

    private func dim(_ text: String) -> String { paint(text, "2") }
    private func bold(_ text: String) -> String { paint(text, "1") }
}
