import Foundation
import Testing

@testable import VFIOOperator

/// A browser, if there is one.
private let chromium: String? = ["chromium-headless-shell", "chromium", "google-chrome"]
    .map { "/usr/bin/" + $0 }.first { FileManager.default.isExecutableFile(atPath: $0) }

@Suite("Pages of measurements")
struct MeasurementPageTests {
    /// A page from fixed numbers, with names that a hostile device could have.
    private func page() -> MeasurementPage {
        let hostile = "</title><script>alert(1)</script> & \"quoted\" 'x' \u{7}"
        let slow = Distribution(
            "queue depth 32 \(hostile)", note: hostile, noun: "requests",
            buckets: [
                .init(from: 50_000, to: 51_999, count: 700), .init(from: 52_000, to: 53_999, count: 300),
                .init(from: 9_000_000, to: 9_100_000, count: 1),
            ],
            quantiles: [
                .init("p50", nanoseconds: 51_000), .init("p90", nanoseconds: 53_000),
                .init("p99", nanoseconds: 53_999), .init("p99.9", nanoseconds: 53_999),
                .init("max", nanoseconds: 9_050_000),
            ])
        let quick = Distribution(
            "read", noun: "times", nanoseconds: (0..<1000).map { 100 + Double($0 % 10) },
            reference: .init("getpid", nanoseconds: 80))
        return MeasurementPage(
            "Disk \(hostile)", summary: hostile,
            table: .init(["what", "p50"], numbers: [1], rows: [[hostile, "1 µs"], ["b", "2 µs"]]),
            distributions: [slow, quick], sharesAxis: true, notes: [hostile],
            facts: [.init("Model", hostile), .init("Date", "2026-11-22T05:11:37Z")])
    }

    /// Opens and closes elements as XML does.
    /// - Returns: the names of all elements, with their attributes; nil where the text isn't well-formed.
    private func parsed(_ text: String) -> [(name: String, attributes: String)]? {
        var open: [String] = []
        var found: [(name: String, attributes: String)] = []
        var rest = text[...]
        guard rest.hasPrefix("<!DOCTYPE html>\n") else { return nil }
        rest = rest.dropFirst(16)
        while let begin = rest.firstIndex(of: "<") {
            let between = rest[..<begin]
            // A bare & or > would be read differently, or not at all, by an XML reader.
            let isInStyle = open.last == "style"
            if !isInStyle, between.contains(">") { return nil }
            for part in between.split(separator: "&", omittingEmptySubsequences: false).dropFirst() {
                guard ["amp;", "lt;", "gt;", "quot;", "#39;"].contains(where: { part.hasPrefix($0) }) else {
                    return nil
                }
            }
            guard let end = rest[begin...].firstIndex(of: ">") else { return nil }
            var tag = rest[rest.index(after: begin)..<end]
            rest = rest[rest.index(after: end)...]
            if tag.hasPrefix("/") {
                guard open.popLast() == String(tag.dropFirst()) else { return nil }
                continue
            }
            let isEmpty = tag.hasSuffix("/")
            if isEmpty { tag = tag.dropLast() }
            let name = String(tag.prefix { $0 != " " })
            found.append((name, String(tag.dropFirst(name.count))))
            guard tag.filter({ $0 == "\"" }).count % 2 == 0 else { return nil }
            if !isEmpty { open.append(name) }
        }
        return open.isEmpty ? found : nil
    }

    @Test("A page is well-formed, nothing in it is fetched or run, and hostile texts stay texts")
    func structure() throws {
        let html = page().html
        let elements = try #require(parsed(html), "the page isn't well-formed")
        let names = Set(elements.map(\.name))
        let foreign: Set = ["script", "link", "img", "iframe", "object", "embed", "base", "form"]
        #expect(names.isDisjoint(with: foreign))
        let usual: Set = ["html", "head", "style", "main", "h1", "svg", "table", "figure", "dl"]
        #expect(names.isSuperset(of: usual))
        for word in ["http://", "https://", "src=", "href=", "url(", "@import", "<script"] {
            #expect(!html.contains(word), "\(word) in the page")
        }
        #expect(!elements.contains { $0.attributes.contains(" on") }, "a handler of an event")
        #expect(html.contains("&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quoted&quot;"))
        #expect(!html.contains("\u{7}"))
        #expect(html.contains("prefers-color-scheme: dark") && html.contains("@media print"))
    }

    @Test("Every time is in a bar, the percentiles are marked, and the picture has words")
    func numbers() throws {
        let page = page()
        let html = page.html
        // Each bar has its count beneath the pointer: together they are what was counted.
        let counts = html.components(separatedBy: "<title>").dropFirst(2).compactMap { part -> Int? in
            let title = part.prefix { $0 != "<" }
            let number = title.components(separatedBy: ": ").last?.prefix { $0 != " " }
            return number.flatMap { Int($0.filter { $0 != "," }) }
        }
        #expect(counts.reduce(0, +) == 1001 + 1000, "\(counts)")
        for text in ["<b>p50</b> 51.0 µs", "<b>p99.9</b> 54.0 µs", "<b>max</b> 9.05 ms", "<b>p50</b> 104 ns"]
        {
            #expect(html.contains(text), "no \(text)")
        }
        #expect(html.contains("read: 1,000 times; p50 104 ns, p90 108 ns, p99 109 ns"))
        #expect(html.contains("compared with getpid, 80.0 ns"))
        #expect(html.components(separatedBy: "role=\"img\"").count == 3)
    }

    @Test("Nothing, one time, and times that can't be are drawn without harm")
    func extremes() {
        for times in [[], [1.0], [0], [-5], [.nan, .infinity, 1e300], [1, 1e18]] {
            let one = Distribution("x", noun: "times", nanoseconds: times)
            let page = MeasurementPage(
                "x", summary: "", table: .init([], numbers: [], rows: []), distributions: [one, one],
                sharesAxis: false, facts: [])
            #expect(parsed(page.html) != nil, "\(times)")
            #expect(!page.html.contains("nan") && !page.html.contains("inf"), "\(times)")
        }
    }

    @Test("An axis has round numbers, and twice as long is equally far everywhere")
    func axis() {
        let axis = TimeAxis(holding: [1_000, 1_000_000])
        let steps = [1e3, 2e3, 4e3, 8e3].map { axis.place($0) }
        for index in 1..<steps.count {
            #expect(abs(steps[index] - steps[index - 1] - (steps[1] - steps[0])) < 1e-9)
        }
        #expect(axis.ticks.filter { !$0.isMinor }.map { $0.nanoseconds.rounded() } == [1e3, 1e4, 1e5, 1e6])
        #expect(abs(TimeAxis.logarithm(1024) - 10) < 1e-9)
        #expect(abs(TimeAxis.logarithm(10) - 3.321928094887) < 1e-9)
        #expect(DurationText.of(999.6) == "1.00 µs" && DurationText.of(0.417) == "0.42 ns")
    }

    /// How many bytes a browser's picture of a page has: about nothing for a blank one.
    private func picture(_ html: String, _ name: String, width: Int, isDark: Bool) throws -> Int {
        let folder = FileManager.default.temporaryDirectory.appending(path: "vfio-page-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try html.write(to: folder.appending(path: "page.html"), atomically: true, encoding: .utf8)
        let process = Process()
        process.executableURL = URL(filePath: try #require(chromium))
        process.arguments = [
            "--no-sandbox", "--headless", "--hide-scrollbars", "--window-size=\(width),900",
            "--blink-settings=preferredColorScheme=\(isDark ? 0 : 1)",
            "--screenshot=\(folder.path)/page.png", "file://\(folder.path)/page.html",
        ]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return try Data(contentsOf: folder.appending(path: "page.png")).count
    }

    @Test(
        "A browser shows something, narrow and wide, light and dark",
        .enabled(if: chromium != nil, "needs Chromium"), arguments: [400, 1600], [false, true])
    func inBrowser(_ width: Int, _ isDark: Bool) throws {
        let blank = try picture("<!DOCTYPE html><html></html>", "blank", width: width, isDark: isDark)
        let shown = try picture(page().html, "page", width: width, isDark: isDark)
        #expect(shown > blank + 10_000, "\(shown) bytes, a blank page \(blank)")
    }
}
