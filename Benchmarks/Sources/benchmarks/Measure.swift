import Glibc

/// The time that one operation took, over several repeats of many operations.
struct Timing {
    /// The fastest repeat: what the code can do when nothing disturbs it. In nanoseconds per operation.
    var minimum: Double

    /// The repeat in the middle, in nanoseconds per operation.
    var median: Double

    /// From the nanoseconds per operation of each repeat.
    init(_ samples: [Double]) {
        let sorted = samples.sorted()
        minimum = sorted[0]
        median = sorted[sorted.count / 2]
    }
}

/// The monotonic clock, in nanoseconds.
func now() -> UInt64 {
    var time = timespec()
    // SAFETY: a valid clock and a timespec of our own.
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Runs `body`, which performs `operations` operations, once to warm up and then `repeats` times.
@inline(__always)
func measure(operations: Int, repeats: Int, _ body: () -> Void) -> Timing {
    body()
    var samples: [Double] = []
    for _ in 0..<repeats {
        let start = now()
        body()
        samples.append(Double(now() - start) / Double(operations))
    }
    return Timing(samples)
}

/// Makes the compiler believe that `value` is needed.
@inline(never)
@_optimize(none)
func keep(_ value: UInt64) {}

/// A generator with a fixed seed (SplitMix64): every run measures the same.
struct FixedGenerator: RandomNumberGenerator {
    private var state: UInt64 = 42

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
