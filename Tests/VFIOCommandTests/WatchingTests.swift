import Foundation
import Glibc
import LinuxSystem
import Testing

@Suite("vfio bench and vfio nvme perf")
struct MeasuringCommandTests {
    private func object(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test("bench measures the software machine's disk where nothing is named, as JSON and as a page")
    func bench() throws {
        let scratch = try Scratch()
        let page = scratch.path + "/bench.html"
        let outcome = try vfio("bench", "--milliseconds", "1", "--memory", "8M", "--json", "--html", page)
        try #require(outcome.code == 0, "\(outcome.errors)")
        let report = try object(outcome.output)
        #expect(report["version"] as? Int == 1 && report["device"] as? String == "0000:01:00.0")
        let entries = try #require(report["measurements"] as? [[String: Any]])
        let names = entries.compactMap { $0["name"] as? String }
        #expect(names.contains("device-get-info") && names.contains("map-8MiB"), "\(names)")
        #expect(names.last == "nvme-read-4KiB", "\(names)")
        #expect(entries.allSatisfy { ($0["ratio"] as? Double ?? 0) > 0 && $0["reference"] is String })
        let html = try String(contentsOfFile: page, encoding: .utf8)
        #expect(html.hasPrefix("<!DOCTYPE html>") && html.contains("0000:01:00.0"))
        #expect(html.contains("a software machine in this process"))
    }

    @Test("bench without JSON is a table, with what wasn't measured below")
    func table() throws {
        let outcome = try vfio(
            "bench", "0000:02:00.0", "--host", "soft", "--milliseconds", "1", "--memory", "4M")
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("compared with") && outcome.output.contains("not measured:"))
        #expect(outcome.output.contains("--register bar0:0x0"))
        #expect(!outcome.output.contains("\u{1b}") && !outcome.output.contains("\r"))
    }

    @Test(
        "Wrong options are wrong usage, and say what is right",
        arguments: [
            ["bench", "--register", "bar9:0"], ["bench", "--register", "bar0:3"],
            ["bench", "--milliseconds", "0"], ["bench", "--memory", "much"],
            ["bench", "--host", "linux"], ["bench", "nonsense", "--host", "soft"],
            ["nvme", "perf", "0000:01:00.0", "--host", "soft", "--queue-depth", "1,,2"],
            ["nvme", "perf", "0000:01:00.0", "--host", "soft", "--queue-depth", "1,4096"],
            ["nvme", "perf", "0000:01:00.0", "--host", "soft", "--queue-depth", ""],
            ["top", "--interval", "0"], ["top", "--count", "0"], ["top", "--port", "0"],
            ["top", "--port", "9200", "--run", "/tmp"],
        ])
    func wrongUsage(_ arguments: [String]) throws {
        let outcome = try vfio(arguments)
        #expect(outcome.code == 2 && !outcome.errors.isEmpty, "\(outcome)")
    }

    @Test("A page that can't be written is a failure")
    func unwritable() throws {
        let outcome = try vfio(
            "bench", "--milliseconds", "1", "--memory", "4M", "--html", "/nowhere/page.html")
        #expect(outcome.code == 1 && outcome.errors.contains("/nowhere/page.html"), "\(outcome)")
    }

    @Test("perf at one depth has the names that it always had; several depths are runs")
    func perf() throws {
        let scratch = try Scratch()
        let page = scratch.path + "/perf.html"
        let disk = ["nvme", "perf", "0000:01:00.0", "--host", "soft", "--seconds", "0.02"]
        let one = try object(try vfio(disk + ["--json"]).output)
        for name in [
            "requests", "queueDepth", "requestsPerSecond", "bytesPerSecond", "meanNanoseconds",
            "p50Nanoseconds", "p99Nanoseconds", "maximumNanoseconds", "version",
        ] {
            #expect(one[name] is NSNumber, "\(name) in \(one)")
        }
        let several = try vfio(disk + ["--queue-depth", "1,4", "--json", "--html", page])
        let runs = try #require(try object(several.output)["runs"] as? [[String: Any]])
        #expect(runs.compactMap { $0["queueDepth"] as? Int } == [1, 4])
        let html = try String(contentsOfFile: page, encoding: .utf8)
        #expect(html.components(separatedBy: "<figure>").count == 3)
        #expect(html.contains("<h3>queue depth 4</h3>") && html.contains("random reads of 4 KiB"))
        let text = try vfio(disk + ["--queue-depth", "1,4"]).output
        #expect(text.split(separator: "\n").count == 3 && text.contains("p99.9"), "\(text)")
    }
}

@Suite("vfio top")
struct TopTests {
    /// A server with metrics, and the port that it told.
    private func server(_ scratch: Scratch) throws -> (RunningCommand, UInt16) {
        let port = try LoopbackSocket(listening: 0).port()
        let path = scratch.path + "/edu.sock"
        let command = try RunningCommand(["serve", "edu", "--socket", path, "--metrics-port", "\(port)"])
        try #require(command.waits(for: path), "\(command.wait())")
        return (command, port)
    }

    @Test("In a pipe there is a line for each device and interval, with what a client just did")
    func lines() throws {
        let scratch = try Scratch()
        let (server, port) = try server(scratch)
        let socket = try UnixSocket(connecting: scratch.path + "/edu.sock")
        try Conversation.begin(socket)
        let top = try RunningCommand([
            "top", "--port", "\(port)", "--interval", "0.5", "--count", "2", "--json",
        ])
        for _ in 0..<40 {
            _ = try Conversation.identity(over: socket)
            usleep(20_000)
        }
        let outcome = top.wait()
        #expect(outcome.code == 0, "\(outcome.errors)")
        let objects = try outcome.output.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        #expect(objects.count == 2)
        #expect(objects.allSatisfy { $0["device"] as? String == "edu" && $0["version"] as? Int == 1 })
        let registers = objects.compactMap { $0["registersPerSecond"] as? Double }
        #expect(registers.contains { $0 > 0 }, "\(outcome.output)")
        let text = try vfio("top", "--port", "\(port)", "--interval", "0.1", "--count", "2")
        let lines = text.output.split(separator: "\n")
        #expect(lines.count == 3 && lines[0].hasPrefix("time ") && lines[1].contains(" edu "), "\(text)")
        _ = server.end()
    }

    @Test("A server that goes away is told of; one that never was, with what to do")
    func loss() throws {
        let scratch = try Scratch()
        let (server, port) = try server(scratch)
        let top = try RunningCommand(["top", "--port", "\(port)", "--interval", "0.1"])
        usleep(300_000)
        _ = server.end()
        let outcome = top.wait()
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains("the server on port \(port) has gone"), "\(outcome.errors)")
        let never = try vfio("top", "--port", "\(port)")
        #expect(never.code == 1 && never.errors.contains("--metrics-port \(port)"), "\(never.errors)")
    }

    @Test("Without a server and without a run it says how to get one")
    func nothing() throws {
        let scratch = try Scratch()
        let outcome = try vfio("top", "--run", scratch.path)
        #expect(outcome.code == 1 && outcome.errors.contains("isn't a folder of vfio run"), "\(outcome)")
    }

    /// A terminal that nobody looks at.
    private final class PseudoTerminal {
        let near: Int32
        let far: FileHandle

        init?(columns: UInt16, rows: UInt16) {
            near = open("/dev/ptmx", O_RDWR | O_NOCTTY)
            // TIOCSPTLCK and TIOCGPTN, which Swift's Glibc doesn't show.
            var (isLocked, index) = (Int32(0), UInt32(0))
            guard near >= 0, ioctl(near, 0x4004_5431, &isLocked) == 0,
                ioctl(near, 0x8004_5430, &index) == 0
            else { return nil }
            let number = open("/dev/pts/\(index)", O_RDWR | O_NOCTTY)
            guard number >= 0 else { return nil }
            far = FileHandle(fileDescriptor: number, closeOnDealloc: true)
            resize(columns, rows)
        }

        deinit { close(near) }

        func resize(_ columns: UInt16, _ rows: UInt16) {
            var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
            _ = ioctl(near, UInt(TIOCSWINSZ), &size)
        }

        var settings: [UInt32] {
            var state = termios()
            tcgetattr(far.fileDescriptor, &state)
            return [state.c_iflag, state.c_oflag, state.c_cflag, state.c_lflag]
        }

        /// Reads until a text has come, for ten seconds at most.
        func reads(_ text: String) -> String {
            var all: [UInt8] = []
            let deadline = Date.now.addingTimeInterval(10)
            while Date.now < deadline {
                var poll = pollfd(fd: near, events: Int16(POLLIN), revents: 0)
                guard Glibc.poll(&poll, 1, 100) > 0 else { continue }
                var piece = [UInt8](repeating: 0, count: 4096)
                let count = read(near, &piece, piece.count)
                guard count > 0 else { break }
                all += piece.prefix(count)
                if String(decoding: all, as: UTF8.self).contains(text) { break }
            }
            return String(decoding: all, as: UTF8.self)
        }
    }

    @Test(
        "On a terminal the table is redrawn, fits, and leaves the terminal as it was: by q, ^C, and signals",
        arguments: ["q", "\u{3}", "TERM", "HUP"])
    func screen(_ way: String) throws {
        let scratch = try Scratch()
        let (server, port) = try server(scratch)
        let terminal = try #require(PseudoTerminal(columns: 60, rows: 10))
        let before = terminal.settings
        let process = Process()
        process.executableURL = RunningCommand.program
        process.arguments = ["top", "--port", "\(port)", "--interval", "0.1"]
        process.standardInput = terminal.far
        process.standardOutput = terminal.far
        process.standardError = FileHandle.nullDevice
        try process.run()
        let begin = terminal.reads("edu")
        #expect(begin.contains("\u{1b}[?1049h") && begin.contains("edu"), "\(begin.debugDescription)")
        #expect(terminal.settings != before)
        let table = begin.split(separator: "\r\n").first { $0.contains("device") } ?? ""
        #expect(table.count < 80, "\(table)")
        switch way {
        case "TERM": kill(process.processIdentifier, SIGTERM)
        case "HUP": kill(process.processIdentifier, SIGHUP)
        default:
            let key = Array(way.utf8)
            _ = write(terminal.near, key, key.count)
        }
        let end = terminal.reads("\u{1b}[?1049l")
        #expect(end.contains("\u{1b}[?25h\u{1b}[?1049l"), "\(end.debugDescription)")
        process.waitUntilExit()
        #expect(process.terminationStatus == 0 && process.terminationReason == .exit)
        #expect(terminal.settings == before)
        _ = server.end()
    }
}
