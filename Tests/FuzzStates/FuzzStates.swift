import LinuxSystem
import StateFuzz

/// Gives devices states that are nearly right, for as long as one likes:
/// `swift run -c release FuzzStates [EXECUTIONS] [SEED]`. Ends with 1 if something happened that must not.
@main
enum FuzzStates {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst().compactMap { UInt64($0) }
        let count = Int(arguments.first ?? 10_000_000)
        let seed = arguments.count > 1 ? arguments[arguments.startIndex + 1] : Clock.now
        print("seed \(seed)")
        var fuzzer = try StateFuzzer(seed: seed)
        var done = 0
        var taken = 0
        var refused: [String: Int] = [:]
        while done < count {
            let summary = fuzzer.run(min(100_000, count - done))
            done += summary.executions
            taken += summary.taken
            refused.merge(summary.refused) { $0 + $1 }
            guard summary.troubles.isEmpty else {
                for trouble in summary.troubles { print(trouble) }
                throw Errno.inputOutput
            }
            if done % 1_000_000 == 0 { print("\(done) executions, \(taken) taken") }
        }
        print("\(done) executions, \(taken) taken; refused: \(refused.sorted { $0.key < $1.key })")
    }
}
