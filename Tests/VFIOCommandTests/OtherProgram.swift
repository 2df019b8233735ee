import Foundation

/// Other programs, and the command in surroundings of the test's own.
enum OtherProgram {
    /// Where a program is; nil if it isn't installed.
    static func path(_ name: String) -> String? {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":")
        return folders.map { "\($0)/\(name)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// Runs a program to its end; standard output and errors come together where `isMerged` is true.
    static func run(
        _ path: String, _ arguments: [String], environment: [String: String] = [:], folder: String? = nil,
        removing variables: [String] = []
    ) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        var all = ProcessInfo.processInfo.environment
        for name in variables { all[name] = nil }
        process.environment = all.merging(environment) { $1 }
        if let folder { process.currentDirectoryURL = URL(filePath: folder) }
        let output = Pipe()
        let errors = FileManager.default.temporaryDirectory.appending(path: "errors-\(UUID().uuidString)")
        _ = FileManager.default.createFile(atPath: errors.path, contents: nil)
        defer { try? FileManager.default.removeItem(at: errors) }
        process.standardOutput = output
        process.standardError = try FileHandle(forWritingTo: errors)
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return Outcome(
            code: process.terminationStatus, output: text,
            errors: String(decoding: try Data(contentsOf: errors), as: UTF8.self))
    }

    /// Runs the command on a terminal, for at most so many seconds; its output and its errors are in `output`.
    static func onTerminal(
        _ arguments: [String], environment: [String: String], seconds: Int = 60
    ) throws -> Outcome {
        let words = ["timeout", "\(seconds)", vfioProgram().path] + arguments
        let line = words.map { "'" + $0.replacingOccurrences(of: "'", with: #"'\''"#) + "'" }
            .joined(separator: " ")
        return try run(
            path("script") ?? "script", ["-qec", line, "/dev/null"], environment: environment,
            removing: ["NO_COLOR", "TERM"])
    }
}

/// The verbs that the built command has, as it tells them itself.
struct Verbs {
    /// The words of each verb that has none below it, without "vfio", and the names of its options.
    let leaves: [(words: [String], options: [String])]
    /// The words of those at the top.
    let top: [String]

    init() throws {
        let dump = try JSONSerialization.jsonObject(
            with: Data(try vfio("--experimental-dump-help").output.utf8))
        let root = ((dump as? [String: Any])?["command"] as? [String: Any]) ?? [:]
        var leaves: [(words: [String], options: [String])] = []
        func visit(_ command: [String: Any], _ words: [String]) {
            guard command["shouldDisplay"] as? Bool != false else { return }
            let verbs = (command["subcommands"] as? [[String: Any]] ?? []).filter {
                $0["commandName"] as? String != "help"
            }
            for verb in verbs { visit(verb, words + [verb["commandName"] as? String ?? ""]) }
            guard verbs.isEmpty else { return }
            let names = (command["arguments"] as? [[String: Any]] ?? []).flatMap {
                ($0["names"] as? [[String: Any]] ?? []).compactMap { $0["name"] as? String }
            }
            leaves.append((words, names))
        }
        visit(root, [])
        self.leaves = leaves
        var top: [String] = []
        for words in leaves.compactMap(\.words.first) where !top.contains(words) { top.append(words) }
        self.top = top
    }
}
