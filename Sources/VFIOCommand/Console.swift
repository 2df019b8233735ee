import LinuxSystem

/// What a person sees: text on standard output, progress on a terminal only, complaints on standard error.
struct Console {
    /// Whether standard output is a terminal: then there are bars and colours, in a pipe there are not.
    let isTerminal: Bool
    /// Whether there are colours and bold letters: on a terminal, and not where the environment has `NO_COLOR`, or
    /// says that the terminal can't show them (`TERM=dumb`).
    let isColoured: Bool
    /// Whether what was written can be overwritten: on a terminal that isn't a dumb one.
    private let hasCursor: Bool
    private let columns: Int

    /// A console on this process's standard output.
    init() {
        isTerminal = Terminal.isTerminal(1)
        let isDumb = ChildProcess.environmentValue("TERM") == "dumb"
        isColoured =
            isTerminal && !isDumb && (ChildProcess.environmentValue("NO_COLOR") ?? "").isEmpty
        hasCursor = isTerminal && !isDumb
        columns = Terminal.columns(1)
    }

    /// A line of output.
    func line(_ text: String = "") {
        print(text)
        StandardStream.flush()
    }

    /// A heading, bold on a terminal.
    func heading(_ text: String) { line(isColoured ? "\u{1b}[1m\(text)\u{1b}[0m" : text) }

    /// A complaint on standard error.
    static func complain(_ text: String) { write(text + "\n", to: 2) }

    /// Draws how far a task has come; in a pipe nothing is drawn.
    func progress(_ done: UInt64, of total: UInt64, _ what: String) {
        guard hasCursor, total > 0 else { return }
        let width = max(10, min(40, columns - what.count - 12))
        let filled = Int(Double(width) * Double(min(done, total)) / Double(total))
        let bar = String(repeating: "█", count: filled) + String(repeating: "·", count: width - filled)
        let percent = Int(100 * Double(min(done, total)) / Double(total))
        Self.write("\r  \(what) \(bar) \(percent) % ", to: 1)
    }

    /// Removes the progress bar.
    func endProgress() {
        guard hasCursor else { return }
        // Spaces, not a code: what has no colours has no codes at all.
        Self.write("\r" + String(repeating: " ", count: max(0, columns - 1)) + "\r", to: 1)
    }

    /// How many columns a line has; nil where there is no end to it, in a pipe.
    var lineLength: Int? { isTerminal ? columns : nil }

    /// How text stands out where colours are wanted: codes of SGR (ECMA-48).
    enum Style: String {
        case bold = "1"
        case faint = "2"
        case good = "32"
        case warning = "33"
        case bad = "31"
    }

    /// A text in a style, where colours are wanted.
    func styled(_ text: String, _ style: Style) -> String {
        isColoured ? "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m" : text
    }

    private static func write(_ text: String, to number: Int32) {
        StandardStream.write(Array(text.utf8), to: number)
    }
}

/// Text in columns.
struct Table {
    private var rows: [[String]]
    /// How cells stand out, by row and column.
    private var styles: [Int: [Int: Console.Style]] = [:]
    private let rightAligned: Set<Int>

    /// A table with a heading row.
    /// - Parameter rightAligned: the columns with numbers.
    init(_ heading: [String], rightAligned: Set<Int> = []) {
        rows = [heading]
        self.rightAligned = rightAligned
    }

    /// Appends a row.
    mutating func add(_ row: [String]) { rows.append(row) }

    /// Appends a row of which some cells stand out, by column.
    mutating func add(_ row: [String], _ style: [Int: Console.Style]) {
        styles[rows.count] = style
        rows.append(row)
    }

    /// The lines, columns two spaces apart.
    var lines: [String] { lines(on: nil) }

    /// The lines as they look on a console: with colours where it has them, and on a terminal no longer than its lines
    /// are, which is at the last column's expense.
    /// - Parameter indent: how many columns the caller puts before each line.
    func lines(on console: Console?, indented indent: Int = 0) -> [String] {
        let count = rows.map(\.count).max() ?? 0
        let widths = (0..<count).map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        let limit = console?.lineLength.map { $0 - indent } ?? .max
        return rows.enumerated().map { index, row in
            var line = ""
            var width = 0
            for (column, cell) in row.enumerated() {
                let room = column == row.count - 1 ? max(8, limit - width) : .max
                let cell = cell.count > room ? cell.prefix(room - 1) + "…" : cell
                let space = String(repeating: " ", count: max(0, widths[column] - cell.count))
                var shown = cell
                if let console, let style = styles[index]?[column] { shown = console.styled(cell, style) }
                line += rightAligned.contains(column) ? space + shown : shown + space
                if column < row.count - 1 { line += "  " }
                width += widths[column] + 2
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}

/// Numbers as people read them.
enum Human {
    /// "512 bytes", "4 KiB", "16.5 MiB"
    static func bytes(_ count: UInt64) -> String {
        if count < 1024 { return "\(count) bytes" }
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        var value = Double(count) / 1024
        var unit = 0
        while value >= 1024 && unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return "\(decimal(value)) \(units[unit])"
    }

    /// "9.1 µs", "1.2 ms", "3 s"
    static func nanoseconds(_ count: UInt64) -> String {
        let value = Double(count)
        if count < 1_000 { return "\(count) ns" }
        if count < 1_000_000 { return "\(decimal(value / 1e3)) µs" }
        if count < 1_000_000_000 { return "\(decimal(value / 1e6)) ms" }
        return "\(decimal(value / 1e9)) s"
    }

    /// One digit after the point, and none if it would be 0.
    static func decimal(_ value: Double) -> String {
        let tenths = (value * 10).rounded()
        if tenths.truncatingRemainder(dividingBy: 10) == 0 { return "\(Int(tenths / 10))" }
        return "\(Int(tenths / 10)).\(Int(tenths.truncatingRemainder(dividingBy: 10)))"
    }

    /// "1234567" as "1,234,567"
    static func grouped(_ value: UInt64) -> String {
        var digits = String(value)
        var groups: [String] = []
        while digits.count > 3 {
            groups.insert(String(digits.suffix(3)), at: 0)
            digits.removeLast(3)
        }
        groups.insert(digits, at: 0)
        return groups.joined(separator: ",")
    }
}
