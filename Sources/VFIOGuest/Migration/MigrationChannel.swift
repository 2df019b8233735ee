import LinuxSystem
import VFIO

/// A connection to the other side of a migration: sections go out and come in, whole and checked.
///
/// One thread at a time sends and receives; ``shutDown()`` may come from any.
final class MigrationChannel: @unchecked Sendable {
    // SAFETY: the counts belong to the thread that sends and receives; the socket is closed with the object.
    private let socket: UnixSocket
    private var sentCount: UInt32 = 0
    private var receivedCount: UInt32 = 0
    private(set) var sentByteCount: UInt64 = 0
    private let isOver = AtomicWord()

    /// - Parameter milliseconds: how long the other side may take to read or to answer.
    init(_ socket: consuming UnixSocket, milliseconds: Int) throws(VFIOGuestError) {
        self.socket = socket
        do throws(Errno) {
            try self.socket.setTimeout(milliseconds: max(1, milliseconds))
        } catch {
            throw VFIOGuestError(
                operation: "talk to the other side", object: "the connection", errno: error,
                cause: "it isn't a socket")
        }
    }

    /// Ends the connection: whoever waits in it wakes, and nothing can be sent any more.
    func shutDown() {
        isOver.store(1)
        socket.shutDown()
    }

    private func lost(_ what: String, _ errno: Errno?) -> VFIOGuestError {
        var error = VFIOGuestError(operation: what, object: "the other side", errno: errno)
        if isOver.load() != 0 {
            error.code = .cancelled
            error.cause = "it was called off"
            return error
        }
        error.code = .peerFailed
        switch errno {
        case nil, .brokenPipe, .connectionReset: error.cause = "it has ended the connection"
        case .timedOut, .again:
            error.errno = .timedOut
            error.code = .timedOut
            error.cause = "it doesn't answer"
        default: break
        }
        return error
    }

    // MARK: the beginning

    /// Says what comes.
    func sendPrologue() throws(VFIOGuestError) {
        var writer = MigrationWriter()
        writer.append(MigrationFrame.streamMark)
        writer.append(MigrationFrame.streamVersion)
        writer.append(UInt16(0))
        writer.append(UInt32(pageSize))
        try sendBytes(writer.bytes, [])
    }

    /// Hears what comes.
    /// - Throws: what doesn't fit.
    func receivePrologue() throws(VFIOGuestError) {
        var reader = MigrationReader(try receiveBytes(MigrationFrame.prologueByteCount))
        guard try reader.next(UInt64.self) == MigrationFrame.streamMark else {
            throw MigrationReader.error("it doesn't begin as a guest's stream does")
        }
        let version = try reader.next(UInt16.self)
        guard version == MigrationFrame.streamVersion else {
            throw MigrationReader.error(
                "it is of version \(version); version \(MigrationFrame.streamVersion) is understood here")
        }
        guard try reader.next(UInt16.self) == 0 else { throw MigrationReader.error("it has unknown flags") }
        let size = try reader.next(UInt32.self)
        guard size == UInt32(pageSize) else {
            throw MigrationReader.error("its pages have \(size) bytes; here they have \(pageSize)")
        }
    }

    // MARK: sections

    /// Sends a section.
    func send(_ kind: MigrationFrameKind, _ payload: [UInt8] = []) throws(VFIOGuestError) {
        precondition(payload.count <= kind.byteLimit, "longer than such a section may be")
        var header = MigrationWriter()
        header.append(MigrationFrame.mark)
        header.append(kind.rawValue)
        header.append(MigrationFrame.headerCheck(kind.rawValue, UInt32(payload.count), sentCount))
        header.append(UInt32(payload.count))
        header.append(sentCount)
        // SAFETY: a UInt8 has no padding.
        header.append(unsafe MigrationFrame.checksum(kind.rawValue, sentCount, payload.span.bytes))
        sentCount &+= 1
        try sendBytes(header.bytes, payload)
    }

    /// Receives a section.
    /// - Throws: also for one that isn't as it was sent, or that tells of a failure.
    func receive() throws(VFIOGuestError) -> MigrationFrame {
        var header = MigrationReader(try receiveBytes(MigrationFrame.headerByteCount))
        guard try header.next(UInt32.self) == MigrationFrame.mark else {
            throw MigrationReader.error("there is no section where one should begin")
        }
        let number = try header.next(UInt16.self)
        let check = try header.next(UInt16.self)
        let count = try header.next(UInt32.self)
        let place = try header.next(UInt32.self)
        // Before the length is believed.
        guard check == MigrationFrame.headerCheck(number, count, place) else {
            throw MigrationReader.error("the beginning of a section was damaged on its way")
        }
        guard let kind = MigrationFrameKind(rawValue: number) else {
            throw MigrationReader.error("it has a section of the unknown kind \(number)")
        }
        guard count <= UInt32(kind.byteLimit) else {
            throw MigrationReader.error("a section (\(kind)) says that it has \(count) bytes")
        }
        guard place == receivedCount else {
            throw MigrationReader.error("a section is missing, or came twice")
        }
        let checksum = try header.next(UInt64.self)
        let payload = try receiveBytes(Int(count))
        // SAFETY: a UInt8 has no padding.
        guard unsafe MigrationFrame.checksum(number, receivedCount, payload.span.bytes) == checksum else {
            throw MigrationReader.error("a section (\(kind)) was damaged on its way")
        }
        receivedCount &+= 1
        if kind == .failure {
            throw VFIOGuestError(
                operation: "move the guest", object: "the other side", code: .peerFailed,
                cause: String(decoding: payload, as: UTF8.self))
        }
        return MigrationFrame(kind: kind, payload: payload)
    }

    /// Receives an answer.
    func expect(_ kind: MigrationFrameKind) throws(VFIOGuestError) {
        let frame = try receive()
        guard frame.kind == kind, frame.payload.isEmpty else {
            throw MigrationReader.error("\(frame.kind) came where \(kind) was expected")
        }
    }

    /// Looks whether the other side has said something, which while it isn't asked is why it failed.
    func checkPeer() throws(VFIOGuestError) {
        var isThere = false
        do throws(Errno) { isThere = try socket.waitReadable(milliseconds: 0) } catch {
            throw lost("hear of it", error)
        }
        guard isThere else { return }
        let frame = try receive()
        throw MigrationReader.error("\(frame.kind) came where nothing was expected")
    }

    /// What the other side said before the connection broke, if it did.
    func lastWords(insteadOf error: VFIOGuestError) -> VFIOGuestError {
        guard error.code == .peerFailed else { return error }
        do throws(VFIOGuestError) {
            try checkPeer()
        } catch let words {
            if words.code == .peerFailed && words.object == "the other side" && words.errno == nil
                && words.cause != error.cause && words.operation == "move the guest"
            {
                return words
            }
        }
        return error
    }

    /// Tells the other side that it is over, if it still listens.
    func sendFailure(_ error: VFIOGuestError) {
        guard error.code != .peerFailed, isOver.load() == 0 else { return }
        do throws(Errno) { try socket.setTimeout(milliseconds: 1000) } catch { return }
        do throws(VFIOGuestError) {
            try send(.failure, Array("\(error)".utf8.prefix(MigrationFrameKind.failure.byteLimit)))
        } catch {}
    }

    private func sendBytes(_ head: [UInt8], _ body: [UInt8]) throws(VFIOGuestError) {
        do throws(Errno) {
            // SAFETY: a UInt8 has no padding.
            try unsafe socket.sendAll(head.span.bytes, body.span.bytes)
        } catch {
            throw lost("send the guest", error)
        }
        sentByteCount += UInt64(head.count + body.count)
    }

    private func receiveBytes(_ count: Int) throws(VFIOGuestError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            var came = 0
            do throws(Errno) {
                var span = bytes.mutableSpan
                // SAFETY: any byte is a value of UInt8.
                var all = unsafe span.mutableBytes
                var rest = all._mutatingExtracting(done..<count)
                came = try socket.receive(into: &rest)
            } catch {
                throw lost("hear of the guest", error)
            }
            guard came > 0 else { throw lost("hear of the guest", nil) }
            done += came
        }
        return bytes
    }
}
