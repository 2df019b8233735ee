/// A logarithmic axis of times, in octaves: what is twice as long is equally far away everywhere.
struct TimeAxis {
    /// The shortest time that has a place, as a power of two nanoseconds.
    let first: Double
    /// The longest.
    let last: Double

    /// An axis that holds all of some times, and is at least two octaves long.
    init(holding times: [Double]) {
        let times = times.filter { $0 > 0 && $0.isFinite }
        var first = Self.logarithm(times.min() ?? 1) - 0.15
        var last = Self.logarithm(times.max() ?? 1) + 0.15
        if last - first < 2 {
            let middle = (first + last) / 2
            (first, last) = (middle - 1, middle + 1)
        }
        self.first = first
        self.last = last
    }

    /// Where a time lies: 0 at the axis's beginning, 1 at its end.
    func place(_ nanoseconds: Double) -> Double {
        min(1, max(0, (Self.logarithm(nanoseconds) - first) / (last - first)))
    }

    /// A place that has a number beneath it.
    struct Tick: Equatable {
        let nanoseconds: Double
        /// Whether it is left away where there is little room.
        let isMinor: Bool
    }

    /// The round times on it: 1, 10, 100 of each unit, and on a short axis 2 and 5 as well.
    var ticks: [Tick] {
        let octaves = last - first
        let steps: [Double] = octaves > 14 ? [1] : octaves > 4 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8]
        var ticks: [Tick] = []
        var decade = 0.01
        while decade < 1e19 {
            for step in steps {
                let time = decade * step
                let octave = Self.logarithm(time)
                guard octave >= first, octave <= last else { continue }
                let isMinor = octaves > 4 ? step != 1 : step != 1 && step != 2 && step != 5
                ticks.append(Tick(nanoseconds: time, isMinor: isMinor))
            }
            decade *= 10
        }
        return ticks
    }

    /// The logarithm to base two, of a positive number.
    static func logarithm(_ value: Double) -> Double {
        guard value > 0, value.isFinite else { return -7 }
        var rest = value.significand
        var result = Double(value.exponent)
        var bit = 0.5
        // Squaring doubles the logarithm, so that each of its digits comes to the front once.
        for _ in 0..<40 {
            rest *= rest
            if rest >= 2 {
                rest /= 2
                result += bit
            }
            bit /= 2
        }
        return result
    }
}

/// The bars of a distribution: equally wide on a logarithmic axis.
struct TimeBars {
    /// One bar.
    struct Bar: Equatable {
        let from: Double
        let to: Double
        let count: UInt64
    }

    /// Those that hold anything, from the shortest time on.
    let bars: [Bar]
    /// How many the fullest one holds.
    let most: UInt64

    /// Counts a distribution anew: sixteen bars an octave where the axis is short, fewer where it is long.
    init(_ distribution: Distribution, on axis: TimeAxis) {
        let octaves = axis.last - axis.first
        let perOctave: Double = octaves <= 12 ? 16 : octaves <= 24 ? 8 : 4
        let begin = (axis.first * perOctave).rounded(.down)
        let barCount = max(1, Int((axis.last * perOctave).rounded(.up) - begin))
        var sums = [Double](repeating: 0, count: barCount)
        for bucket in distribution.buckets {
            let low = TimeAxis.logarithm(bucket.from) * perOctave - begin
            let high = TimeAxis.logarithm(bucket.to) * perOctave - begin
            Self.spread(Double(bucket.count), from: low, to: high, over: &sums)
        }
        bars = Self.whole(sums, total: distribution.count, begin: begin / perOctave, width: 1 / perOctave)
        most = bars.map(\.count).max() ?? 0
    }

    /// Shares a bucket out among the bars that it reaches over: none is fuller only because buckets happen to end there.
    private static func spread(_ count: Double, from low: Double, to high: Double, over sums: inout [Double])
    {
        let last = sums.count - 1
        let first = min(last, max(0, Int(low.rounded(.down))))
        let end = min(last, max(first, Int(high.rounded(.down))))
        guard end > first, high > low else {
            sums[first] += count
            return
        }
        for index in first...end {
            let share = min(high, Double(index + 1)) - max(low, Double(index))
            sums[index] += count * max(0, share) / (high - low)
        }
    }

    /// Whole numbers that add up to what there was.
    private static func whole(_ sums: [Double], total: UInt64, begin: Double, width: Double) -> [Bar] {
        var bars: [Bar] = []
        var exact = 0.0
        var given: UInt64 = 0
        var edge = power(begin)
        let step = power(width)
        for sum in sums {
            exact += sum
            let next = edge * step
            let due = min(total, UInt64(max(0, exact + 0.5 + 1e-6)))
            if due > given { bars.append(Bar(from: edge, to: next, count: due - given)) }
            given = max(given, due)
            edge = next
        }
        return bars
    }

    /// Two to the power of a number.
    private static func power(_ exponent: Double) -> Double {
        let whole = exponent.rounded(.down)
        var rest = exponent - whole
        var result = Double(sign: .plus, exponent: Int(whole), significand: 1)
        var root = 2.0.squareRoot()
        for _ in 0..<40 {
            rest *= 2
            if rest >= 1 {
                rest -= 1
                result *= root
            }
            root = root.squareRoot()
        }
        return result
    }
}
