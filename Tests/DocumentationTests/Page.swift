import Foundation

/// A page of the repository, taken apart.
struct Page {
    let path: String
    let text: String

    /// Reads a page by its path in the repository.
    init(_ path: String) throws {
        self.path = path
        text = try Self.text(path)
    }

    /// The repository's root: this file is in Tests/DocumentationTests.
    static let root: String = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
        .joined(separator: "/")

    /// The text of a file of the repository.
    static func text(_ path: String) throws -> String {
        try String(contentsOfFile: root + "/" + path, encoding: .utf8)
    }

    /// Whether there is such a file or folder in the repository.
    static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: root + "/" + path) }

    /// All files below a folder whose names end so, in order.
    static func files(in folder: String, ending: String) -> [String] {
        let all = FileManager.default.enumerator(atPath: root + "/" + folder)
        return (all?.compactMap { $0 as? String } ?? []).filter { $0.hasSuffix(ending) }
            .map { folder + "/" + $0 }.sorted()
    }

    /// What stands between the fences of one kind, block by block.
    func blocks(_ kind: String) -> [String] {
        var blocks: [String] = []
        var current: String?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if let block = current {
                if line == "```" {
                    blocks.append(block)
                    current = nil
                } else {
                    current = block + line + "\n"
                }
            } else if line == "```\(kind)" {
                current = ""
            }
        }
        return blocks
    }

    /// The program of a tutorial: all of its code but the package's description.
    var program: String {
        blocks("swift").filter { !$0.hasPrefix("// swift-tools-version") }.joined(separator: "\n")
    }

    /// What the program prints.
    var output: String { blocks("text").joined() }

    /// Where its links go, as they are written; those to other sites are left out.
    var links: [String] {
        text.matches(of: /\]\(([^)#\s]+)\)/).map { String($0.output.1) }.filter { !$0.contains("://") }
    }
}
