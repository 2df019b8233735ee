import LinuxSystem
import VFIO
import VFIOOperator

/// What comes while interrupts are watched: a line each, and a summary.
struct InterruptText {
    private let device: String
    private let json: Bool

    init(_ device: String, json: Bool) {
        self.device = device
        self.json = json
    }

    /// Says what is watched.
    func begin(_ kinds: [InterruptKind], _ range: Range<Int>?) {
        guard !json else { return }
        let parts = kinds.map { kind in
            let vectors = range ?? 0..<kind.info.count
            return vectors.count == 1
                ? "\(kind.title) vector \(vectors.lowerBound)"
                : "\(kind.title) vectors \(vectors.lowerBound) to \(vectors.upperBound - 1)"
        }
        print("watching \(parts.joined(separator: ", ")) of \(device)")
        print(Self.columns("seconds", "kind", "vector", "count", "total"))
        StandardStream.flush()
    }

    /// Prints what has come.
    func line(_ arrival: InterruptWatch.Arrival) throws(CommandFailure) {
        if json {
            try JSONOutput.printLine(
                Line(
                    interrupt: arrival.kind.word, vector: arrival.vector, count: arrival.count,
                    total: arrival.total, nanoseconds: arrival.nanoseconds))
        } else {
            print(
                Self.columns(
                    Self.seconds(arrival.nanoseconds), arrival.kind.title, "\(arrival.vector)",
                    "\(arrival.count)", "\(arrival.total)"))
        }
        StandardStream.flush()
    }

    /// Prints what came in all, and how often in a second.
    func end(_ sums: [InterruptWatch.Sum], _ nanoseconds: UInt64) throws(CommandFailure) {
        let came = sums.filter { $0.total > 0 }
        let total = came.reduce(0) { $0 + $1.total }
        if json {
            return try JSONOutput.printLine(
                Summary(
                    device: device, total: total, nanoseconds: nanoseconds,
                    vectors: sums.map { Vector(interrupt: $0.kind.word, vector: $0.vector, total: $0.total) })
            )
        }
        print(
            "\(Human.grouped(total)) interrupt\(total == 1 ? "" : "s") in \(Human.nanoseconds(nanoseconds)), "
                + "on \(came.count) of \(sums.count) vector\(sums.count == 1 ? "" : "s")")
        // What can be read in one go; the lines before have it all.
        let most = 32
        for sum in came.prefix(most) {
            // A few in a moment tell of no rate.
            let rate =
                nanoseconds < 100_000_000 || sum.total < 2
                ? "" : ", \(Self.rate(sum.total, nanoseconds)) a second"
            print("  \(sum.kind.title) vector \(sum.vector): \(Human.grouped(sum.total))\(rate)")
        }
        if came.count > most { print("  and \(came.count - most) more") }
    }

    private static func rate(_ count: UInt64, _ nanoseconds: UInt64) -> String {
        Human.decimal(Double(count) * 1e9 / Double(max(1, nanoseconds)))
    }

    /// "0.001234"
    private static func seconds(_ nanoseconds: UInt64) -> String {
        let micro = String(nanoseconds / 1000 % 1_000_000)
        return "\(nanoseconds / 1_000_000_000)." + String(repeating: "0", count: 6 - micro.count) + micro
    }

    /// Cells as they stand below one another, without knowing what comes later.
    private static func columns(
        _ time: String, _ kind: String, _ vector: String, _ count: String, _ total: String
    ) -> String {
        func padded(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        let name = kind + String(repeating: " ", count: max(0, 11 - kind.count))
        return "\(padded(time, 12))  \(name)\(padded(vector, 7))\(padded(count, 7))\(padded(total, 10))"
    }

    /// One line of `--json`.
    private struct Line: Encodable {
        let version = 1
        let event = "interrupt"
        let interrupt: String
        let vector: Int
        let count: UInt64
        let total: UInt64
        let nanoseconds: UInt64
    }

    /// The last line of `--json`.
    private struct Summary: Encodable {
        let version = 1
        let event = "summary"
        let device: String
        let total: UInt64
        let nanoseconds: UInt64
        let vectors: [Vector]
    }

    private struct Vector: Encodable {
        let interrupt: String
        let vector: Int
        let total: UInt64
    }
}
