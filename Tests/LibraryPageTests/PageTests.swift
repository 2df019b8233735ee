import LinuxSystem
import Testing

/// A page of a DocC catalog.
struct Page: CustomTestStringConvertible {
    /// Its path in the package: "Sources/VFIO/VFIO.docc/VFIO.md".
    let path: String
    var testDescription: String { path }

    /// All pages of all catalogs.
    static let all: [Page] = {
        let targets = (try? FileSystem.names(in: Package.root + "/Sources")) ?? []
        return targets.sorted().flatMap { target in
            let catalog = "Sources/\(target)/\(target).docc"
            let names = (try? FileSystem.names(in: Package.root + "/" + catalog)) ?? []
            return names.sorted().filter { $0.hasSuffix(".md") }.map { Page(path: catalog + "/" + $0) }
        }
    }()

    /// The Swift code that it shows.
    func snippets() throws -> [Snippet] {
        var snippets: [Snippet] = []
        var open: [Substring]?
        for line in try Package.lines(of: path) {
            if let lines = open {
                if line == "```" { snippets.append(Snippet(lines)) }
                open = line == "```" ? nil : lines + [line]
            } else if line == "```swift" {
                open = []
            }
        }
        return snippets
    }
}

/// A piece of code in a page: imports, and what follows them.
struct Snippet {
    let imports: [Substring]
    let code: [Substring]

    init(_ lines: [Substring]) {
        imports = lines.filter { $0.hasPrefix("import ") }
        code = Array(lines.drop { $0.isEmpty || $0.hasPrefix("import ") })
    }

    /// Whether lines of a file are this code, all of them with one indentation.
    func stands(in file: [Substring]) -> Bool {
        guard let first = code.first, imports.allSatisfy(file.contains) else { return false }
        return file.indices.contains { start in
            guard file[start].hasSuffix(first), start + code.count <= file.count else { return false }
            let indentation = file[start].dropLast(first.count)
            return indentation.allSatisfy { $0 == " " }
                && zip(file[start...], code).allSatisfy { $0 == ($1.isEmpty ? "" : indentation + $1) }
        }
    }
}

/// The package that this file is in.
enum Package {
    // This file is in Tests/LibraryPageTests.
    static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
        .joined(separator: "/")

    static func lines(of path: String) throws -> [Substring] {
        let bytes = try FileSystem.bytes(of: root + "/" + path, limit: 1 << 20)
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    }
}

@Suite("The pages of the libraries")
struct PageTests {
    @Test("exist")
    func exist() { #expect(Page.all.count >= 20) }

    @Test("show only code that is compiled and run here", arguments: Page.all)
    func snippets(_ page: Page) throws {
        let folder = "Tests/LibraryPageTests"
        let files = try FileSystem.names(in: Package.root + "/" + folder).filter {
            $0.hasSuffix("Pages.swift")
        }
        .map { try Package.lines(of: folder + "/" + $0) }
        let snippets = try page.snippets()
        for snippet in snippets {
            let stands = files.contains { snippet.stands(in: $0) }
            #expect(stands, "in no file of \(folder):\n\(snippet.code.joined(separator: "\n"))")
        }
        // A landing page begins with an example.
        let isLandingPage = page.path.hasSuffix(".docc/" + page.path.split(separator: "/")[1] + ".md")
        #expect(!isLandingPage || !snippets.isEmpty)
    }

    @Test("would not pass with code that differs", arguments: ["let a = 1", "  let b = 2", "let b = 3"])
    func differing(_ second: String) {
        let file: [Substring] = ["import VFIO", "    let a = 1", "    let b = 2", ""]
        #expect(Snippet(["import VFIO", "", "let a = 1", "let b = 2"]).stands(in: file))
        #expect(!Snippet(["let a = 1", Substring(second)]).stands(in: file))
        #expect(!Snippet(["import VFIOHost", "let a = 1"]).stands(in: file))
    }
}
