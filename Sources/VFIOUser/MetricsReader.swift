import LinuxSystem

/// Asks a ``MetricsEndpoint`` of this machine for its metrics: what `vfio serve --metrics-port` answers.
///
/// Whoever answers is not trusted: at most four mebibytes are taken, within the given time.
public struct MetricsReader: Sendable {
    /// The endpoint's port.
    public let port: UInt16
    /// How long an answer may take, in milliseconds.
    public let milliseconds: Int

    /// The most bytes that an answer may have.
    public static let mostBytes = 4 << 20

    /// A reader of a port of 127.0.0.1.
    public init(port: UInt16, milliseconds: Int = 2000) {
        self.port = port
        self.milliseconds = max(1, milliseconds)
    }

    /// Asks once.
    /// - Returns: what each device has done so far, in the endpoint's order.
    public func read() throws(MetricsFailure) -> [ServerTraffic] {
        try MetricsText.traffic(in: try Self.body(of: try answer()))
    }

    // MARK: HTTP

    private func answer() throws(MetricsFailure) -> [UInt8] {
        let deadline = Clock.moment(inMilliseconds: milliseconds)
        do throws(Errno) {
            let socket = try LoopbackSocket(connecting: port)
            let request = Array("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".utf8)
            // SAFETY: a UInt8 has no padding.
            let bytes = unsafe request.span.bytes
            // A new connection has room for much more.
            guard try socket.send(bytes) == bytes.byteCount else { throw .again }
            let poller = try Poller()
            try poller.add(socket.descriptor.number, .readable, tag: 0)
            return try Self.receive(socket, poller, deadline)
        } catch {
            switch error {
            case .timedOut: throw .silent(port: port, milliseconds: milliseconds)
            case .tooBig: throw .tooLong(port: port)
            default: throw .unreachable(port: port, error)
            }
        }
    }

    /// - Throws: `ETIMEDOUT`, `E2BIG`, and what recv(2) has.
    private static func receive(
        _ socket: borrowing LoopbackSocket, _ poller: borrowing Poller, _ deadline: UInt64
    ) throws(Errno) -> [UInt8] {
        var answer: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16_384)
        var events: [Poller.Event] = []
        while true {
            let now = Clock.now
            guard now < deadline else { throw .timedOut }
            events.removeAll(keepingCapacity: true)
            _ = try poller.wait(into: &events, milliseconds: Int((deadline - now) / 1_000_000) + 1)
            guard !events.isEmpty else { continue }
            let count: Int
            do throws(Errno) {
                var span = piece.mutableSpan
                // SAFETY: a UInt8 has no padding.
                var bytes = unsafe span.mutableBytes
                count = try socket.receive(into: &bytes)
            } catch .again {
                continue
            }
            if count == 0 { return answer }
            guard answer.count + count <= mostBytes else { throw .tooBig }
            answer += piece[..<count]
        }
    }

    /// What stands behind the headers of a good answer.
    static func body(of answer: [UInt8]) throws(MetricsFailure) -> ArraySlice<UInt8> {
        let line = answer.prefix { $0 != UInt8(ascii: "\r") && $0 != UInt8(ascii: "\n") }
        let words = line.split(separator: UInt8(ascii: " "), maxSplits: 2)
        guard words.count >= 2, words[0].starts(with: "HTTP/1.".utf8) else { throw .notHTTP }
        guard words[1].elementsEqual("200".utf8) else {
            throw .refused(status: String(decoding: words[1].prefix(16), as: UTF8.self))
        }
        var isEmpty = false
        for index in answer.indices {
            switch answer[index] {
            case UInt8(ascii: "\n"):
                if isEmpty { return answer[(index + 1)...] }
                isEmpty = true
            case UInt8(ascii: "\r"): break
            default: isEmpty = false
            }
        }
        throw .notHTTP
    }
}

/// Why metrics couldn't be had.
public enum MetricsFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// Nobody answers there.
    case unreachable(port: UInt16, Errno)
    /// Somebody listens and doesn't answer in time.
    case silent(port: UInt16, milliseconds: Int)
    /// More came than any server says.
    case tooLong(port: UInt16)
    /// What answers doesn't speak HTTP.
    case notHTTP
    /// It does, and has no metrics there.
    case refused(status: String)
    /// A line isn't as Prometheus's format has it.
    case malformed(line: Int)
    /// There are more devices than are taken.
    case tooManyDevices
    /// These are the metrics of something else.
    case noServer

    /// What happened, and what to try.
    public var description: String {
        switch self {
        case .unreachable(let port, let errno):
            "127.0.0.1:\(port) doesn't answer: \(errno); start the server with --metrics-port \(port)"
        case .silent(let port, let milliseconds):
            "127.0.0.1:\(port) listens but didn't answer within \(milliseconds) ms; see whether the server is stopped"
        case .tooLong(let port):
            "127.0.0.1:\(port) answered more than \(MetricsReader.mostBytes >> 20) MiB; name a vfio-user server's port"
        case .notHTTP: "what answers there doesn't speak HTTP; name the port of vfio serve --metrics-port"
        case .refused(let status):
            "what answers there has no metrics (HTTP \(Self.printable(status))); name the port of "
                + "vfio serve --metrics-port"
        case .malformed(let line):
            "line \(line) of the metrics isn't in Prometheus's format; name the port of vfio serve --metrics-port"
        case .tooManyDevices:
            "there are metrics of more than \(MetricsText.mostDevices) devices; start several servers instead of one"
        case .noServer:
            "these are the metrics of something else; name the port of vfio serve --metrics-port"
        }
    }

    private static func printable(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.filter { (0x21...0x7e).contains($0.value) }))
    }
}
