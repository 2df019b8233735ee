import Foundation
import StateFuzz
import Testing

@Suite("States that are nearly right")
struct StateFuzzTests {
    /// How many executions: `STATE_FUZZ_COUNT`, or a few that take seconds in a debug build. `FuzzStates` runs millions.
    private var count: Int {
        ProcessInfo.processInfo.environment["STATE_FUZZ_COUNT"].flatMap { Int($0) } ?? 1500
    }

    @Test("no state ends the process, and one that is refused changes nothing; one that is taken is a state")
    func nearlyRight() throws {
        let seed =
            ProcessInfo.processInfo.environment["STATE_FUZZ_SEED"].flatMap { UInt64($0) }
            ?? .random(in: 0 ... .max)
        print("state fuzz seed: \(seed)")
        var fuzzer = try StateFuzzer(seed: seed)
        let summary = fuzzer.run(count)
        #expect(summary.troubles == [], "seed \(seed)")
        #expect(summary.executions == count)
        #expect(summary.taken > 0 && summary.refused.count > 3, "both happen: \(summary)")
    }
}
