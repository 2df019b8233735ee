/// How long replies took: how many fell into each of a fixed number of buckets, whose widths grow with the times, an
/// eighth of them at most. Times are in nanoseconds, up to 2^40 (18 minutes); what took longer counts as that.
public struct ReplyTimes: Sendable, Equatable {
    /// How many there are in each bucket.
    public private(set) var counts: [UInt64]
    /// All times together, in nanoseconds.
    public let sum: UInt64
    /// The longest time, in nanoseconds.
    public let longest: UInt64

    /// How many buckets a power of two has, as a power of two.
    private static let finenessShift = 3
    private static let highestPower = 40
    /// How many buckets there are.
    public static let bucketCount = (highestPower - finenessShift + 1) << finenessShift

    /// Makes a histogram of counts; what is beyond ``bucketCount`` isn't looked at.
    public init(counts: [UInt64] = [], sum: UInt64 = 0, longest: UInt64 = 0) {
        self.counts = Array(counts.prefix(Self.bucketCount))
        self.counts += Array(repeating: 0, count: Self.bucketCount - self.counts.count)
        self.sum = sum
        self.longest = longest
    }

    /// The bucket of a time: it goes up to ``upperBound(of:)`` and includes it.
    @inline(__always)
    public static func bucket(for nanoseconds: UInt64) -> Int {
        // Bounds belong to the bucket below them.
        let value = min(max(nanoseconds, 1) - 1, 1 << UInt64(highestPower) - 1)
        let power = UInt64.bitWidth - 1 - value.leadingZeroBitCount
        guard power >= finenessShift else { return Int(value) }
        let shift = power - finenessShift
        return (shift + 1) << finenessShift + Int(value >> UInt64(shift)) - 1 << finenessShift
    }

    /// The longest time that falls into a bucket, in nanoseconds.
    public static func upperBound(of bucket: Int) -> UInt64 {
        guard bucket >> finenessShift > 0 else { return UInt64(max(bucket, 0)) + 1 }
        let shift = UInt64(bucket >> finenessShift - 1)
        let first = UInt64(1 << finenessShift + bucket & (1 << finenessShift - 1))
        return (first + 1) << shift
    }

    /// How many times there are.
    public var count: UInt64 { counts.reduce(0, &+) }

    /// How many took no longer than a power of two nanoseconds: exact.
    public func count(withinPowerOfTwo power: Int) -> UInt64 {
        counts.prefix(Self.bucket(for: 1 << UInt64(min(max(power, 0), Self.highestPower))) + 1).reduce(0, &+)
    }

    /// A time that so many did not exceed, in nanoseconds, an eighth too long at most; 0 where there is none.
    /// - Parameter share: 0...1; 0.99 for the time that one in a hundred exceeds.
    public func quantile(_ share: Double) -> UInt64 {
        let all = count
        guard all > 0 else { return 0 }
        let wanted = UInt64((Double(all) * min(max(share, 0), 1)).rounded(.up))
        var seen: UInt64 = 0
        for (bucket, count) in counts.enumerated() where count > 0 {
            seen &+= count
            if seen >= max(wanted, 1) { return min(Self.upperBound(of: bucket), max(longest, 1)) }
        }
        return longest
    }
}
