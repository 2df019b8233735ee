import Foundation
import Testing

@testable import VFIOCommand

@Suite("Manual pages")
struct ManualTests {
    @Test("There is a page for the command and for each verb, and mandoc finds nothing to complain about")
    func lint() throws {
        let scratch = try Scratch()
        let folder = scratch.path + "/man"
        let made = try vfio("manual", "--output", folder)
        #expect(made.code == 0, "\(made.errors)")
        let pages = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        let verbs = try Verbs()
        #expect(pages == (["vfio.1"] + verbs.top.map { "vfio-\($0).1" }).sorted())
        guard let mandoc = OtherProgram.path("mandoc") else {
            print("skipped: mandoc isn't installed")
            return
        }
        for page in pages {
            let path = "\(folder)/\(page)"
            let checked = try OtherProgram.run(mandoc, ["-T", "lint", "-W", "warning", path])
            #expect(checked.output + checked.errors == "", "\(page)")
        }
        for verb in verbs.leaves {
            let shown = try OtherProgram.run(
                mandoc, ["-T", "ascii", "\(folder)/vfio-\(verb.words[0]).1"])
            let text = shown.output.replacingOccurrences(of: ".\u{8}", with: "", options: .regularExpression)
            for option in verb.options where option.count > 1 {
                #expect(text.contains("--\(option)"), "\(verb.words) --\(option)")
            }
        }
    }

    @Test("The page of the command lists all verbs by what they are for")
    func everything() throws {
        let page = try #require(try ManualCommand.pages().first { $0.name == "vfio" })
        for verb in try Verbs().top { #expect(page.text.contains(".It Xr vfio\\-\(verb) 1"), "\(verb)") }
        for part in ["EXIT STATUS", "NO_COLOR", "VFIO_PRELOAD_LIBRARY", "bindings.json"] {
            #expect(page.text.contains(part))
        }
    }

    @Test("Text can't be taken for the language of the pages")
    func escaping() {
        var page = Mdoc()
        page.prose(".Sh EVIL\n'so it is. Then \\fB more\n\n  .literal -x `y`\nend…")
        #expect(
            page.text == """
                \\&.Sh EVIL
                \\&'so it is.
                Then \\efB more
                .Bd -literal -offset indent
                \\&.literal \\-x \\(gay\\(ga
                .Ed
                end\\[u2026]

                """)
        #expect(Mdoc.word("Op") == "\\&Op")
        #expect(Mdoc.word("a b \"c") == "\"a b \\(dqc\"")
    }
}
