import LinuxSystem
import VFIOABI

extension ServerMetrics: CustomStringConvertible {
    /// A few lines for people: connections, memory, interrupts, errors, and a table of commands with how many there
    /// were, how many bytes went both ways, and how long answers took.
    public var description: String {
        var lines = [summary]
        lines.append(
            "DMA: \(mappingCount) mappings of \(Self.bytes(mappedByteCount)); "
                + "by messages \(Self.bytes(dmaReadByteCount)) read, \(Self.bytes(dmaWrittenByteCount)) written"
        )
        let kinds: [(String, UInt64)] = [
            ("INTx", interrupts.line), ("MSI", interrupts.msi), ("MSI-X", interrupts.msix),
            ("errors", interrupts.error), ("requests", interrupts.request),
        ]
        let some = kinds.filter { $0.1 > 0 }.map { "\($0.1) \($0.0)" }
        lines.append("interrupts: " + (some.isEmpty ? "none" : some.joined(separator: ", ")))
        let failures = errors.map {
            "\($0.count) \(MessageWords.errno(UInt32(clamping: $0.errno.rawValue))) \($0.direction)"
        }
        lines.append("errors: " + (failures.isEmpty ? "none" : failures.joined(separator: ", ")))
        let table = commandTable
        if table.count > 1 { lines += Self.aligned(table) }
        return lines.joined(separator: "\n")
    }

    private var summary: String {
        var text = "connections: \(connectionCount)" + (isConnected ? ", one now" : ", none now")
        let past = ends.filter { $0.count > 0 }.map { "\($0.count) \($0.reason)" }
        if !past.isEmpty { text += "; ended: " + past.joined(separator: ", ") }
        let time = nanoseconds.map { "messages counted for \(MessageWords.duration($0))" }
        return text + "; " + (time ?? "messages not counted")
    }

    /// A row for each command that there was, below the headings.
    private var commandTable: [[String]] {
        var rows = [
            ["command", "received", "bytes", "sent", "bytes", "p50", "p90", "p99", "p99.9", "longest"]
        ]
        var slots: [UInt16] = []
        for entry in messages where entry.count > 0 && !slots.contains(entry.command.rawValue) {
            slots.append(entry.command.rawValue)
        }
        for slot in slots {
            let own = messages.filter { $0.command.rawValue == slot }
            func sum(_ direction: MessageDirection, _ value: (Messages) -> UInt64) -> UInt64 {
                own.filter { $0.direction == direction }.reduce(0) { $0 &+ value($1) }
            }
            var row = [Self.name(UserCommand(rawValue: slot))]
            for direction in MessageDirection.allCases {
                row.append("\(sum(direction) { $0.count })")
                row.append(Self.bytes(sum(direction) { $0.byteCount }))
            }
            if let times = latencies.first(where: { $0.command.rawValue == slot })?.times {
                for share in [0.5, 0.9, 0.99, 0.999] {
                    row.append(MessageWords.duration(times.quantile(share)))
                }
                row.append(MessageWords.duration(times.longest))
            }
            rows.append(row)
        }
        return rows
    }

    /// The command's name; "other" for what is none.
    static func name(_ command: UserCommand) -> String { command.name.map { "\($0)" } ?? "other" }

    /// "640 B", "4.0 KiB"
    private static func bytes(_ count: UInt64) -> String {
        var unit = 0
        var value = count
        var rest: UInt64 = 0
        while value >= 1024 && unit < 6 {
            rest = value % 1024
            value /= 1024
            unit += 1
        }
        let names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        return unit == 0 ? "\(value) B" : "\(value).\(rest * 10 / 1024) \(names[unit])"
    }

    /// Rows with their columns below one another: the first one to the left, the others to the right.
    private static func aligned(_ rows: [[String]]) -> [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        return rows.map { row in
            row.enumerated().map { column, cell in
                let space = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + space : space + cell
            }
            .joined(separator: "  ")
        }
    }
}
