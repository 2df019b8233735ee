import Foundation

/// What a run of the built command ended with.
struct Outcome {
    let code: Int32
    let output: String
    let errors: String
}

/// Runs the command as a user does: the program that the build put beside the tests.
func vfio(_ arguments: String...) throws -> Outcome {
    try vfio(arguments)
}

/// Runs the command with a list of arguments.
func vfio(_ arguments: [String]) throws -> Outcome {
    let process = Process()
    process.executableURL = vfioProgram()
    process.arguments = arguments
    let output = Pipe()
    let errors = Pipe()
    process.standardOutput = output
    process.standardError = errors
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    let complaint = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return Outcome(code: process.terminationStatus, output: text, errors: complaint)
}

/// The program that the build put beside the tests: the test bundle and the programs of the package are in one
/// folder.
func vfioProgram() -> URL {
    let bundle = Bundle.allBundles.map(\.bundleURL).first { $0.pathExtension == "xctest" }
    return (bundle ?? URL(filePath: CommandLine.arguments[0])).deletingLastPathComponent().appending(
        path: "vfio")
}

/// The command at work, until it is sent a signal.
final class RunningCommand {
    private let process = Process()
    private let output = Pipe()
    private let errors = Pipe()

    /// Starts the command.
    /// - Parameter input: what its descriptor 0 is.
    init(_ arguments: [String], input: FileHandle = .nullDevice, folder: String? = nil) throws {
        process.executableURL = vfioProgram()
        process.arguments = arguments
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = input
        if let folder { process.currentDirectoryURL = URL(filePath: folder) }
        try process.run()
    }

    deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

    /// The program, for those who start it in a way of their own.
    static var program: URL { vfioProgram() }

    /// Its number, for signals.
    var identifier: Int32 { process.processIdentifier }

    /// Waits for a file to appear, as long as the command runs.
    /// - Returns: whether it did within ten seconds.
    func waits(for path: String) -> Bool {
        for _ in 0..<1000 {
            if FileManager.default.fileExists(atPath: path) { return true }
            if !process.isRunning { return false }
            usleep(10_000)
        }
        return false
    }

    /// Sends a signal and waits for the end.
    func end(_ signal: Int32 = SIGTERM) -> Outcome {
        kill(process.processIdentifier, signal)
        return wait()
    }

    /// Waits for the end.
    func wait() -> Outcome {
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let complaint = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return Outcome(code: process.terminationStatus, output: text, errors: complaint)
    }
}

/// A folder that goes when it isn't needed any more.
final class Scratch {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "vfio-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file and gives its path.
    func file(_ name: String, _ contents: Data) throws -> String {
        try contents.write(to: URL(filePath: path + "/" + name))
        return path + "/" + name
    }

    /// Writes a text file and gives its path.
    func file(_ name: String, _ text: String) throws -> String { try file(name, Data(text.utf8)) }

    /// Writes a disk image of random bytes.
    func image(_ name: String = "disk.img", byteCount: Int = 1 << 20) throws -> String {
        var generator = SystemRandomNumberGenerator()
        return try file(name, Data((0..<byteCount).map { _ in UInt8(truncatingIfNeeded: generator.next()) }))
    }

    /// Writes a machine with one NVMe disk on `disk.img`, and more parts as JSON text.
    func machine(_ more: String = "", devices: String = "") throws -> String {
        try file(
            "machine.json",
            """
            { "groups": [ { "number": 26, "devices": [
                { "address": "0000:01:00.0", "model": "nvme", "image": "disk.img" }\(devices) ] } ]\(more) }
            """)
    }
}
