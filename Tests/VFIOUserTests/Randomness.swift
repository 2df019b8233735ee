import Glibc
import LinuxSystem

/// A number from the environment.
func setting(_ name: String, _ standard: Int) -> Int {
    // SAFETY: the environment isn't changed while tests run.
    guard let text = unsafe getenv(name), let value = Int(unsafe String(cString: text)) else {
        return standard
    }
    return value
}

/// SplitMix64: the same seed gives the same run.
struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(max(limit, 1))) }

    /// A generator whose seed is given by `VFIO_USER_SEED`, or new; it is printed.
    static func seeded(_ test: String) -> Generator {
        let seed = UInt64(bitPattern: Int64(setting("VFIO_USER_SEED", Int(truncatingIfNeeded: Clock.now))))
        print("\(test): VFIO_USER_SEED=\(Int64(bitPattern: seed))")
        return Generator(state: seed)
    }
}

/// How much a test with random input does: what the environment says, or little.
struct FuzzBudget {
    private let what: String
    private let count: Int
    private let deadline: UInt64?
    private let start = Clock.now
    private var done = 0

    /// - Parameter count: how much is done unless `VFIO_FUZZ_COUNT` or `VFIO_FUZZ_SECONDS` says otherwise.
    init(_ what: String, _ count: Int) {
        self.what = what
        let seconds = setting("VFIO_FUZZ_SECONDS", 0)
        deadline = seconds > 0 ? Clock.moment(inMilliseconds: seconds * 1000) : nil
        self.count = setting("VFIO_FUZZ_COUNT", count)
    }

    /// Whether there is more to do; says how much was done when there isn't.
    var goes: Bool {
        let goes = if let deadline { Clock.now < deadline } else { done < count }
        if !goes { print("\(what): \(done) in \((Clock.now - start) / 1_000_000) ms") }
        return goes
    }

    /// Notes what was done.
    mutating func spend(_ count: Int) { done += count }
}
