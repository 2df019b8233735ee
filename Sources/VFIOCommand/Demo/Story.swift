import DeviceModel

/// A demonstration as it is told: numbered parts, each with what was done and what was found.
struct Story {
    private let console: Console
    private var part = 0

    init(_ console: Console) { self.console = console }

    /// Begins a part.
    mutating func say(_ title: String, _ text: String) {
        part += 1
        console.heading("\(part). \(title)")
        detail(text)
    }

    /// Tells more of it.
    func detail(_ text: String) { console.line("   \(text)") }

    /// Tells a table.
    func detail(_ table: Table) { for line in table.lines { detail(line) } }
}

extension DMAFault {
    /// What a device tried, where, and why it was refused.
    var words: String { "a \(access) at \(iova), \(reason.words)" }
}

extension DMAFault.Reason {
    /// Why an access was refused, as the end of a sentence about it.
    var words: String {
        switch self {
        case .notMapped: "where nothing is mapped"
        case .notPermitted: "which the mapping doesn't allow"
        case .busMasterDisabled: "with bus mastering off"
        case .notAttached: "from a device that is attached to nothing"
        case .outOfRange: "beyond the end of all addresses"
        case .notLendable: "whose memory can't be lent"
        case .remote: "which another process didn't give"
        }
    }
}
