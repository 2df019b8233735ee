import LinuxSystem

/// One HTTP connection: a request comes, an answer goes, and then the other side closes.
final class MetricsVisitor {
    private let socket: LoopbackSocket
    /// When it has to be over.
    let deadline: UInt64
    private var request: [UInt8] = []
    private var answer: [UInt8] = []
    private var sent = 0
    private var hasAnswered = false
    /// How much more is received and thrown away behind the request.
    private var surplus = 65_536

    init(_ socket: consuming LoopbackSocket, deadline: UInt64) {
        self.socket = socket
        self.deadline = deadline
    }

    var number: Int32 { socket.descriptor.number }

    /// Whether it is the other side's turn to receive.
    var isSending: Bool { !answer.isEmpty && !hasAnswered }

    /// Does what can be done now.
    /// - Returns: whether there is more to come.
    func proceed(_ text: () -> String) -> Bool {
        do throws(Errno) {
            if hasAnswered { return try discard() }
            if answer.isEmpty {
                guard try receive() else { return false }
                guard let reply = HTTPReply(to: request, text) else { return true }
                answer = reply.bytes
            }
            let answer = answer
            // SAFETY: a UInt8 has no padding.
            let bytes = unsafe answer.span.bytes
            while sent < bytes.byteCount {
                sent += try socket.send(bytes.extracting(sent..<bytes.byteCount))
            }
            hasAnswered = true
            // Closing at once could cost the other side the answer, if it still sends.
            socket.endSending()
            return true
        } catch .again {
            return true
        } catch {
            return false
        }
    }

    private func receive() throws(Errno) -> Bool {
        var room = InlineArray<2048, UInt8>(repeating: 0)
        var span = room.mutableSpan
        // SAFETY: a UInt8 has no padding.
        var bytes = unsafe span.mutableBytes
        let count = try socket.receive(into: &bytes)
        for index in 0..<count { request.append(room[index]) }
        return count > 0
    }

    private func discard() throws(Errno) -> Bool {
        var room = InlineArray<2048, UInt8>(repeating: 0)
        var span = room.mutableSpan
        // SAFETY: a UInt8 has no padding.
        var bytes = unsafe span.mutableBytes
        let count = try socket.receive(into: &bytes)
        surplus -= count
        return count > 0 && surplus > 0
    }
}
