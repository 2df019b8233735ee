/// How often which latency was seen, within three per cent, from a nanosecond to centuries.
///
/// Latencies below 32 ns have a bucket each; above, each power of two is cut into 32 buckets. Recording is an
/// increment and allocates nothing.
public struct LatencyHistogram: Equatable, Sendable {
    private static let bucketCount = 60 * 32
    private var buckets: [UInt64]
    /// How many latencies were recorded.
    public private(set) var count: UInt64 = 0
    /// The shortest, in nanoseconds; 0 if there is none.
    public private(set) var minimum: UInt64 = 0
    /// The longest, in nanoseconds; 0 if there is none.
    public private(set) var maximum: UInt64 = 0
    private var total: UInt64 = 0

    /// An empty histogram.
    public init() { buckets = Array(repeating: 0, count: Self.bucketCount) }

    /// Counts a latency.
    @inline(__always)
    public mutating func record(_ nanoseconds: UInt64) {
        buckets[Self.bucket(of: nanoseconds)] &+= 1
        minimum = count == 0 ? nanoseconds : min(minimum, nanoseconds)
        maximum = max(maximum, nanoseconds)
        count &+= 1
        total &+= nanoseconds
    }

    /// Adds what another histogram counted.
    public mutating func add(_ other: LatencyHistogram) {
        guard other.count > 0 else { return }
        for index in buckets.indices { buckets[index] &+= other.buckets[index] }
        minimum = count == 0 ? other.minimum : min(minimum, other.minimum)
        maximum = max(maximum, other.maximum)
        count &+= other.count
        total &+= other.total
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
        for index in buckets.indices {
            seen &+= buckets[index]
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
