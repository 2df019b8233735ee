import Foundation
import LinuxSystem
import Testing

@Suite("vfio serve, watched")
struct ObserveTests {
    private func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    /// Looks again until something is true, for ten seconds.
    private func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
        for _ in 0..<1000 {
            if try condition() { return true }
            usleep(10_000)
        }
        return false
    }

    /// A port that was free a moment ago.
    private func freePort() throws -> UInt16 {
        let socket = try LoopbackSocket(listening: 0)
        return try socket.port()
    }

    private func say(_ text: String, on socket: borrowing LoopbackSocket) throws {
        _ = try socket.send(Array(text.utf8).span.bytes)
    }

    private func scrape(_ port: UInt16) throws -> String {
        let socket = try LoopbackSocket(connecting: port)
        try say("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", on: socket)
        var answer: [UInt8] = []
        while true {
            var piece = [UInt8](repeating: 0, count: 4096)
            var span = piece.mutableSpan
            var bytes = span.mutableBytes
            let count = try socket.receive(into: &bytes, waits: true)
            if count == 0 { return String(decoding: answer, as: UTF8.self) }
            answer += piece.prefix(count)
        }
    }

    @Test("Every message has a line in a file; SIGUSR1 ends and begins that while a client stays connected")
    func traceFile() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/edu.sock"
        let file = scratch.path + "/trace.txt"
        let command = try RunningCommand(["serve", "edu", "--socket", path, "--trace", file])
        try #require(command.waits(for: path), "\(command.wait())")
        let socket = try UnixSocket(connecting: path)
        try Conversation.begin(socket)
        _ = try Conversation.identity(over: socket)
        let read = "edu <- REGION_READ #2 region=CONFIG offset=0x0 count=4\n"
        let answer = "edu -> REGION_READ #2 reply region=CONFIG offset=0x0 count=4 data=0x11e81234 ("
        let isComplete = eventually { text(file).contains(answer) }
        #expect(isComplete, "\(text(file))")
        #expect(text(file).contains(read), "\(text(file))")
        #expect(text(file).contains(#"edu <- VERSION #1 version=0.0 json={}"#), "\(text(file))")
        kill(command.identifier, SIGUSR1)
        // The signal is taken by another thread than the socket's.
        let isQuiet = try eventually {
            let before = text(file)
            _ = try Conversation.identity(over: socket)
            usleep(2000)
            return text(file) == before
        }
        #expect(isQuiet)
        let quiet = text(file)
        kill(command.identifier, SIGUSR1)
        let goesOn = try eventually {
            _ = try Conversation.identity(over: socket)
            return text(file).count > quiet.count
        }
        #expect(goesOn)
        let outcome = command.end()
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.errors.contains("vfio: tracing ends\nvfio: tracing begins\n"), "\(outcome)")
        #expect(text(file).hasSuffix("edu -- the client has gone\n"))
    }

    @Test("Without a file lines go to standard error, and without --trace from the first SIGUSR1 on")
    func traceOnErrors() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/edu.sock"
        var command = try RunningCommand(["serve", "edu", "--trace", "--socket", path])
        try #require(command.waits(for: path), "\(command.wait())")
        _ = try Conversation.identity(at: path)
        #expect(command.end().errors.contains("edu <- REGION_READ #2 "))

        command = try RunningCommand(["serve", "edu", "--socket", path])
        try #require(command.waits(for: path), "\(command.wait())")
        _ = try Conversation.identity(at: path)
        kill(command.identifier, SIGUSR1)
        for _ in 0..<50 {
            _ = try Conversation.identity(at: path)
            usleep(2000)
        }
        let outcome = command.end()
        #expect(outcome.errors.contains("vfio: tracing begins\n"), "\(outcome)")
        let lines = outcome.errors.split(separator: "\n")
        let first = lines.firstIndex { $0.contains("tracing begins") } ?? 0
        #expect(lines[..<first].allSatisfy { !$0.contains("REGION_READ") }, "\(outcome)")
        #expect(lines[first...].contains { $0.contains("edu -> REGION_READ #2 reply ") }, "\(outcome)")
    }

    @Test("What was counted is printed at the end, and with SIGUSR2 at any time")
    func metrics() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/edu.sock"
        var command = try RunningCommand(["serve", "edu", "--metrics", "--socket", path])
        try #require(command.waits(for: path), "\(command.wait())")
        for _ in 0..<3 { _ = try Conversation.identity(at: path) }
        var outcome = command.end()
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.errors.contains("edu:\n  connections: 3, none now; ended: 3 closed"), "\(outcome)")
        #expect(outcome.errors.contains("\n  REGION_READ         3  "), "\(outcome)")

        // Counting begins with the first signal where nobody asked for it before.
        command = try RunningCommand(["serve", "edu", "--socket", path])
        try #require(command.waits(for: path), "\(command.wait())")
        _ = try Conversation.identity(at: path)
        kill(command.identifier, SIGUSR2)
        for _ in 0..<50 {
            _ = try Conversation.identity(at: path)
            usleep(2000)
        }
        kill(command.identifier, SIGUSR2)
        usleep(100_000)
        outcome = command.end()
        #expect(outcome.errors.contains("messages not counted"), "\(outcome)")
        #expect(outcome.errors.contains("vfio: messages are counted from now on"), "\(outcome)")
        #expect(outcome.errors.contains("\n  REGION_READ  "), "\(outcome)")
    }

    @Test(
        "Metrics are answered on a port of this machine, and whoever stalls there delays neither them nor a device"
    )
    func endpoint() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/edu.sock"
        let port = try freePort()
        let command = try RunningCommand(["serve", "edu", "--metrics-port", "\(port)", "--socket", path])
        try #require(command.waits(for: path), "\(command.wait())")
        // Fewer than there is room for, so that somebody else is answered at once.
        var stalled: [Int32] = []
        for index in 0..<10 {
            let socket = try LoopbackSocket(connecting: port)
            if index % 2 == 0 { try say("GET /met", on: socket) }
            stalled.append(socket.release())
        }
        let start = Clock.now
        let socket = try UnixSocket(connecting: path)
        try Conversation.begin(socket)
        for _ in 0..<500 {
            let identity = try Conversation.identity(over: socket)
            #expect(identity == [0x34, 0x12, 0xe8, 0x11])
        }
        let answer = try scrape(port)
        // A stalled one is cut off after two seconds; nobody waited for that.
        #expect(Clock.now - start < 1_900_000_000)
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"), "\(answer)")
        #expect(answer.contains("Content-Type: text/plain; version=0.0.4"), "\(answer)")
        let sample =
            #"vfio_user_messages_total{device="edu",command="REGION_READ",direction="received",kind="command"} 500"#
        #expect(answer.contains("\n\(sample)\n"), "\(answer)")
        for number in stalled { _ = Descriptor(owning: number) }
        let outcome = command.end()
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.output.contains("metrics: http://127.0.0.1:\(port)/metrics\n"), "\(outcome)")
    }

    @Test("A port that the system chooses is told, also as JSON")
    func chosenPort() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/edu.sock"
        let command = try RunningCommand(["serve", "edu", "--metrics-port", "0", "--json", "--socket", path])
        try #require(command.waits(for: path), "\(command.wait())")
        let outcome = command.end()
        let report = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
        let address = try #require(report?["metrics"] as? String, "\(outcome)")
        #expect(address.hasPrefix("http://127.0.0.1:") && address.hasSuffix("/metrics"))
        #expect(!address.contains(":0/"))
    }

    @Test("A port that is in use, and a file that can't be made, are refused with the reason")
    func refusals() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/edu.sock"
        let socket = try LoopbackSocket(listening: 0)
        let port = try socket.port()
        var outcome = try vfio("serve", "edu", "--socket", path, "--metrics-port", "\(port)")
        #expect(outcome.code == 1 && outcome.errors.contains("EADDRINUSE"), "\(outcome)")
        #expect(!FileManager.default.fileExists(atPath: path))
        outcome = try vfio("serve", "edu", "--socket", path, "--trace", "/nowhere/trace")
        #expect(outcome.code == 1 && outcome.errors.contains("/nowhere/trace"), "\(outcome)")
        outcome = try vfio("serve", "edu", "--socket", path, "--metrics-port", "70000")
        #expect(outcome.code == 2 && outcome.errors.contains("70000"), "\(outcome)")
        // The kind of device stands before a --trace without a file.
        outcome = try vfio("serve", "--trace", "edu", "--socket", path)
        #expect(outcome.code == 2 && outcome.errors.contains("--trace=FILE"), "\(outcome)")
    }
}
