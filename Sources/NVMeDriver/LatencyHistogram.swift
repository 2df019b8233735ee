/// How often which latency was seen, within three per cent, from a nanosecond to centuries.
///
/// Latencies below 32 ns have a bucket each; above, each power of two is cut into 32 buckets. Recording is an
/// increment and allocates nothing.
public struct LatencyHistogram: Equatable, Sendable {
    private static let bucketCount = 60 * 32
    private var counts: [UInt64]
    /// How many latencies were recorded.
    public private(set) var count: UInt64 = 0
    /// The shortest, in nanoseconds; 0 if there is none.
    public private(set) var minimum: UInt64 = 0
    /// The longest, in nanoseconds; 0 if there is none.
    public private(set) var maximum: UInt64 = 0
    private var total: UInt64 = 0

    /// An empty histogram.
    public init() { counts = Array(repeating: 0, count: Self.bucketCount) }

    /// Counts a latency.
    @inline(__always)
    public mutating func record(_ nanoseconds: UInt64) {
        counts[Self.bucket(of: nanoseconds)] &+= 1
        minimum = count == 0 ? nanoseconds : min(minimum, nanoseconds)
        maximum = max(maximum, nanoseconds)
        count &+= 1
        total &+= nanoseconds
    }

    /// Adds what another histogram counted.
    public mutating func add(_ other: LatencyHistogram) {
        guard other.count > 0 else { return }
        for index in counts.indices { counts[index] &+= other.counts[index] }
        minimum = count == 0 ? other.minimum : min(minimum, other.minimum)
        maximum = max(maximum, other.maximum)
        count &+= other.count
        total &+= other.total
    }

    /// The latencies that fell into one bucket.
    public struct Bucket: Equatable, Sendable {
        /// From the shortest to the longest latency of the bucket, in nanoseconds.
        public let nanoseconds: ClosedRange<UInt64>
        /// How many latencies there were of these; never 0.
        public let count: UInt64
    }

    /// The buckets that anything fell into, from the shortest latencies to the longest. Their counts add up to ``count``.
    public var buckets: [Bucket] {
        var first: UInt64 = 0
        var buckets: [Bucket] = []
        for index in counts.indices {
            let last = Self.last(of: index)
            if counts[index] > 0 { buckets.append(Bucket(nanoseconds: first...last, count: counts[index])) }
            first = last &+ 1
        }
        return buckets
    }

    /// The mean, in nanoseconds; 0 if there is none.
    public var mean: Double { count == 0 ? 0 : Double(total) / Double(count) }

    /// The latency, in nanoseconds, that this share of all didn't exceed; never less than the true one, and at
    /// most three per cent more. 0 if there is none.
    /// - Parameter percent: 0...100, e.g. 99.9.
    public func percentile(_ percent: Double) -> UInt64 {
        guard count > 0 else { return 0 }
        let rank = (Double(count) * min(100, max(0, percent)) / 100).rounded(.up)
        // Converted with care: a count beyond 2^53 may round up to more than there are.
        let wanted = rank >= Double(count) ? count : max(1, UInt64(rank))
        var seen: UInt64 = 0
        for index in counts.indices {
            seen &+= counts[index]
            if seen >= wanted { return min(maximum, Self.last(of: index)) }
        }
        return maximum
    }

    private static func bucket(of value: UInt64) -> Int {
        guard value >= 32 else { return Int(value) }
        let exponent = 63 - value.leadingZeroBitCount
        return (exponent - 4) * 32 + Int((value >> UInt64(exponent - 5)) & 31)
    }

    /// The longest latency that falls into a bucket.
    private static func last(of bucket: Int) -> UInt64 {
        guard bucket >= 32 else { return UInt64(bucket) }
        let shift = UInt64(bucket / 32 - 1)
        return (UInt64(32 + bucket % 32) << shift) + ((1 << shift) - 1)
    }
}
