import CLinux
import LinuxSystem
import SoftwareHost
import VFIOHost

/// One connection of another process to the kernel here, and the thread that serves it.
final class ClientConnection: RemoteCaller, @unchecked Sendable {
    // SAFETY: only the thread that serves it touches what changes; `number` doesn't.
    private let socket: UnixSocket
    private let service: KernelService
    private var known: RemoteProcess?
    private var isGreeted = false
    /// What the call under way is about.
    private var call = CallMessage()
    /// The kernel's end of the place that came with the call; -1 when it was taken, or none came.
    private var end: Int32 = -1
    /// The same once it was taken.
    private var takenEnd: Int32 = -1

    init(_ socket: consuming UnixSocket, of service: KernelService) {
        self.socket = socket
        self.service = service
    }

    // SAFETY: asked while a call is under way only, when the process is known.
    var process: RemoteProcess { unsafe known.unsafelyUnwrapped }

    /// The socket's number.
    var number: Int32 { socket.descriptor.number }

    /// Serves until the other side is gone.
    func serve() {
        var room = [UInt8](repeating: 0, count: mostBytesOfCall)
        do throws(Errno) {
            // First of all who answers: the caller may have the handles of a kernel that was killed.
            if !isGreeted { try socket.send(service.places.kernel) }
            isGreeted = true
            while true {
                // A call isn't received before it is this process that will answer it.
                _ = clinux_poll_one(number, Int16(POLLIN), -1)
                try ForkGate.passing { () throws(Errno) in
                    guard Poller.readiness(of: number, .readable) != [] else { return }
                    try serveOne(&room)
                }
            }
        } catch {
            if let known { service.leave(known) }
        }
    }

    private func serveOne(_ room: inout [UInt8]) throws(Errno) {
        var passed = PassedDescriptors()
        call = try socket.receive(CallMessage(), &passed)
        if known == nil { known = try service.enter(socket.peerProcess, image: call.image) }
        guard call.byteCount <= UInt64(mostBytesOfCall) else { throw .invalid }
        let count = Int(call.byteCount)
        if call.hasBody {
            var none = PassedDescriptors()
            var span = room.mutableSpan
            // SAFETY: any value of the bytes is one of their own.
            var bytes = unsafe span.mutableBytes
            var part = bytes._mutatingExtracting(first: count)
            try socket.receiveAll(into: &part, &none)
        }
        end = -1
        takenEnd = -1
        if call.place >= 0, let descriptor = passed.takeFirst() {
            end = KernelPlaces.raise(descriptor.release())
        }
        var answer = AnswerMessage()
        answer.kind = AnswerMessage.Kind.answer
        var shared: Int32 = -1
        CallerOfThread.serving(self) {
            do throws(Errno) {
                answer.value = Int64(try carryOut(count, &room, &answer, &shared))
            } catch {
                answer.errno = error.rawValue
            }
        }
        if end >= 0 {
            // Not needed after all.
            Handles.remove(end)
            _ = Descriptor(owning: end)
        }
        answer.flag = takenEnd >= 0 ? 1 : 0
        let owned = shared >= 0 ? PassedDescriptors(owning: shared) : PassedDescriptors()
        try socket.send(answer, passing: shared)
        _ = consume owned
        if answer.byteCount > 0 {
            let bytes = room.span.extracting(first: Int(answer.byteCount))
            try socket.sendAll(unsafe bytes.bytes)
        }
    }

    private func carryOut(
        _ count: Int, _ room: inout [UInt8], _ answer: inout AnswerMessage, _ shared: inout Int32
    ) throws(Errno) -> Int {
        let front = service.kernel
        switch call.kind {
        case CallMessage.Kind.open:
            guard let node = Node(kind: call.request, number: call.argument) else { throw .noSuchEntry }
            service.collect()
            return Int(try front.open(node))
        case CallMessage.Kind.control:
            service.collect()
            return Int(try front.control(call.handle, call.request, UInt(call.argument)))
        case CallMessage.Kind.readAt, CallMessage.Kind.read:
            var span = room.mutableSpan
            // SAFETY: any value of the bytes is one of their own.
            var bytes = unsafe span.mutableBytes
            var part = bytes._mutatingExtracting(first: count)
            let isStream = call.kind == CallMessage.Kind.read
            let got =
                isStream
                ? try front.read(call.handle, into: &part)
                : try front.read(call.handle, at: call.offset, into: &part)
            answer.byteCount = UInt64(got)
            return got
        case CallMessage.Kind.writeAt:
            return try front.write(
                call.handle, at: call.offset, unsafe room.span.extracting(first: count).bytes)
        case CallMessage.Kind.write:
            return try front.write(call.handle, unsafe room.span.extracting(first: count).bytes)
        case CallMessage.Kind.map:
            let memory = try service.kernel.shareMemory(
                call.handle, at: call.offset, byteCount: Int(truncatingIfNeeded: call.argument))
            answer.address = memory.offset
            shared = try Descriptor(duplicating: memory.descriptor).release()
            return 0
        case CallMessage.Kind.collect:
            service.collect()
            return 0
        case CallMessage.Kind.controlFile:
            service.collect()
            guard call.argument <= UInt64(count) else { throw .invalid }
            let path = room[..<Int(call.argument)]
            try ControlFiles.carryOut(
                String(decoding: path, as: UTF8.self), Array(room[path.endIndex..<count]),
                waitingAtMost: mostMillisecondsOfChange)
            return 0
        default: throw .invalid
        }
    }

    // MARK: RemoteCaller

    func populate(_ address: HostAddress, byteCount: Int, writable: Bool) throws(Errno) {
        var question = AnswerMessage()
        question.kind = AnswerMessage.Kind.populate
        question.address = UInt64(address.rawValue)
        question.byteCount = UInt64(byteCount)
        question.flag = writable ? 1 : 0
        var none = PassedDescriptors()
        try ask(question, &none)
    }

    func descriptor(_ number: Int32) throws(Errno) -> Descriptor {
        var question = AnswerMessage()
        question.kind = AnswerMessage.Kind.descriptor
        question.value = Int64(number)
        var passed = PassedDescriptors()
        try ask(question, &passed)
        guard let descriptor = passed.takeFirst() else { throw .badDescriptor }
        return descriptor
    }

    private func ask(_ question: AnswerMessage, _ passed: inout PassedDescriptors) throws(Errno) {
        let reply: ReplyMessage
        do throws(Errno) {
            try socket.send(question)
            reply = try socket.receive(ReplyMessage(), &passed)
        } catch {
            // The process was killed meanwhile; nobody sees the answer.
            throw .badAddress
        }
        if reply.errno != 0 { throw Errno(rawValue: reply.errno) }
    }

    func identity(of number: Int32) -> Int32? {
        if number == call.handle && call.file >= 0 { return call.file }
        do throws(Errno) {
            let descriptor = try descriptor(number)
            guard let name = HandleName.of(descriptor.number), name.kernel == service.places.kernel else {
                return nil
            }
            return name.file
        } catch {
            return nil
        }
    }

    func takePlace() throws(Errno) -> (number: Int32, end: Int32) {
        guard end >= 0 else { throw .tooManyDescriptors }
        takenEnd = end
        end = -1
        return (call.place, takenEnd)
    }

    func returnPlace() -> Int32? {
        guard takenEnd >= 0 else { return nil }
        defer { takenEnd = -1 }
        return takenEnd
    }
}
