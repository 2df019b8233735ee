import Testing

@testable import NVMeDriver

@Suite("Latency histogram")
struct HistogramTests {
    @Test("percentiles are at most three per cent above the true ones and never below")
    func percentiles() {
        var random = TestRandom("histogram")
        var histogram = LatencyHistogram()
        var values: [UInt64] = []
        for _ in 0..<10000 {
            let value = random.next() >> UInt64(random.below(60))
            values.append(value)
            histogram.record(value)
        }
        values.sort()
        for percent in [0.0, 1, 25, 50, 90, 99, 99.9, 99.99, 100] {
            let rank = max(1, Int((Double(values.count) * percent / 100).rounded(.up)))
            let exact = values[rank - 1]
            let told = histogram.percentile(percent)
            #expect(told >= exact)
            #expect(Double(told) <= Double(exact) * 1.0313)
        }
        #expect(histogram.minimum == values.first && histogram.maximum == values.last)
        #expect(histogram.count == 10000)
    }

    @Test("buckets hold what was recorded, in order, none of them empty and none overlapping")
    func buckets() {
        var random = TestRandom("buckets")
        var histogram = LatencyHistogram()
        #expect(histogram.buckets.isEmpty)
        let values = (0..<1000).map { _ in random.next() >> UInt64(random.below(64)) } + [0, .max]
        for value in values { histogram.record(value) }
        let buckets = histogram.buckets
        #expect(buckets.reduce(0) { $0 + $1.count } == histogram.count)
        for bucket in buckets {
            let inside = values.count { bucket.nanoseconds.contains($0) }
            #expect(bucket.count == UInt64(inside) && inside > 0)
        }
        for (one, next) in zip(buckets, buckets.dropFirst()) {
            #expect(one.nanoseconds.upperBound < next.nanoseconds.lowerBound)
        }
    }

    @Test("every latency there can be has a bucket")
    func extremes() {
        var histogram = LatencyHistogram()
        for value in [0, 1, 31, 32, 33, 63, 64, UInt64.max - 1, .max] { histogram.record(value) }
        #expect(histogram.percentile(100) == .max)
        #expect(histogram.percentile(0) == 0)
        #expect(LatencyHistogram().percentile(50) == 0)
    }

    @Test("two histograms add up to what one would have counted")
    func adding() {
        var one = LatencyHistogram()
        var two = LatencyHistogram()
        var both = LatencyHistogram()
        for value in 0..<1000 {
            if value % 3 == 0 { one.record(UInt64(value * value)) } else { two.record(UInt64(value * value)) }
            both.record(UInt64(value * value))
        }
        one.add(two)
        #expect(one == both)
    }
}
