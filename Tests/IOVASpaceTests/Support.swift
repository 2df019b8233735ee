import Glibc
import IOVASpace

/// A small generator of random numbers whose whole state is its seed (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A number below `limit`.
    mutating func below(_ limit: UInt64) -> UInt64 {
        next() % limit
    }
}

/// The seed of a random test, printed so that a failure can be repeated: `IOVA_SEED=… swift test`.
func testSeed(_ name: String) -> UInt64 {
    var seed = UInt64.random(in: 1...(.max))
    // SAFETY: getenv gives nil or a string that nobody changes while tests run.
    if let text = unsafe getenv("IOVA_SEED"), let given = UInt64(unsafe String(cString: text)) {
        seed = given
    }
    print("\(name): IOVA_SEED=\(seed)")
    return seed
}

/// A range that the test knows to be one.
func range(_ first: UInt64, _ last: UInt64) -> IOVARange {
    guard let range = IOVARange(first: IOVA(first), last: IOVA(last)) else {
        preconditionFailure("\(first)...\(last) is no range")
    }
    return range
}

/// Pages `first..<first + count` of 4 KiB.
func pages(_ first: UInt64, _ count: UInt64 = 1) -> IOVARange {
    range(first << 12, ((first + count) << 12) &- 1)
}

/// All mappings of a map, in order.
func contents(_ map: borrowing IOVAMap) -> [IOVAMapping] {
    var all: [IOVAMapping] = []
    map.forEachMapping { all.append($0) }
    return all
}

/// What `body` throws, or nil.
func thrown<E: Error>(_ body: () throws(E) -> Void) -> E? {
    do throws(E) {
        try body()
        return nil
    } catch {
        return error
    }
}
