import DeviceModel
import JSONText
import LinuxSystem
import VFIOABI

/// One client's connection, from its first message to its last: requests are carried out and answered in order.
///
/// **Reply first.** A client that waits for an answer doesn't serve our requests (QEMU holds its big lock), so
/// nothing here waits for the client while the client waits for us. The device may want memory that takes messages
/// to the client: in a register write it gets it, because the write is answered before the first such message goes
/// out. While the device waits for it, answers go to whoever waits for their id, and commands are put aside until
/// the write is done, except what can be answered in the middle of it (see ``Channel/answerMeanwhile()``). In a
/// register read the device can't wait, and is refused.
///
/// **Twin socket.** A client that says that it understands a second socket for our commands gets one, and is
/// believed to serve it whatever it waits for on the first: then nothing of the above is needed.
struct Connection: ~Copyable {
    private let channel: Channel
    /// A second socket, for our commands alone.
    private var twin: Channel?
    /// Whether commands to the client go where its own come from.
    private var sharesSocket = true
    private let device: ServedDevice
    private let limits: Limits
    private var writer: MessageWriter
    private var isNegotiated = false
    /// What the client was given to ring; nil unless it asked for that.
    private var doorbells: Doorbells?
    private var hasDoorbells = false
    /// Descriptors for the answer under way, where they are several.
    private var several: [Int32] = []
    /// Stands for `several` where a descriptor is expected.
    private static let severalDescriptors: Int32 = -2
    /// What the client said about itself.
    private(set) var client = Capabilities()

    /// The versions spoken here are 0.0 up to this.
    static let version = UserVersion(major: 0, minor: 1)

    /// To be made by the thread that runs it.
    /// - Throws: `ENOMEM`.
    init(_ socket: consuming UnixSocket, _ device: ServedDevice, polls: Int) throws(Errno) {
        let writer = try MessageWriter(limit: device.limits.messageByteCount)
        channel = try Channel(socket, device, polls: polls)
        self.writer = writer
        self.device = device
        limits = device.limits
    }

    /// The reasons to end a connection from within.
    private enum Stop: Error {
        case refused
        case failed(Errno)
        case ended(ConnectionEnd)
    }

    /// Serves the client until the connection ends.
    mutating func run() -> ConnectionEnd {
        let result = serve()
        // What was ended from here is the reason for everything that failed afterwards.
        let end = channel.ended ?? result
        device.slot.connect(nil, transferLimit: 0)
        channel.end(end)
        twin?.end(end)
        return end
    }

    private mutating func serve() -> ConnectionEnd {
        let deadline = Clock.moment(inMilliseconds: limits.patience.handshakeMilliseconds)
        while true {
            do throws(Errno) {
                if !isNegotiated { try awaitHandshake(deadline) }
                if try receive() == 0 { return channel.ended ?? .closed }
            } catch .timedOut {
                return .silent
            } catch {
                return .failed(error)
            }
            do throws(FramingError) {
                // SAFETY: the receiver's part is ours.
                while var message = try unsafe channel.inbox.pointee.next() {
                    if device.monitor.isWatching { note(&message) }
                    do throws(Stop) {
                        try process(message)
                    } catch {
                        switch error {
                        case .refused: return .refused
                        case .failed(let errno): return .failed(errno)
                        case .ended(let end): return end
                        }
                    }
                }
            } catch {
                return .framing(error)
            }
        }
    }

    /// A message has come, and somebody wants to know of messages. What was put aside has been noted then, and
    /// answers to what we asked are when they are delivered.
    @inline(never)
    private func note(_ message: inout Message) {
        guard !message.isQueued, !isNegotiated || !message.header.isReply else { return }
        channel.note(&message)
    }

    /// Waits for bytes of the first message.
    /// - Throws: `ETIMEDOUT`.
    private func awaitHandshake(_ deadline: UInt64) throws(Errno) {
        while true {
            let now = Clock.now
            guard now < deadline else { throw .timedOut }
            if try channel.socket.waitReadable(milliseconds: Int((deadline - now) / 1_000_000) + 1) { return }
        }
    }

    @inline(__always)
    private mutating func receive() throws(Errno) -> Int {
        // What is rung while the device is stopped for migration stays in the eventfds until it goes on.
        if hasDoorbells && !device.isFrozen { return try receiveOrRing() }
        // SAFETY: the receiver's part is ours.
        return try unsafe channel.inbox.pointee.reader.receive(
            from: channel.socket, polls: channel.polls)
    }

    /// Carries out one message and answers it.
    private mutating func process(_ message: Message) throws(Stop) {
        let header = message.header
        guard isNegotiated else {
            try negotiate(message)
            return
        }
        if header.isReply {
            // Where nobody waits for it, its command was given up.
            // SAFETY: nothing is received before the call returns; so below, where the body is used.
            channel.deliver(message, unsafe channel.unsafeBody(of: message))
            return
        }
        var passing: Int32 = -1
        var wasAnswered = false
        do throws(Errno) {
            guard header.isCommand else { throw .invalid }
            guard !message.isOversized else { throw .tooBig }
            if sharesSocket && device.slot.memory.remoteCount > 0 && isWrite(header.command) {
                wasAnswered = try writeAnswered(message)
            } else {
                passing = try carryOut(message)
            }
        } catch {
            writer.refuse(header, error)
        }
        if wasAnswered { return try settle() }
        if header.flags.contains(.noReply) { return }
        do throws(Errno) {
            writer.finish()
            if passing == Self.severalDescriptors { return try sendSeveral(since: message.receivedAt) }
            try channel.send(writer.bytes, passing: passing, since: message.receivedAt)
        } catch {
            throw .failed(error)
        }
    }

    @inline(never)
    private mutating func sendSeveral(since: UInt64) throws(Errno) {
        try channel.send(writer.bytes, passing: several, since: since)
        several = []
    }

    // MARK: doorbells

    /// `VFIO_USER_DEVICE_GET_REGION_IO_FDS`.
    private mutating func describeDoorbells(_ request: UserRegionIOFDs) throws(Errno) -> Int32 {
        guard request.flags == 0, device.regionByteCount(request.index) > 0 else { throw .invalid }
        let doorbells =
            if let doorbells { doorbells } else {
                try Doorbells(device.model, besides: channel.socket.descriptor.number)
            }
        self.doorbells = doorbells
        hasDoorbells = true
        several = try doorbells.describe(
            request, limit: min(client.descriptorsPerMessage, UnixSocket.mostDescriptors),
            isPort: request.index < 6 && !device.plans[Int(request.index)].isMemory, &writer)
        return several.isEmpty ? -1 : Self.severalDescriptors
    }

    /// Receives as ``receive()`` does, and carries out the writes of the doorbells that are rung meanwhile; those
    /// that were rung before a command was sent come before it.
    @inline(never)
    private mutating func receiveOrRing() throws(Errno) -> Int {
        guard let doorbells else { return 0 }
        while true {
            var count: Int?
            do throws(Errno) {
                // SAFETY: the receiver's part is ours.
                count = try unsafe channel.inbox.pointee.reader.receive(from: channel.socket, waits: false)
            } catch .again {}
            guard count != 0 else { return 0 }
            if try doorbells.look(waits: count == nil) {
                let takesMessages = sharesSocket && device.slot.memory.remoteCount > 0
                if takesMessages { channel.beginWrite() }
                doorbells.ring()
                if takesMessages, channel.endWrite() != nil { return 0 }
            }
            // SAFETY: as above.
            let queued = unsafe channel.inbox.pointee.queue.count
            if let count { return count }
            if queued > 0 { return 1 }
        }
    }

    // MARK: answers before the deed

    private func isWrite(_ command: UserCommand) -> Bool {
        command == .regionWrite || command == .regionWriteMulti
    }

    /// Carries out a write to a device that may want memory which takes messages: its answer is ready before the
    /// device begins, and goes out before the first such message.
    /// - Returns: whether it is such a write; otherwise its answer is put together.
    @inline(never)
    private mutating func writeAnswered(_ message: Message) throws(Errno) -> Bool {
        let request: ClientRequest
        // SAFETY: nothing is received as long as the body is used.
        let body = unsafe channel.unsafeBody(of: message)
        do throws(ClientRequest.Problem) {
            request = try ClientRequest(message.header.command, body, limits)
        } catch {
            throw error.errno
        }
        writer.beginReply(to: message.header)
        let payload = body.extracting(request.payloadOffset..<body.byteCount)
        switch request {
        case .regionWrite(let access) where access.region < 6:
            try device.checkWrite(access)
            writer.append(access)
        case .regionWriteMulti(let request):
            try device.checkMultiple(payload)
            writer.append(request)
        default:
            _ = try carryOut(message)
            return false
        }
        channel.hold(payload)
        if !message.header.flags.contains(.noReply) {
            writer.finish()
            channel.stage(writer.bytes, since: message.receivedAt)
        }
        channel.beginWrite()
        // SAFETY: kept until the next write begins.
        if case .regionWrite(let access) = request {
            try? device.write(access, unsafe channel.unsafeHeldBytes())
        } else {
            device.writeMultiple(unsafe channel.unsafeHeldBytes())
        }
        return true
    }

    /// Ends a write that was carried out with its answer staged.
    @inline(never)
    private func settle() throws(Stop) {
        // The client may say nothing before it has its answer, so this comes before the wait for the receiver.
        var failure: Errno?
        do throws(Errno) { try channel.flush() } catch { failure = error }
        let end = channel.endWrite()
        if let failure { throw .failed(failure) }
        if let end { throw .ended(end) }
    }

    /// Carries out a command and puts its answer together.
    /// - Returns: a descriptor to send along, or -1.
    @inline(__always)
    private mutating func carryOut(_ message: Message) throws(Errno) -> Int32 {
        let request: ClientRequest
        do throws(ClientRequest.Problem) {
            // SAFETY: as in `process`.
            request = try ClientRequest(
                message.header.command, unsafe channel.unsafeBody(of: message), limits)
        } catch {
            throw error.errno
        }
        writer.beginReply(to: message.header)
        switch request {
        case .regionRead(let access):
            try device.read(access, &writer)
            return -1
        case .regionWrite(let access):
            // SAFETY: nothing is received as long as the body is used.
            let body = unsafe channel.unsafeBody(of: message)
            try device.write(access, body.extracting(request.payloadOffset..<body.byteCount))
            writer.append(access)
            return -1
        default: return try carryOut(rare: request, message)
        }
    }

    private mutating func carryOut(rare request: ClientRequest, _ message: Message) throws(Errno) -> Int32 {
        // SAFETY: the receiver's part is ours.
        var descriptors = unsafe channel.inbox.pointee.takeDescriptors(of: message)
        // SAFETY: nothing is received as long as the body is used.
        let body = unsafe channel.unsafeBody(of: message)
        // `ClientRequest` made sure that the fixed part is there; a reset may have any body.
        let payload = body.extracting(min(request.payloadOffset, body.byteCount)..<body.byteCount)
        switch request {
        case .version: throw .invalid  // once is enough
        case .regionRead, .regionWrite: throw .invalid  // carried out above
        case .regionWriteMulti(let request):
            try device.checkMultiple(payload)
            device.writeMultiple(payload)
            writer.append(request)
        case .deviceInfo, .regionInfo, .irqInfo, .setIRQs, .dmaMap, .dmaUnmap:
            return try device.carryOutBesideModel(request, payload, &descriptors, &writer)
        case .deviceReset: device.reset()
        case .deviceFeature(let request): try device.carryOut(request, payload, &writer)
        case .migrationDataRead(let request):
            try device.readState(request, limit: client.transferByteCount, &writer)
        case .migrationDataWrite(let request): try device.writeState(request, payload)
        case .regionIOFDs(let request): return try describeDoorbells(request)
        }
        return -1
    }

    // MARK: the first message

    /// Answers the version; anything else is refused, and the connection with it.
    private mutating func negotiate(_ message: Message) throws(Stop) {
        let header = message.header
        var theirs: Descriptor?
        do throws(Errno) {
            guard header.isCommand, header.command == .version, !message.isOversized else { throw .invalid }
            // SAFETY: nothing is received as long as the body is used.
            let body = unsafe channel.unsafeBody(of: message)
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
            theirs = try makeTwin()
            writer.beginReply(to: header)
            writer.append(UserVersion(major: 0, minor: min(asked.minor, Self.version.minor)))
            let answer = capabilities.text
            // SAFETY: a UInt8 has no padding.
            writer.append(unsafe answer.span.bytes)
            isNegotiated = true
            device.slot.connect(twin ?? channel, transferLimit: client.transferByteCount)
        } catch {
            writer.refuse(header, error)
        }
        do throws(Errno) {
            writer.finish()
            try channel.send(writer.bytes, passing: theirs?.number ?? -1, since: message.receivedAt)
        } catch {
            throw .failed(error)
        }
        if !isNegotiated { throw .refused }
    }

    /// Makes a second socket, if the client understands that and takes a descriptor.
    /// - Returns: the client's end.
    private mutating func makeTwin() throws(Errno) -> Descriptor? {
        guard client.supportsTwinSocket, client.descriptorsPerMessage > 0 else { return nil }
        var numbers: (Int32, Int32) = (-1, -1)
        try UnixSocket.withPair { (ours, theirs) throws(Errno) in
            numbers = (ours.release(), theirs.release())
        }
        let theirs = Descriptor(owning: numbers.1)
        twin = try Channel(
            UnixSocket(owning: Descriptor(owning: numbers.0)), device, polls: channel.polls, twinOf: channel)
        sharesSocket = false
        return theirs
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
        own.supportsTwinSocket = twin != nil
        own.twinSocketIndex = twin == nil ? nil : 0
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
