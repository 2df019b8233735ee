import Foundation
import Testing

@Suite("The page about coverage is what the headers and the sources say")
struct CoverageTests {
    static let page = Repository.root.appendingPathComponent("docs/coverage.md")

    @Test("every word of the headers has its name in Swift")
    func words() throws {
        let (words, unknown) = try ABIWords.load()
        #expect(unknown == [])
        #expect(words.count > 300)
    }

    @Test("no cell is empty without a reason, no reason is there for nothing, and the page is up to date")
    func table() throws {
        let table = try CoverageTable()
        for row in table.rows {
            for column in CoverageColumn.allCases where row.cells[column] == nil {
                Issue.record("\(row.word.name) (\(row.word.swift)): \(column.rawValue) is empty")
            }
        }
        #expect(table.staleReasons == [], "take these reasons away: what they excused is there")
        #expect(table.unknownEvidence == [], "what is named as evidence isn't there")
        if ProcessInfo.processInfo.environment["VFIO_WRITE_COVERAGE"] != nil {
            try FileManager.default.createDirectory(
                at: Self.page.deletingLastPathComponent(), withIntermediateDirectories: true)
            try table.markdown.write(to: Self.page, atomically: true, encoding: .utf8)
        }
        let written = try? String(contentsOf: Self.page, encoding: .utf8)
        let isUpToDate = written == table.markdown
        #expect(isUpToDate, "docs/coverage.md is old: Scripts/coverage writes it anew")
    }
}
