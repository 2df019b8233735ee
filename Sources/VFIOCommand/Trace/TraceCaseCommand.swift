import ArgumentParser
import FoundationEssentials
import LinuxSystem
import VFIOConformance
import VFIOHost
import VFIOTrace

/// `vfio trace case FILE`: a case for `vfio conform` out of a trace.
struct TraceCaseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "case", abstract: "Make a case for `vfio conform --case` out of a trace.",
        discussion: """
            The case makes the calls of one process again, one after the other, and expects the same answers: \
            results, errnos, structures and what is read from registers. Handles, eventfds, objects of an \
            iommufd and memory addresses are taken for what they stand for. What the program did to its own \
            memory isn't in a trace, so devices find zeros there. Prints JSON unless --output names a file.
            """)

    @OptionGroup var options: TraceFileOptions

    @Option(help: ArgumentHelp("What the case shows.", valueName: "text")) var name: String?
    @Option(
        help: ArgumentHelp("Where the case is written.", valueName: "file"),
        completion: .file(extensions: ["json"])) var output: String?

    func run() throws {
        let trace = try options.trace()
        let one = RecordedCase(
            name ?? options.file, from: trace, process: options.process, where: try options.filter())
        for omission in one.omissions { Console.complain("vfio: not in the case: \(omission)") }
        guard !one.steps.isEmpty else {
            throw CommandFailure.refused(
                "\(options.file): there are no calls to make a case of",
                remedy: "ask for more: fewer options that pick calls, or another trace")
        }
        guard let output else { return try JSONOutput.print(one) }
        let text = try JSONOutput.text(one, [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
        do throws(Errno) {
            try FileSystem.makeFile(output, Array(text.utf8) + [UInt8(ascii: "\n")])
        } catch {
            throw CommandFailure.file(output, .written, error)
        }
        print("\(output): \(one.steps.count) calls; vfio conform --case \(output) makes them again")
    }
}

extension RecordedCase {
    /// Reads a case's file.
    static func read(_ path: String) throws(CommandFailure) -> RecordedCase {
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try FileSystem.bytes(of: path, limit: 256 << 20)
        } catch {
            throw .file(path, .read, error, code: .wrongUsage)
        }
        do {
            return try JSONDecoder().decode(RecordedCase.self, from: Data(bytes))
        } catch {
            throw .wrongUsage(
                "\(path) isn't what `vfio trace case` makes",
                remedy: "make one: vfio trace case TRACE --output \(path)")
        }
    }
}
