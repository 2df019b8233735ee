/// A page about a measurement that needs nothing but itself: no network, no script, one file to keep and to send.
///
/// It is HTML that XML's readers take as well, light or dark as its reader's screen is, as wide as there is room, and
/// can be printed. Every text is escaped, wherever it comes from.
public struct MeasurementPage: Sendable {
    /// Something that is to be known of the measurement: "Kernel", "6.12.48".
    public struct Fact: Sendable, Equatable {
        /// What it is about.
        public let name: String
        /// What it is.
        public let value: String

        /// A fact.
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Numbers in rows.
    public struct Table: Sendable, Equatable {
        /// What stands above each column.
        public let heading: [String]
        /// The columns with numbers.
        public let numbers: Set<Int>
        /// The rows; a row may be shorter than the heading.
        public let rows: [[String]]

        /// A table.
        public init(_ heading: [String], numbers: Set<Int>, rows: [[String]]) {
            self.heading = heading
            self.numbers = numbers
            self.rows = rows
        }
    }

    /// What the page is called.
    public var title: String
    /// What came out, in a sentence or two.
    public var summary: String
    /// The numbers that matter most.
    public var table: Table
    /// The times, each with a picture of its own.
    public var distributions: [Distribution]
    /// Whether all pictures have the same axis, so that they can be compared.
    public var sharesAxis: Bool
    /// What wasn't measured and why, and how to read what was.
    public var notes: [String]
    /// The facts of the run.
    public var facts: [Fact]

    /// A page.
    public init(
        _ title: String, summary: String, table: Table, distributions: [Distribution], sharesAxis: Bool,
        notes: [String] = [], facts: [Fact]
    ) {
        self.title = title
        self.summary = summary
        self.table = table
        self.distributions = distributions
        self.sharesAxis = sharesAxis
        self.notes = notes
        self.facts = facts
    }

    /// All of the file.
    public var html: String {
        let title = SVGCanvas.escaped(title)
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8"/>
            <meta name="viewport" content="width=device-width, initial-scale=1"/>
            <meta name="color-scheme" content="light dark"/>
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
            <title>\(title)</title>
            <style>
            \(PageStyle.text)
            </style>
            </head>
            <body>
            <header>
            <h1>\(title)</h1>
            <p class="summary">\(SVGCanvas.escaped(summary))</p>
            </header>
            <main>
            \(overview)\(tableText)\(pictures)\(noteText)\(factText)</main>
            </body>
            </html>

            """
    }

    // MARK: parts

    private var factText: String {
        guard !facts.isEmpty else { return "" }
        let rows = facts.map {
            "<div><dt>\(SVGCanvas.escaped($0.name))</dt><dd>\(SVGCanvas.escaped($0.value))</dd></div>\n"
        }
        return "<section>\n<h2>The run</h2>\n<dl class=\"facts\">\n\(rows.joined())</dl>\n</section>\n"
    }

    private var noteText: String {
        guard !notes.isEmpty else { return "" }
        let rows = notes.map { "<li>\(SVGCanvas.escaped($0))</li>\n" }
        return "<section>\n<h2>Notes</h2>\n<ul>\n\(rows.joined())</ul>\n</section>\n"
    }

    private var tableText: String {
        guard !table.rows.isEmpty else { return "" }
        var text = "<section>\n<h2>Numbers</h2>\n<div class=\"scroll\"><table>\n<thead><tr>"
        func kind(_ column: Int) -> String { table.numbers.contains(column) ? " class=\"number\"" : "" }
        for (column, cell) in table.heading.enumerated() {
            text += "<th scope=\"col\"\(kind(column))>\(SVGCanvas.escaped(cell))</th>"
        }
        text += "</tr></thead>\n<tbody>\n"
        for row in table.rows {
            text += "<tr>"
            for (column, cell) in row.prefix(table.heading.count).enumerated() {
                let cell = SVGCanvas.escaped(cell)
                text +=
                    column == 0
                    ? "<th scope=\"row\"\(kind(0))>\(cell)</th>" : "<td\(kind(column))>\(cell)</td>"
            }
            text += "</tr>\n"
        }
        return text + "</tbody>\n</table></div>\n</section>\n"
    }

    private var measured: [Distribution] { distributions.filter { !$0.buckets.isEmpty } }

    private static func axis(_ distributions: [Distribution]) -> TimeAxis {
        TimeAxis(
            holding: distributions.flatMap { one -> [Double] in
                let ends = [one.buckets.first?.from, one.buckets.last?.to].compactMap { $0 }
                return ends + one.quantiles.map(\.nanoseconds)
            })
    }

    /// All at a glance, a line for each.
    private var overview: String {
        let all = measured
        guard all.count > 1 else { return "" }
        let axis = TimeAxis(
            holding: all.flatMap { one in
                [one.reference?.nanoseconds, one.buckets.first?.from, one.buckets.last?.to].compactMap { $0 }
                    + one.quantiles.map(\.nanoseconds)
            })
        return
            "<section>\n<h2>At a glance</h2>\n" + OverviewPlot(all, on: axis).html + "</section>\n"
    }

    private var pictures: String {
        let all = measured
        guard !all.isEmpty else { return "" }
        let common = Self.axis(all)
        let figures = all.map { one in
            HistogramPlot(one, on: sharesAxis ? common : Self.axis([one])).html
        }
        return
            "<section>\n<h2>How long, how often</h2>\n<p class=\"hint\">The axis is logarithmic. A bar's height is how "
            + "many \(SVGCanvas.escaped(all[0].noun)) took that long; rest the pointer on one for its numbers.</p>\n"
            + "<div class=\"figures\">\n\(figures.joined())</div>\n</section>\n"
    }
}
