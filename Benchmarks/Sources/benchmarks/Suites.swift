/// A group of benchmarks that is asked for by name.
struct Suite: Sendable {
    /// What the user types.
    var name: String

    /// One line for the list.
    var summary: String

    /// Measures and prints.
    var run: @Sendable (Options) -> Void
}

/// Every suite. A new one is a file beside this one, and a line here.
let suites: [Suite] = [
    iovaSuite, driveSuite, userSuite, userMemorySuite, userDiskSuite, userCostSuite, guestSuite,
    runSuite,
]
