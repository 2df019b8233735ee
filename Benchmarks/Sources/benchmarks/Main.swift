import Glibc

/// What the user asked for.
struct Options {
    /// How often each measurement is repeated.
    var repeats = 7

    /// Whether large sizes are left out.
    var isQuick = false

    var names: [String] = []
}

@main
struct Benchmarks {
    static let usage = """
        usage: benchmarks [--quick] [--repeats N] [SUITE ...]
        Runs all suites if none is named. Build with -c release. Suites:
        """

    static func main() {
        var options = Options()
        var arguments = CommandLine.arguments.dropFirst()
        while let argument = arguments.popFirst() {
            switch argument {
            case "--quick":
                options.isQuick = true
            case "--repeats":
                guard let text = arguments.popFirst(), let count = Int(text), 1...1000 ~= count else {
                    fail("--repeats needs a number from 1 to 1000")
                }
                options.repeats = count
            case "--help", "-h":
                printUsage()
                return
            default:
                guard suites.contains(where: { $0.name == argument }) else {
                    fail("no suite or option '\(argument)'")
                }
                options.names.append(argument)
            }
        }
        #if DEBUG
            print("Built without optimization: the numbers say nothing.")
        #endif
        for suite in suites where options.names.isEmpty || options.names.contains(suite.name) {
            print("# \(suite.name): \(suite.summary)\n")
            suite.run(options)
        }
    }

    private static func printUsage() {
        print(usage)
        for suite in suites {
            print("  \(suite.name)  \(suite.summary)")
        }
    }

    private static func fail(_ message: String) -> Never {
        print("benchmarks: \(message)")
        printUsage()
        exit(2)
    }
}
