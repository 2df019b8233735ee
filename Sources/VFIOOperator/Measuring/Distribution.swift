/// How long something took, many times over: how often which time was seen.
public struct Distribution: Sendable, Equatable {
    /// Times that were counted together.
    public struct Bucket: Sendable, Equatable {
        /// The shortest time, in nanoseconds.
        public let from: Double
        /// The longest time, in nanoseconds; as `from` for a time that was measured alone.
        public let to: Double
        /// How many times there were.
        public let count: UInt64

        /// Some times. What isn't a time, or is longer than a century, is taken for the nearest one that is.
        public init(from: Double, to: Double, count: UInt64) {
            self.from = Distribution.bounded(from)
            self.to = max(self.from, Distribution.bounded(to))
            self.count = count
        }
    }

    /// A time that a share of all didn't exceed.
    public struct Quantile: Sendable, Equatable {
        /// What it is called: "p99".
        public let name: String
        /// The time.
        public let nanoseconds: Double

        /// Names a time.
        public init(_ name: String, nanoseconds: Double) {
            self.name = name
            self.nanoseconds = Distribution.bounded(nanoseconds)
        }
    }

    /// What was done: "queue depth 32".
    public let title: String
    /// What else is to be known of it, in a sentence; may be empty.
    public let note: String
    /// What is counted: "requests".
    public let noun: String
    /// The times, from the shortest on.
    public let buckets: [Bucket]
    /// What is marked, from the shortest on: the median, and further out.
    public let quantiles: [Quantile]
    /// What the times are compared with, if anything.
    public let reference: Quantile?

    /// How many times there are.
    public var count: UInt64 { buckets.reduce(0) { $0 &+ $1.count } }

    /// The shares that are marked, with their names.
    public static let markedShares: [(name: String, share: Double)] = [
        ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1),
    ]

    /// Times that were counted in buckets.
    public init(
        _ title: String, note: String = "", noun: String, buckets: [Bucket], quantiles: [Quantile],
        reference: Quantile? = nil
    ) {
        self.title = title
        self.note = note
        self.noun = noun
        self.buckets = buckets.filter { $0.count > 0 }.sorted { $0.from < $1.from }
        self.quantiles = quantiles
        self.reference = reference
    }

    /// Times as they were measured, in nanoseconds and any order.
    public init(
        _ title: String, note: String = "", noun: String, nanoseconds: [Double], reference: Quantile? = nil
    ) {
        let sorted = nanoseconds.map(Self.bounded).sorted()
        self.init(
            title, note: note, noun: noun, buckets: sorted.map { Bucket(from: $0, to: $0, count: 1) },
            quantiles: Self.markedShares.compactMap { mark in
                Self.quantile(mark.share, of: sorted).map { Quantile(mark.name, nanoseconds: $0) }
            }, reference: reference)
    }

    /// The time that a share of all didn't exceed.
    /// - Parameter sorted: the times, from the shortest on.
    /// - Returns: nil where there is none.
    static func quantile(_ share: Double, of sorted: [Double]) -> Double? {
        guard !sorted.isEmpty else { return nil }
        let rank = Int((Double(sorted.count) * min(1, max(0, share))).rounded(.up))
        return sorted[max(1, min(sorted.count, rank)) - 1]
    }

    /// A hundredth of a nanosecond to a century.
    private static func bounded(_ nanoseconds: Double) -> Double {
        nanoseconds.isNaN ? 0.01 : min(3.2e18, max(0.01, nanoseconds))
    }
}

/// A time as people read it.
public enum DurationText {
    /// Three digits that mean something: "0.42 ns", "9.13 µs", "120 ms".
    public static func of(_ nanoseconds: Double) -> String {
        let units = [(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")]
        // What is rounded up to a thousand belongs to the next unit.
        let unit = units.last { nanoseconds >= $0.0 * 0.9995 } ?? units[0]
        return "\(digits(nanoseconds / unit.0)) \(unit.1)"
    }

    /// A number with three digits that mean something: "0.42", "9.13", "120"; "?" for what isn't a number from 0 on.
    public static func digits(_ value: Double) -> String {
        guard value.isFinite, value >= 0, value < 1e15 else { return "?" }
        if value < 9.995 { return fixed(value, 2) }
        return value < 99.95 ? fixed(value, 1) : fixed(value, 0)
    }

    private static func fixed(_ value: Double, _ places: Int) -> String {
        let scale = places == 2 ? 100 : places == 1 ? 10 : 1
        let whole = Int((value * Double(scale)).rounded())
        guard places > 0 else { return "\(whole)" }
        let fraction = String(whole % scale)
        return "\(whole / scale)." + String(repeating: "0", count: places - fraction.utf8.count) + fraction
    }
}
