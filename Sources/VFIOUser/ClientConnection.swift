import LinuxSystem
import VFIOABI

/// The client's end of a connection: sends commands, waits for their answers, and meanwhile carries out what the
/// server asks for. One command at a time.
struct ClientConnection: ~Copyable {
    private let socket: UnixSocket
    private var reader: MessageReader
    private var writer: MessageWriter
    /// What the server asks for, which may be while a command of our own is under way.
    private var requests: ServerRequests
    private var lastID: UInt16 = 0
    /// Why nothing can be sent any more.
    private(set) var loss: Errno?
    private let milliseconds: Int
    /// How often to look for an answer before waiting for it.
    private let polls: Int

    /// - Parameter milliseconds: how long to wait for an answer.
    /// - Throws: `ENOMEM`.
    init(
        _ socket: consuming UnixSocket, _ mappings: ClientMappings, _ limits: Limits, milliseconds: Int
    ) throws(Errno) {
        let reader = try MessageReader(limit: limits.messageByteCount)
        let writer = try MessageWriter(limit: Self.longestCommand)
        let requests = try ServerRequests(mappings, limits)
        try socket.setTimeout(milliseconds: milliseconds)
        self.reader = reader
        self.writer = writer
        self.requests = requests
        self.socket = socket
        self.milliseconds = milliseconds
        polls = limits.patience.answerPolls
    }

    /// The longest command that is sent, in bytes. libvfio-user takes a body with one recv(2), which is cut where the
    /// sender's socket buffer was full: beyond 32 KiB some of them arrive in two pieces, and are refused.
    static let longestCommand = 16 + 32_768

    /// The socket's number.
    var number: Int32 { socket.descriptor.number }

    /// Sends a command and waits for its answer; see ``ClientChannel/request(_:passing:_:_:)``.
    mutating func request<R: ~Copyable>(
        _ command: UserCommand, passing descriptors: [Int32], _ fill: (inout MessageWriter) -> Void,
        _ take: (RawSpan, inout PassedDescriptors) throws(ClientFailure) -> R
    ) throws(ClientFailure) -> R {
        if let loss { throw .lost(loss) }
        lastID &+= 1
        writer.begin(UserMessageHeader(id: lastID, command: command))
        fill(&writer)
        writer.finish()
        do throws(Errno) {
            try send(descriptors)
        } catch {
            throw lose(error)
        }
        let message = try awaitReply(to: command)
        // What came in one piece with the answer shows in no poller any more: nobody else would see it.
        do throws(ClientFailure) {
            if message.header.flags.contains(.error) { throw ClientFailure(refusal: message.header) }
            guard !message.isOversized else { throw .malformed(command) }
            var passed = reader.takeDescriptors()
            let result = try take(reader.body(of: message), &passed)
            serveReceived()
            return result
        } catch {
            serveReceived()
            throw error
        }
    }

    /// Carries out commands that have been received already. Of a connection that ends with that, the next command
    /// is told.
    private mutating func serveReceived() {
        do throws(ClientFailure) {
            while let message = try nextMessage() {
                if !message.header.isReply { try serve(message) }
            }
        } catch {
            // Noted in `loss`.
        }
    }

    private mutating func send(_ descriptors: [Int32]) throws(Errno) {
        var done = 0
        if !descriptors.isEmpty { done = try socket.send(writer.bytes, descriptors: descriptors) }
        if done < writer.byteCount { try socket.sendAll(writer.bytes.extracting(done..<writer.byteCount)) }
    }

    /// Notes that the connection is of no use any more.
    private mutating func lose(_ error: Errno) -> ClientFailure {
        // A peer that has gone shows in several ways; a user needs one.
        let error = error == .brokenPipe || error == .again ? Errno.connectionReset : error
        if loss == nil { loss = error }
        socket.shutDown()
        return .lost(loss ?? error)
    }

    private mutating func awaitReply(to command: UserCommand) throws(ClientFailure) -> Message {
        let deadline = Clock.moment(inMilliseconds: milliseconds)
        // No server sends any with its own commands.
        let takesDescriptors = command != .regionRead && command != .regionWrite
        while true {
            while let message = try nextMessage() {
                if message.header.isReply {
                    // Any other is the late answer to a command that was given up.
                    if message.header.id == lastID && message.header.command == command { return message }
                } else {
                    try serve(message)
                    if Clock.now > deadline { throw .timedOut }
                }
            }
            do throws(Errno) {
                let count = try reader.receive(
                    from: socket, polls: polls, takesDescriptors: takesDescriptors)
                if count == 0 { throw .connectionReset }
            } catch .again {
                throw .timedOut
            } catch {
                throw lose(error)
            }
        }
    }

    private mutating func nextMessage() throws(ClientFailure) -> Message? {
        do throws(FramingError) {
            return try reader.next()
        } catch {
            // Where the next message begins isn't known.
            throw lose(.inputOutput)
        }
    }

    // MARK: what the server asks for

    /// Carries out what the server has sent while nobody was waiting for an answer.
    /// - Returns: false where the connection has ended.
    mutating func serveIdle() -> Bool {
        guard loss == nil else { return false }
        do throws(ClientFailure) {
            while true {
                while let message = try nextMessage() {
                    if !message.header.isReply { try serve(message) }
                }
                do throws(Errno) {
                    if try reader.receive(from: socket, waits: false) == 0 { throw .connectionReset }
                } catch .again {
                    return true
                } catch {
                    throw lose(error)
                }
            }
        } catch {
            return false
        }
    }

    /// Carries out a command of the server's and answers it.
    private mutating func serve(_ message: Message) throws(ClientFailure) {
        guard requests.carryOut(message, reader.body(of: message)) else { return }
        do throws(Errno) {
            try socket.sendAll(requests.answer)
        } catch {
            throw lose(error)
        }
    }
}
