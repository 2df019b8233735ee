import CLinux
import LinuxSystem
import VFIOABI
import VFIOHost

/// The kernel of the run where it lives in another process: every call is sent there.
///
/// Each call under way has a connection to itself; those that are free are kept for the next.
final class ForwardingHost: Host, @unchecked Sendable {
    // SAFETY: `idle` and `kernel` are only touched with `lock` held; the rest never changes.
    private let lock = Lock()
    private var idle: [Int32] = []
    private let path: String
    /// Tells this program from what the process ran before.
    private let image = Clock.now

    /// Which kernel; 0 as long as any will do.
    private var kernel: UInt64

    /// - Parameters:
    ///   - path: of the kernel's socket.
    ///   - kernel: the kernel whose handles this process has; 0 for any.
    init(_ path: String, of kernel: UInt64 = 0) {
        self.path = path
        self.kernel = kernel
    }

    /// Which kernel it is; 0 if none has answered. Asked in a child of fork(2), where nobody gives a lock back.
    var identity: UInt64 { kernel }

    var kind: HostKind { .software }

    /// Makes sure that the kernel is there.
    /// - Throws: `ENOENT`, `ECONNREFUSED` if it isn't.
    func connect() throws(Errno) {
        let socket = try connection()
        keep(socket.release())
    }

    private func keep(_ number: Int32) {
        Handles.protect(number)
        lock.withLock { idle.append(number) }
    }

    private func connection() throws(Errno) -> UnixSocket {
        while let number = lock.withLock({ idle.popLast() }) {
            let socket = UnixSocket(owning: Descriptor(owning: number))
            // Nothing is said without being asked for: it is the end, if anything.
            if Poller.readiness(of: number, .readable) == [] { return socket }
            Handles.remove(number)
        }
        clinux_allow_tracing()
        let number = try UnixSocket(connecting: path).release()
        let raised = clinux_dup_above(number, 800)
        if raised >= 0 { _ = Descriptor(owning: number) }
        let socket = UnixSocket(owning: Descriptor(owning: raised >= 0 ? Int32(raised) : number))
        var none = PassedDescriptors()
        let found = try socket.receive(UInt64(0), &none)
        let isRight = lock.withLock { () -> Bool in
            if kernel == 0 { kernel = found }
            return kernel == found
        }
        guard isRight else { throw .noDevice }
        return socket
    }

    /// A connection for a call.
    /// - Throws: `ENODEV` if the kernel is gone.
    private func reach() throws(Errno) -> UnixSocket {
        do throws(Errno) {
            let socket = try connection()
            // It may be closed while it is in use.
            Handles.remove(socket.descriptor.number)
            return socket
        } catch {
            throw .noDevice
        }
    }

    /// In a child of fork(2), to which the connections don't belong. The object is never used again.
    func forget() {
        for number in idle {
            Handles.remove(number)
            _ = Descriptor(owning: number)
        }
    }

    // MARK: calls

    /// Makes a call.
    /// - Parameters:
    ///   - end: the other end of a place for a handle, sent along; -1 for none.
    ///   - body: bytes to send behind it.
    ///   - passed: gets the descriptor that comes with the answer.
    ///   - read: receives the bytes behind the answer.
    /// - Throws: what the kernel answers; `ENODEV` if it is gone.
    private func call(
        _ message: CallMessage, passing end: Int32 = -1, body: RawSpan = RawSpan(),
        _ passed: inout PassedDescriptors, into room: inout MutableRawSpan
    ) throws(Errno) -> AnswerMessage {
        var message = message
        message.image = image
        message.file = Handles.file(of: message.handle) ?? -1
        let answer: AnswerMessage
        let socket = try reach()
        do throws(Errno) {
            try socket.send(message, passing: end)
            if body.byteCount > 0 { try socket.sendAll(body) }
            answer = try receiveAnswer(on: socket, &passed)
            if answer.byteCount > 0 {
                guard answer.byteCount <= UInt64(room.byteCount) else { throw .connectionReset }
                var part = room._mutatingExtracting(first: Int(answer.byteCount))
                var none = PassedDescriptors()
                try socket.receiveAll(into: &part, &none)
            }
        } catch {
            throw .noDevice
        }
        keep(socket.release())
        if answer.errno != 0 { throw Errno(rawValue: answer.errno) }
        return answer
    }

    /// Waits for the answer, and does what the kernel asks for meanwhile.
    private func receiveAnswer(
        on socket: borrowing UnixSocket, _ passed: inout PassedDescriptors
    ) throws(Errno) -> AnswerMessage {
        while true {
            let answer = try socket.receive(AnswerMessage(), &passed)
            var reply = ReplyMessage()
            switch answer.kind {
            case AnswerMessage.Kind.answer: return answer
            case AnswerMessage.Kind.populate:
                do throws(Errno) {
                    try UserMemory.populateOwn(
                        HostAddress(answer.address), byteCount: Int(truncatingIfNeeded: answer.byteCount),
                        writable: answer.flag != 0)
                } catch {
                    reply.errno = error.rawValue
                }
                try socket.send(reply)
            case AnswerMessage.Kind.descriptor:
                let number = Int32(truncatingIfNeeded: answer.value)
                let isOpen = Descriptor.isOpen(number)
                if !isOpen { reply.errno = Errno.badDescriptor.rawValue }
                try socket.send(reply, passing: isOpen ? number : -1)
            default: throw .connectionReset
            }
        }
    }

    private func call(_ message: CallMessage) throws(Errno) -> AnswerMessage {
        var none = PassedDescriptors()
        var room = MutableRawSpan()
        return try call(message, &none, into: &room)
    }

    /// Makes a call that may make a handle. Its number is chosen here and sent along, because the kernel writes numbers
    /// into the program's structures too.
    private func callMakingHandle(_ message: CallMessage) throws(Errno) -> Int32 {
        let pair = try UnixSocket.makePair()
        let own = Descriptor(owning: pair.0)
        var message = message
        message.place = own.number
        var none = PassedDescriptors()
        var room = MutableRawSpan()
        let answer: AnswerMessage
        do {
            let end = Descriptor(owning: pair.1)
            answer = try call(message, passing: end.number, &none, into: &room)
        }
        if answer.flag != 0 {
            let number = own.release()
            guard HandleName.learn(number) else {
                _ = Descriptor(owning: number)
                throw .tooManyDescriptors
            }
        }
        return Int32(truncatingIfNeeded: answer.value)
    }

    func open(_ node: Node) throws(Errno) -> Int32 {
        var message = CallMessage()
        message.kind = CallMessage.Kind.open
        (message.request, message.argument) = node.numbers
        return try callMakingHandle(message)
    }

    func close(_ handle: Int32) {
        guard Handles.contains(handle) else { return }
        Handles.remove(handle)
        _ = Descriptor(owning: handle)
        var message = CallMessage()
        message.kind = CallMessage.Kind.collect
        _ = try? call(message)
    }

    func control(_ handle: Int32, _ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        var message = CallMessage()
        message.kind = CallMessage.Kind.control
        message.handle = handle
        message.request = request
        message.argument = UInt64(argument)
        switch Request(rawValue: UInt(request)) {
        case .groupGetDeviceFD, .deviceFeature, .faultQueueAlloc, .deviceGetGFXDMABuf:
            return try callMakingHandle(message)
        default: return Int32(truncatingIfNeeded: try call(message).value)
        }
    }

    func read(_ handle: Int32, at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        try read(CallMessage.Kind.readAt, handle, offset, &bytes)
    }

    func read(_ handle: Int32, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        try read(CallMessage.Kind.read, handle, 0, &bytes)
    }

    private func read(
        _ kind: UInt32, _ handle: Int32, _ offset: UInt64, _ bytes: inout MutableRawSpan
    ) throws(Errno) -> Int {
        var message = CallMessage()
        message.kind = kind
        message.handle = handle
        message.offset = offset
        message.byteCount = UInt64(min(bytes.byteCount, mostBytesOfCall))
        var none = PassedDescriptors()
        return Int(try call(message, &none, into: &bytes).value)
    }

    func write(_ handle: Int32, at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        try write(CallMessage.Kind.writeAt, handle, offset, bytes)
    }

    func write(_ handle: Int32, _ bytes: RawSpan) throws(Errno) -> Int {
        try write(CallMessage.Kind.write, handle, 0, bytes)
    }

    private func write(
        _ kind: UInt32, _ handle: Int32, _ offset: UInt64, _ bytes: RawSpan
    ) throws(Errno) -> Int {
        let part = bytes.extracting(first: min(bytes.byteCount, mostBytesOfCall))
        var message = CallMessage()
        message.kind = kind
        message.handle = handle
        message.offset = offset
        message.byteCount = UInt64(part.byteCount)
        var none = PassedDescriptors()
        var room = MutableRawSpan()
        return Int(try call(message, body: part, &none, into: &room).value)
    }

    /// Writes to one of ``ControlFiles``.
    func write(_ path: String, _ bytes: [UInt8]) throws(Errno) {
        var message = CallMessage()
        message.kind = CallMessage.Kind.controlFile
        let path = Array(path.utf8)
        message.argument = UInt64(path.count)
        let body = path + bytes
        message.byteCount = UInt64(body.count)
        while true {
            var none = PassedDescriptors()
            var room = MutableRawSpan()
            do throws(Errno) {
                _ = try call(message, body: unsafe body.span.bytes, &none, into: &room)
                return
            } catch {
                // The device is still in use.
                guard error == .timedOut else { throw error }
            }
        }
    }

    /// The same memory is mapped here. The kernel doesn't know of the mapping: it isn't taken away while the device's
    /// memory is off.
    func map(
        _ handle: Int32, at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        guard let rounded = byteCount.roundedUp(toMultipleOf: pageSize), rounded > 0 else { throw .invalid }
        var message = CallMessage()
        message.kind = CallMessage.Kind.map
        message.handle = handle
        message.offset = offset
        message.argument = UInt64(rounded)
        message.protection = protection.rawValue
        var passed = PassedDescriptors()
        var room = MutableRawSpan()
        let answer = try call(message, &passed, into: &room)
        guard let file = passed.takeFirst() else { throw .invalid }
        return try Mapping(
            sharing: file.number, at: answer.address, byteCount: rounded, protection: protection
        ).release()
    }

    func unmap(_ window: MemoryWindow) {
        // SAFETY: a whole mapping, given away by the function above.
        _ = unsafe Mapping(owning: window)
    }

    func inventory() throws(InventoryError) -> Inventory {
        throw InventoryError(path: path, errno: .notSupported)
    }
}
