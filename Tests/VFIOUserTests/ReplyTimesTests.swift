import Testing
import VFIOUser

@Suite("Times in buckets")
struct ReplyTimesTests {
    @Test(
        "Each time lies in the one bucket that goes up to it, and no bucket is wider than an eighth of its times"
    )
    func bounds() {
        var random = Generator.seeded("reply times")
        var times: [UInt64] = Array(0...5000) + [.max, 1 << 40, 1 << 40 + 1]
        for power: UInt64 in 3..<40 { times += [1 << power - 1, 1 << power, 1 << power + 1] }
        for _ in 0..<20_000 { times.append(random.next() >> UInt64(random.below(64))) }
        for time in times {
            let bucket = ReplyTimes.bucket(for: time)
            #expect((0..<ReplyTimes.bucketCount).contains(bucket), "\(time)")
            let upper = ReplyTimes.upperBound(of: bucket)
            guard time <= 1 << 40 else {
                #expect(bucket == ReplyTimes.bucketCount - 1, "\(time)")
                continue
            }
            #expect(time <= upper, "\(time)")
            let lower = bucket == 0 ? 0 : ReplyTimes.upperBound(of: bucket - 1)
            #expect(time > lower || time == 0, "\(time)")
            #expect(upper - lower <= max(1, lower / 8), "\(time)")
        }
    }

    private func histogram(_ times: [UInt64]) -> ReplyTimes {
        var counts = [UInt64](repeating: 0, count: ReplyTimes.bucketCount)
        for time in times { counts[ReplyTimes.bucket(for: time)] += 1 }
        return ReplyTimes(counts: counts, sum: times.reduce(0, +), longest: times.max() ?? 0)
    }

    @Test("Quantiles are an eighth too long at most, and never longer than the longest")
    func quantiles() {
        let times = histogram(Array(1...1000).map { $0 * 1000 })
        #expect(times.count == 1000)
        for (share, exact): (Double, UInt64) in [(0.5, 500_000), (0.9, 900_000), (0.99, 990_000)] {
            let found = times.quantile(share)
            #expect(found >= exact && found <= exact + exact / 8, "\(share): \(found)")
        }
        #expect(times.quantile(1) == 1_000_000)
        #expect(times.quantile(-1) > 0 && times.quantile(7) == 1_000_000)
        #expect(ReplyTimes().quantile(0.5) == 0)
        #expect(histogram([700]).quantile(0.5) == 700)
    }

    @Test("What lies within a power of two is counted exactly")
    func powers() {
        let times = histogram([1, 255, 256, 257, 1024, 1025, 1 << 34])
        #expect(times.count(withinPowerOfTwo: 8) == 3)
        #expect(times.count(withinPowerOfTwo: 9) == 4)
        #expect(times.count(withinPowerOfTwo: 10) == 5)
        #expect(times.count(withinPowerOfTwo: 11) == 6)
        #expect(times.count(withinPowerOfTwo: 34) == 7)
        #expect(times.count(withinPowerOfTwo: 0) == 1)
    }
}
