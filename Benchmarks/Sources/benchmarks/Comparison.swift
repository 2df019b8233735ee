/// Something and what it is compared with, measured in turns: both see the same neighbours on the machine.
struct Comparison {
    /// The time of one operation.
    let timing: Timing
    /// The time of one operation of the reference.
    let reference: Timing
    /// How the two are to one another in most cases: the median of each turn's ratio to the reference's turn
    /// beside it.
    let ratio: Double

    /// Runs both so many times in turns, after some operations to warm up each time.
    /// - Parameters:
    ///   - operations: how many operations a turn has.
    ///   - body: performs so many operations.
    init(
        turns: Int, operations: Int, of body: (Int) throws -> Void,
        against other: (Int) throws -> Void
    ) rethrows {
        var own: [Double] = []
        var others: [Double] = []
        for turn in 0..<turns {
            // Nobody is always the first.
            if turn % 2 == 0 { others.append(try Self.turn(operations, other)) }
            own.append(try Self.turn(operations, body))
            if turn % 2 == 1 { others.append(try Self.turn(operations, other)) }
        }
        timing = Timing(own)
        reference = Timing(others)
        ratio = zip(own, others).map { $0 / $1 }.sorted()[turns / 2]
    }

    private static func turn(_ operations: Int, _ body: (Int) throws -> Void) rethrows -> Double {
        try body(operations / 4 + 1)
        let start = now()
        try body(operations)
        return Double(now() - start) / Double(operations)
    }
}

/// A table of comparisons.
struct ComparisonTable {
    private var table: Table
    private let unit: Double

    /// - Parameter unit: how many nanoseconds the numbers are told in.
    init(_ title: String, in unitName: String = "ns", unit: Double = 1, reference: String) {
        table = Table([title, "\(unitName) (minimum)", "\(unitName) (median)", reference, "ratio"])
        self.unit = unit
    }

    mutating func add(_ name: String, _ comparison: Comparison) {
        table.add([
            name, fixed(comparison.timing.minimum / unit), fixed(comparison.timing.median / unit),
            fixed(comparison.reference.median / unit), fixed(comparison.ratio, 2),
        ])
    }

    func print() { table.print() }
}

extension Options {
    /// How many turns a comparison has: many short ones, since a busy machine spoils some.
    var turns: Int { (isQuick ? 5 : 25) * repeats }
}
