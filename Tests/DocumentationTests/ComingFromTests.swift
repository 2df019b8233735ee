import Foundation
import Testing

/// The public names of the sources.
private struct PublicNames {
    /// For each name, the text of the files that declare it publicly.
    private var declarations: [String: [String]] = [:]

    init() throws {
        let word = /\b(?:func|var|let|struct|class|enum|protocol|typealias|case) `?(\w+)/
        for path in Page.files(in: "Sources", ending: ".swift") where !path.hasPrefix("Sources/VFIOCommand/")
        {
            let text = try Page.text(path)
            let hasProtocol = text.contains("public protocol")
            for line in text.split(separator: "\n") {
                // Requirements of a protocol and cases have no modifier of their own.
                guard line.contains("public ") || line.contains(" case ") || hasProtocol else { continue }
                if ["///", "private ", "package "].contains(where: { line.contains($0) }) { continue }
                for match in line.matches(of: word) {
                    declarations[String(match.output.1), default: []].append(text)
                }
            }
        }
    }

    func has(_ name: String) -> Bool { declarations[name] != nil }

    /// Whether a type, or an extension of it, is in a file that declares the member.
    func has(_ member: String, of type: String) -> Bool {
        guard let texts = declarations[member],
            let home = try? Regex("(struct|class|enum|protocol|extension|actor) \(type)\\b")
        else { return false }
        return texts.contains { $0.contains(home) }
    }
}

@Suite("The page for those who come from other libraries")
struct ComingFromTests {
    /// What stands in backticks in the second column of the tables.
    private func ourNames() throws -> [String] {
        let page = try Page("Documentation/ComingFrom.md")
        return page.text.split(separator: "\n").filter { $0.hasPrefix("| ") }.flatMap { row -> [String] in
            let cells = row.split(separator: "|")
            guard cells.count > 1 else { return [] }
            return cells[1].matches(of: /`([^`]+)`/).map { String($0.output.1) }
        }
    }

    @Test("names public types and members that there are, and verbs of the command")
    func names() throws {
        let names = try PublicNames()
        let ours = try ourNames()
        #expect(ours.count > 100)
        let knowsAnything = names.has("setUpPhlogiston") || names.has("allocate", of: "Regionn")
        #expect(!knowsAnything)
        let verbs = try Page.files(in: "Sources/VFIOCommand", ending: ".swift").map(Page.text).joined()
        for name in ours {
            if name.hasPrefix("vfio ") {
                let verb = name.dropFirst("vfio ".count)
                let declared = ["commandName: \"\(verb)\"", "struct \(verb.capitalized)"]
                let isVerb = declared.contains { verbs.contains($0) }
                #expect(isVerb, "\(name)")
                continue
            }
            let bare = name.prefix { $0 != "(" }.split(separator: ".").map(String.init)
            // Told as one value: the sources themselves are no use in a message.
            let isThere =
                switch bare.count {
                case 1: names.has(bare[0]) || Page.exists("Sources/\(bare[0])")
                case 2: names.has(bare[0]) && names.has(bare[1], of: bare[0])
                default: false
                }
            #expect(isThere, "\(name)")
        }
    }
}
