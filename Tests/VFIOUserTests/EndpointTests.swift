import LinuxSystem
import Testing
import VFIOUser

@Suite("An endpoint for metrics")
struct EndpointTests {
    /// Sends bytes and receives until the other side ends.
    private func ask(_ port: UInt16, _ request: String, pieces: Int = .max) throws -> String {
        let socket = try LoopbackSocket(connecting: port)
        try say(request, on: socket, pieces: pieces)
        return try receive(socket)
    }

    private func say(
        _ text: String, on socket: borrowing LoopbackSocket, pieces: Int = .max
    ) throws {
        let bytes = Array(text.utf8)
        var done = 0
        while done < bytes.count {
            let end = min(bytes.count, done + min(pieces, bytes.count))
            done += try socket.send(bytes.span.bytes.extracting(done..<end))
        }
    }

    private func receive(_ socket: borrowing LoopbackSocket) throws -> String {
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

    private let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"

    @Test("answers with the text, its length and its type, however the request is cut")
    func answers() throws {
        let endpoint = try MetricsEndpoint(port: 0) { "vfio_up 1\n" }
        #expect(endpoint.port != 0)
        let expected =
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            + "Content-Length: 10\r\nConnection: close\r\n\r\nvfio_up 1\n"
        #expect(try ask(endpoint.port, request) == expected)
        #expect(try ask(endpoint.port, request, pieces: 1) == expected)
        #expect(try ask(endpoint.port, "GET /metrics?a=b HTTP/1.0\n\n") == expected)
        let head = try ask(endpoint.port, "HEAD /metrics HTTP/1.1\r\n\r\n")
        #expect(head.hasSuffix("\r\n\r\n") && head.contains("Content-Length: 10\r\n"), "\(head)")
    }

    @Test(
        "refuses what isn't a request for metrics",
        arguments: [
            ("GET / HTTP/1.1\r\n\r\n", "404"), ("GET /metricsx HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"), ("GET /metrics\r\n\r\n", "400"),
            ("\r\n\r\n", "400"), ("GET  /metrics HTTP/1.1\r\n\r\n", "400"),
            ("GET /metrics SMTP\r\n\r\n", "400"),
            ("GET /metrics HTTP/1.1\r\nX: " + String(repeating: "x", count: 9000), "431"),
        ])
    func refusals(_ request: String, _ status: String) throws {
        let endpoint = try MetricsEndpoint(port: 0) { "secret" }
        let answer = try ask(endpoint.port, request)
        #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer)")
        #expect(!answer.contains("secret"))
    }

    @Test("sends a long text whole to somebody who reads slowly, and others don't wait for that")
    func longText() throws {
        let text = String(repeating: "0123456789abcdef", count: 1 << 18)
        let endpoint = try MetricsEndpoint(port: 0, milliseconds: 20_000) { text }
        let slow = try LoopbackSocket(connecting: endpoint.port)
        try say(request, on: slow)
        #expect(try ask(endpoint.port, "GET / HTTP/1.1\r\n\r\n").contains(" 404 "))
        let answer = try receive(slow)
        #expect(answer.hasSuffix(text))
    }

    @Test("cuts off those who say nothing or too little, and answers others meanwhile")
    func stalled() throws {
        let endpoint = try MetricsEndpoint(port: 0, milliseconds: 200) { "ok" }
        // Less than there is room for.
        let silent = try LoopbackSocket(connecting: endpoint.port)
        let half = try LoopbackSocket(connecting: endpoint.port)
        try say("GET /met", on: half)
        #expect(try ask(endpoint.port, request).hasSuffix("ok"))
        // Closing in the middle of what was sent shows as a reset.
        let nothing = [(try? receive(silent)) ?? "", (try? receive(half)) ?? ""]
        #expect(nothing == ["", ""])
        // And with more than there is room for, whoever comes last waits for the first to be cut off.
        var crowd: [Int32] = []
        for _ in 0..<16 { crowd.append(try LoopbackSocket(connecting: endpoint.port).release()) }
        #expect(try ask(endpoint.port, request).hasSuffix("ok"))
        for number in crowd { _ = Descriptor(owning: number) }
    }

    @Test("goes on when clients send anything or hang up at any moment")
    func anything() throws {
        let endpoint = try MetricsEndpoint(port: 0) { String(repeating: "x", count: 100_000) }
        var random = Generator.seeded("endpoint")
        for _ in 0..<300 {
            let socket = try LoopbackSocket(connecting: endpoint.port)
            let noise = (0..<random.below(300)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            let bytes = random.below(2) == 0 ? noise : Array(request.utf8.prefix(random.below(50)))
            _ = try? socket.send(bytes.span.bytes)
        }
        #expect(try ask(endpoint.port, request).hasSuffix("x"))
    }

    @Test("can't have a port that is in use, and leaves its own when it goes")
    func ports() throws {
        var endpoint: MetricsEndpoint? = try MetricsEndpoint(port: 0) { "" }
        let port = try #require(endpoint?.port)
        #expect(throws: Errno.addressInUse) { try MetricsEndpoint(port: port) { "" } }
        endpoint = nil
        let again = try MetricsEndpoint(port: port) { "again" }
        #expect(try ask(again.port, request).hasSuffix("again"))
    }
}
