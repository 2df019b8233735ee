/// A table of text, its first column to the left, the others to the right.
struct Table {
    private var rows: [[String]]

    init(_ titles: [String]) {
        rows = [titles]
    }

    mutating func add(_ row: [String]) {
        rows.append(row)
    }

    func print() {
        var widths = rows[0].map { _ in 0 }
        for row in rows {
            for (index, cell) in row.enumerated() {
                widths[index] = max(widths[index], cell.count)
            }
        }
        for (number, row) in rows.enumerated() {
            Swift.print(line(row, widths))
            if number == 0 {
                Swift.print(String(repeating: "-", count: widths.reduce(0, +) + 2 * (widths.count - 1)))
            }
        }
        Swift.print()
    }

    private func line(_ row: [String], _ widths: [Int]) -> String {
        var text = ""
        for (index, cell) in row.enumerated() {
            let padding = String(repeating: " ", count: widths[index] - cell.count)
            text += index == 0 ? cell + padding : "  " + padding + cell
        }
        return text
    }
}

/// A number with so many digits behind the point, which String can't do without Foundation.
func fixed(_ value: Double, _ digits: Int = 1) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = Int((value * scale).rounded())
    guard digits > 0 else { return String(scaled) }
    let fraction = String(abs(scaled) % Int(scale))
    let zeroes = String(repeating: "0", count: digits - fraction.count)
    return (scaled < 0 ? "-" : "") + String(abs(scaled) / Int(scale)) + "." + zeroes + fraction
}

/// A number with its thousands apart.
func grouped(_ value: Int) -> String {
    var text = ""
    for (index, digit) in String(value).reversed().enumerated() {
        if index > 0 && index % 3 == 0 { text = "," + text }
        text = String(digit) + text
    }
    return text
}
