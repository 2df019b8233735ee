/// The columns of the table that may be empty only for a reason.
enum CoverageColumn: String, CaseIterable {
    case api = "Typed API"
    case device = "Answered by"
    case cases = "Conformance cases"
}

/// One line of the table.
struct CoverageRow {
    let word: ABIWord
    var cells: [CoverageColumn: String] = [:]
}

/// Every constant and structure of the headers: who uses it, who answers it, what shows it.
struct CoverageTable {
    let rows: [CoverageRow]
    /// The reasons that no cell needed.
    let staleReasons: [String]
    /// What is named as evidence and isn't there.
    let unknownEvidence: [String]

    init() throws {
        let targets = [
            "VFIO", "VFIOGuest", "VFIOHost", "SoftwareHost", "SoftwareDevices", "DeviceModel",
            "NVMeController",
            "VFIOUser", "VFIOConformance", "VFIOCommand", "LinuxSystem", "IOVASpace", "NVMe", "NVMeDriver",
        ]
        var sources: [String: [SourceTokens]] = [:]
        for target in targets {
            sources[target] = try Repository.sources(below: "Sources/\(target)", of: target)
        }
        let abi = try Repository.sources(below: "Sources/VFIOABI", of: "VFIOABI")
        let vocabulary = Vocabulary(abi: abi, house: sources.values.flatMap { $0 })
        func index(_ targets: [String], cases: Bool = false) -> UseIndex {
            UseIndex(targets.flatMap { sources[$0] ?? [] }, vocabulary: vocabulary, cases: cases)
        }
        // The floors of the driving side: what stands first is told, the others only where it has nothing.
        let drivers = ["VFIO", "VFIOGuest", "VFIOHost"].map { index([$0]) }
        let answerers = index([
            "SoftwareHost", "DeviceModel", "SoftwareDevices", "NVMeController", "VFIOUser",
        ])
        let cases = index(["VFIOConformance"], cases: true)

        let words = try ABIWords.load().words
        let byName = Dictionary(uniqueKeysWithValues: words.map { ($0.name, $0) })
        var used: Set<Int> = []
        rows = words.map { word in
            // The number inside a request is the request.
            let twin = word.name.replacingPrefix("IOMMUFD_CMD_", with: "IOMMU_")
            let meant = byName[twin] ?? word
            var row = CoverageRow(word: word)
            row.cells[.api] = Self.api(of: meant, drivers)
            row.cells[.device] = Self.answerers(of: meant, answerers)
            row.cells[.cases] = Self.cases(of: meant, cases)
            for column in CoverageColumn.allCases where row.cells[column] == nil {
                if let evidence = CoverageEvidence.all.first(where: { $0.covers(word.name, column) }) {
                    row.cells[column] = evidence.shown.map { shown in
                        column == .cases ? Self.quoted(shown) : "`\(shown)`"
                    }.joined(separator: ", ")
                    continue
                }
                for (number, reason) in CoverageReasons.all.enumerated()
                where reason.covers(word.name, column) {
                    used.insert(number)
                    row.cells[column] = "– *\(reason.text)*"
                    break
                }
            }
            return row
        }
        staleReasons = CoverageReasons.all.indices.filter { !used.contains($0) }.map {
            CoverageReasons.all[$0].names.joined(separator: " ")
        }
        var known = Set(drivers.flatMap(\.titles)).union(answerers.titles)
        known.formUnion(cases.titles)
        unknownEvidence = CoverageEvidence.all.flatMap(\.shown).filter { !known.contains($0) }
    }

    private static func api(of word: ABIWord, _ drivers: [UseIndex]) -> String? {
        for driver in drivers {
            if let text = list(driver.entries(to: word).map(\.title)) { return text }
        }
        for driver in drivers {
            if let text = list(driver.types(using: word)) { return text }
        }
        for driver in drivers {
            if let text = list(driver.carriers(of: word.type).map(\.title)) { return "carried by \(text)" }
        }
        return nil
    }

    private static func answerers(of word: ABIWord, _ index: UseIndex) -> String? {
        let users = index.direct(word)
        let software = users.filter { index.target(of: $0) != "VFIOUser" }
        if let text = list((software.isEmpty ? users : software).map { $0.type.isEmpty ? $0.name : $0.type })
        {
            return text
        }
        return list(index.carriers(of: word.type).map(\.title)).map { "carried by \($0)" }
    }

    private static func cases(of word: ABIWord, _ index: UseIndex) -> String? {
        let cases = index.entries(to: word).compactMap(\.conformanceCase).sorted {
            sectionKey($0.section) < sectionKey($1.section)
        }
        guard let first = cases.first else { return nil }
        var sections: [String] = []
        for section in cases.map(\.section) where !sections.contains(section) { sections.append(section) }
        let others = sections.dropFirst()
        return "\(first.section) “\(first.name)”"
            + (others.isEmpty ? "" : "; also \(others.prefix(4).joined(separator: ", "))")
            + (others.count > 4 ? ", …" : "")
    }

    /// "B.2 name" as the page shows it.
    private static func quoted(_ shown: String) -> String {
        guard let space = shown.firstIndex(of: " ") else { return shown }
        return "\(shown[..<space]) “\(shown[shown.index(after: space)...])”"
    }

    private static func sectionKey(_ section: String) -> (String, Int) {
        let parts = section.split(separator: ".", maxSplits: 1)
        return (String(parts.first ?? ""), Int((parts.last ?? "").prefix { $0.isNumber }) ?? 0)
    }

    /// Up to three names, those first that come most often.
    private static func list(_ names: [String]) -> String? {
        var counts: [String: Int] = [:]
        for name in names { counts[name, default: 0] += 1 }
        let sorted = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map(\.key)
        guard !sorted.isEmpty else { return nil }
        return sorted.prefix(3).map { "`\($0)`" }.joined(separator: ", ") + (sorted.count > 3 ? ", …" : "")
    }

    /// The table as Markdown.
    var markdown: String {
        var text = """
            # What of the uAPI stands where

            Every constant and structure of the headers of VFIO and iommufd: the typed API that uses it, the \
            software that answers it, and the conformance cases that show it. “carried by” means that the API \
            takes or gives the value and its user decides on it. A cell begins with – where there is nothing, \
            and says why.

            A test makes this page from the compiler's facts about the headers and from the sources, and fails \
            when the page is not what it makes. `Scripts/coverage` writes it anew; reasons stand in \
            `Tests/CoverageTests/CoverageReasons.swift`. The letter and number of a case are its section: \
            `vfio conform --filter D.9` runs a section.


            """
        for (title, header) in [
            ("vfio.h", "vfio.h (Linux 7.2)"), ("vfio.h, only before Linux 7.2", "vfio.h (seed revision)"),
            ("iommufd.h", "iommufd.h (Linux 7.2)"), ("vfio_ccw.h", "vfio_ccw.h (Linux 7.2)"),
            ("vfio_zdev.h", "vfio_zdev.h (Linux 7.2)"),
        ] {
            let here = rows.filter { row in
                row.word.headers.contains(header)
                    && (header != "vfio.h (seed revision)" || row.word.headers.count == 1)
            }
            for (kind, isStructure) in [("Constants", false), ("Structures", true)] {
                let lines = here.filter { row in
                    if case .structure = row.word.kind { isStructure } else { !isStructure }
                }
                guard !lines.isEmpty else { continue }
                text += "## \(title): \(kind.lowercased())\n\n"
                text += "| Word | \(isStructure ? "Bytes" : "Value") | In Swift | "
                text += CoverageColumn.allCases.map(\.rawValue).joined(separator: " | ")
                text += " |\n|---|---|---|---|---|---|\n"
                for row in lines {
                    let value =
                        switch row.word.kind {
                        case .constant(let value): value
                        case .structure(let byteCount): "\(byteCount)"
                        }
                    let cells = CoverageColumn.allCases.map { row.cells[$0] ?? "" }
                    text += "| `\(row.word.name)` | \(value) | `\(row.word.swift)` | "
                    text += cells.joined(separator: " | ") + " |\n"
                }
                text += "\n"
            }
        }
        return text
    }
}

extension String {
    fileprivate func replacingPrefix(_ prefix: String, with other: String) -> String {
        hasPrefix(prefix) ? other + dropFirst(prefix.count) : self
    }
}
