/// The answer to one HTTP request for metrics.
struct HTTPReply {
    /// All of the answer's bytes.
    let bytes: [UInt8]

    /// The most bytes that a request has, with its headers.
    static let mostRequestBytes = 8192

    /// Answers a request.
    /// - Parameters:
    ///   - request: what has come so far.
    ///   - text: the metrics.
    /// - Returns: nil where the request isn't whole yet.
    init?(to request: [UInt8], _ text: () -> String) {
        guard let end = Self.end(of: request) else {
            guard request.count >= Self.mostRequestBytes else { return nil }
            self.init("431 Request Header Fields Too Large", "the request is too long\n")
            return
        }
        guard end <= Self.mostRequestBytes else {
            self.init("431 Request Header Fields Too Large", "the request is too long\n")
            return
        }
        let line = request.prefix { $0 != UInt8(ascii: "\r") && $0 != UInt8(ascii: "\n") }
        let words = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard words.count == 3, words[2].starts(with: "HTTP/1.".utf8), !words[1].isEmpty else {
            self.init("400 Bad Request", "this is no HTTP/1.1 request\n")
            return
        }
        let path = words[1].prefix { $0 != UInt8(ascii: "?") }
        guard path.elementsEqual("/metrics".utf8) else {
            self.init("404 Not Found", "the metrics are at /metrics\n")
            return
        }
        let isHead = words[0].elementsEqual("HEAD".utf8)
        guard isHead || words[0].elementsEqual("GET".utf8) else {
            self.init("405 Method Not Allowed", "metrics can only be read\n", ["Allow: GET, HEAD"])
            return
        }
        self.init("200 OK", text(), type: PrometheusText.mediaType, sendsBody: !isHead)
    }

    private init(
        _ status: String, _ body: String, _ headers: [String] = [],
        type: String = "text/plain; charset=utf-8", sendsBody: Bool = true
    ) {
        var lines = ["HTTP/1.1 \(status)", "Content-Type: \(type)", "Content-Length: \(body.utf8.count)"]
        lines += headers + ["Connection: close", "", ""]
        bytes = Array((lines.joined(separator: "\r\n") + (sendsBody ? body : "")).utf8)
    }

    /// Where a request's empty line ends; nil where none has come. A bare line feed ends a line as well.
    private static func end(of request: [UInt8]) -> Int? {
        var isEmpty = false
        for (index, byte) in request.enumerated() {
            switch byte {
            case UInt8(ascii: "\n"):
                if isEmpty { return index + 1 }
                isEmpty = true
            case UInt8(ascii: "\r"): break
            default: isEmpty = false
            }
        }
        return nil
    }
}
