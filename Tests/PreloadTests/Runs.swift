import Foundation
import Testing

/// What a program did.
struct Outcome {
    let code: Int32
    let output: String
    let errors: String
}

/// What the tests here need: the library (an Embedded build makes it), and a C compiler.
enum Runs {
    /// The package's folder.
    static let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The library: what `VFIO_PRELOAD_LIBRARY` names, or what the Embedded package's own build has made.
    static let library: URL? = {
        let told = ProcessInfo.processInfo.environment["VFIO_PRELOAD_LIBRARY"].map { URL(filePath: $0) }
        let library = told ?? package.appending(path: "Embedded/.build/release/libvfio-preload.so")
        return FileManager.default.fileExists(atPath: library.path) ? library : nil
    }()

    static let needsLibrary: Comment = """
        libvfio-preload.so isn't built (swift build --package-path Embedded -c release --product vfio-preload)
        """

    static let compiler: URL? = program("cc")

    static let needsCompiler: Comment = "there is no C compiler (cc)"

    /// Where a program is that is found in `PATH`.
    static func program(_ name: String) -> URL? {
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
            .map { URL(filePath: String($0)).appending(path: name) }
            .first { FileManager.default.isExecutableFile(atPath: $0.path) }
    }

    /// Runs a program to its end, for two minutes at most.
    static func run(_ program: URL, _ arguments: [String]) throws -> Outcome {
        let process = Process()
        process.executableURL = program
        process.arguments = arguments
        if let library {
            var environment = ProcessInfo.processInfo.environment
            environment["VFIO_PRELOAD_LIBRARY"] = library.path
            process.environment = environment
        }
        let scratch = try Scratch()
        let output = try scratch.file("output")
        let errors = try scratch.file("errors")
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        let ended = DispatchSemaphore(value: 0)
        process.terminationHandler = { _ in ended.signal() }
        try process.run()
        if ended.wait(timeout: .now() + 120) == .timedOut {
            kill(process.processIdentifier, SIGTERM)
            if ended.wait(timeout: .now() + 5) == .timedOut { kill(process.processIdentifier, SIGKILL) }
            ended.wait()
            Issue.record("\(program.lastPathComponent) \(arguments) took too long and was ended")
        }
        return Outcome(
            code: process.terminationStatus, output: try scratch.text("output"),
            errors: try scratch.text("errors"))
    }

    /// Runs the command `vfio`.
    static func vfio(_ arguments: [String]) throws -> Outcome {
        let bundle = Bundle.allBundles.map(\.bundleURL).first { $0.pathExtension == "xctest" }
        let folder = (bundle ?? URL(filePath: CommandLine.arguments[0])).deletingLastPathComponent()
        return try run(folder.appending(path: "vfio"), arguments)
    }

    /// Compiles a program of Tests/Preload.
    /// - Parameters:
    ///   - other: the compiler, if not `cc`.
    ///   - options: the compiler's.
    static func compile(
        _ name: String, into scratch: Scratch, with other: URL? = nil, options: [String] = []
    ) throws -> String {
        let result = scratch.folder.appending(path: name).path
        let source = package.appending(path: "Tests/Preload/\(name).c").path
        let outcome = try run(
            try #require(other ?? compiler),
            ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-pthread", source, "-o", result]
                + options)
        try #require(outcome.code == 0, "\(outcome.errors)")
        return result
    }

    /// Compiles a program of Tests/Preload, runs it on the software machine, and expects that it ends well.
    /// - Parameter complaint: what must be said on the standard error; nothing must be if it is empty.
    static func expectSuccess(
        of name: String, _ arguments: [String] = [], machine: [String] = [], compiler: URL? = nil,
        options: [String] = [], complaining complaint: String = "",
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let scratch = try Scratch()
        let program = try compile(name, into: scratch, with: compiler, options: options)
        let outcome = try vfio(["run"] + machine + ["--", program] + arguments)
        #expect(outcome.code == 0, "\(outcome.output)\(outcome.errors)", sourceLocation: sourceLocation)
        #expect(
            complaint.isEmpty ? outcome.errors.isEmpty : outcome.errors.contains(complaint),
            "\(outcome.errors)", sourceLocation: sourceLocation)
    }
}

/// A folder for one test; removed with its owner.
final class Scratch {
    let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "preload-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func file(_ name: String) throws -> FileHandle {
        let path = folder.appending(path: name)
        try #require(FileManager.default.createFile(atPath: path.path, contents: nil))
        return try FileHandle(forWritingTo: path)
    }

    func text(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: folder.appending(path: name)), as: UTF8.self)
    }
}
