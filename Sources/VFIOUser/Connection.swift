import LinuxSystem
import VFIOABI

/// Why a connection ended.
public enum ConnectionEnd: Equatable, Sendable {
    /// The client closed it, or the server was stopped.
    case closed
    /// The first message was no version that we understand; it was refused.
    case refused
    /// The client's bytes could not be cut into messages any more.
    case framing(FramingError)
    /// The socket failed.
    case failed(Errno)
}

/// One client's connection, from its first message to its last: requests are carried out and answered in order.
///
/// **Reply first.** A client that waits for an answer doesn't serve our requests (QEMU holds its big lock), so
/// nothing here waits for the client. This is where messages for DMA belong, when they come: `process` answers a
/// region write that has memory without a descriptor to reach *before* the model carries it out, and then reads
/// the socket while the model waits: replies go to whoever waits for their id, commands stay in the reader until
/// the model has returned. In a region read the model can't wait at all; it is refused.
struct Connection: ~Copyable {
    private let socket: UnixSocket
    private let device: ServedDevice
    private let limits: Limits
    private var reader: MessageReader
    private var writer: MessageWriter
    private var isNegotiated = false
    /// What the client said about itself.
    private(set) var client = Capabilities()

    /// The versions spoken here are 0.0 up to this.
    static let version = UserVersion(major: 0, minor: 1)

    /// - Throws: `ENOMEM`.
    init(_ socket: consuming UnixSocket, _ device: ServedDevice) throws(Errno) {
        let reader = try MessageReader(limit: device.limits.messageByteCount)
        let writer = try MessageWriter(limit: device.limits.messageByteCount)
        self.reader = reader
        self.writer = writer
        self.socket = socket
        self.device = device
        limits = device.limits
    }

    /// The reasons to end a connection from within.
    private enum Stop: Error {
        case refused
        case failed(Errno)
    }

    /// Serves the client until the connection ends.
    /// - Parameter polls: how often to look for bytes before waiting for them.
    mutating func run(polls: Int) -> ConnectionEnd {
        while true {
            do throws(Errno) {
                if try receive(polls) == 0 { return .closed }
            } catch {
                return .failed(error)
            }
            do throws(FramingError) {
                while let message = try reader.next() {
                    do throws(Stop) {
                        try process(message)
                    } catch {
                        switch error {
                        case .refused: return .refused
                        case .failed(let errno): return .failed(errno)
                        }
                    }
                }
            } catch {
                return .framing(error)
            }
        }
    }

    @inline(__always)
    private mutating func receive(_ polls: Int) throws(Errno) -> Int {
        var left = polls
        while left > 0 {
            do throws(Errno) {
                return try reader.receive(from: socket, waits: false)
            } catch .again {
                left -= 1
                spinHint()
            }
        }
        return try reader.receive(from: socket)
    }

    /// Carries out one message and answers it.
    private mutating func process(_ message: Message) throws(Stop) {
        let header = message.header
        guard isNegotiated else {
            try negotiate(message)
            return
        }
        // A reply that nobody waits for: its command was given up.
        if header.isReply { return }
        var passing: Int32 = -1
        do throws(Errno) {
            guard header.isCommand else { throw .invalid }
            guard !message.isOversized else { throw .tooBig }
            passing = try carryOut(message)
        } catch {
            writer.refuse(header, error)
        }
        if header.flags.contains(.noReply) { return }
        do throws(Errno) {
            writer.finish()
            try socket.sendAll(writer.bytes, passing: passing)
        } catch {
            throw .failed(error)
        }
    }

    /// Carries out a command and puts its answer together.
    /// - Returns: a descriptor to send along, or -1.
    @inline(__always)
    private mutating func carryOut(_ message: Message) throws(Errno) -> Int32 {
        let request: ClientRequest
        do throws(ClientRequest.Problem) {
            request = try ClientRequest(message.header.command, reader.body(of: message), limits)
        } catch {
            throw error.errno
        }
        writer.beginReply(to: message.header)
        switch request {
        case .regionRead(let access):
            try device.read(access, &writer)
            return -1
        case .regionWrite(let access):
            let body = reader.body(of: message)
            try device.write(access, body.extracting(request.payloadOffset..<body.byteCount))
            writer.append(access)
            return -1
        default: return try carryOut(rare: request, message)
        }
    }

    private mutating func carryOut(rare request: ClientRequest, _ message: Message) throws(Errno) -> Int32 {
        var descriptors = reader.takeDescriptors()
        let body = reader.body(of: message)
        // `ClientRequest` made sure that the fixed part is there; a reset may have any body.
        let payload = body.extracting(min(request.payloadOffset, body.byteCount)..<body.byteCount)
        switch request {
        case .version: throw .invalid  // once is enough
        case .regionRead, .regionWrite: throw .invalid  // carried out above
        case .regionWriteMulti(let request):
            try device.writeMultiple(payload)
            writer.append(request)
        case .deviceInfo: device.describeDevice(&writer)
        case .regionInfo(let request): return try device.describeRegion(request, &writer)
        case .irqInfo(let request): try device.describeInterrupt(request, &writer)
        case .setIRQs(let request): try device.setInterrupts(request, payload, &descriptors)
        case .dmaMap(let request): try device.slot.memory.map(request, descriptors.takeFirst())
        case .dmaUnmap(let request):
            try device.unmap(request, payload, &writer)
        case .deviceReset: device.reset()
        case .deviceFeature(let request): try device.carryOut(request, payload, &writer)
        case .migrationDataRead(let request):
            try device.readState(request, limit: client.transferByteCount, &writer)
        case .migrationDataWrite(let request): try device.writeState(request, payload)
        case .regionIOFDs: throw .notSupported
        }
        return -1
    }

    // MARK: the first message

    /// Answers the version; anything else is refused, and the connection with it.
    private mutating func negotiate(_ message: Message) throws(Stop) {
        let header = message.header
        do throws(Errno) {
            guard header.isCommand, header.command == .version, !message.isOversized else { throw .invalid }
            let body = reader.body(of: message)
            guard let asked = UserVersion(body), asked.major == Self.version.major,
                body.byteCount - UserVersion.byteCount <= limits.textByteCount
            else { throw .invalid }
            var text: [UInt8] = []
            for index in UserVersion.byteCount..<body.byteCount {
                text.append(UInt8(truncatingIfNeeded: body.loadByte(index)))
            }
            do throws(Capabilities.Problem) {
                client = try Capabilities(text: text)
            } catch {
                throw .invalid
            }
            writer.beginReply(to: header)
            writer.append(UserVersion(major: 0, minor: min(asked.minor, Self.version.minor)))
            let answer = capabilities.text
            // SAFETY: a UInt8 has no padding.
            writer.append(unsafe answer.span.bytes)
            isNegotiated = true
        } catch {
            writer.refuse(header, error)
        }
        do throws(Errno) {
            writer.finish()
            try socket.sendAll(writer.bytes)
        } catch {
            throw .failed(error)
        }
        if !isNegotiated { throw .refused }
    }

    /// What the server says about itself.
    private var capabilities: Capabilities {
        var own = Capabilities()
        own.descriptorsPerMessage = limits.descriptorsPerMessage
        own.transferByteCount = limits.transferByteCount
        own.mappingCount = limits.mappingCount
        own.writesMultiple = true
        // The words by which libvfio-user says that a device can be moved.
        if device.canMove {
            own.migration = .object([JSON.Member("pgsize", .integer(Int64(DirtyLog.granule)))])
        }
        return own
    }
}

extension RawSpan {
    /// One byte.
    func loadByte(_ offset: Int) -> UInt8 {
        // SAFETY: the bound is checked by the span; any byte is a UInt8.
        unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }
}
