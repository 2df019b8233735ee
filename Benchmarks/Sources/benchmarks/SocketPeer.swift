import DeviceModel
import Glibc
import LinuxSystem
import VFIOABI
import VFIOUser

/// Where both ends of a socket run, and how they wait.
struct Placement {
    /// How it is called.
    let name: String
    /// The processors of this end, a bit each.
    let near: UInt64
    /// The processors of the other end.
    let far: UInt64
    /// How often to look for bytes before waiting for them; 0 for always waiting.
    let polls: Int

    /// On one processor, where a message takes two switches of threads.
    static let together = Placement(name: "same processor", near: 1, far: 1, polls: 0)

    /// What a client of the library's takes, and how it waits.
    var limits: Limits { Limits(patience: Patience(answerPolls: polls)) }

    /// Those that the machine has processors for.
    static var all: [Placement] {
        defer { try? WorkerThread.bindCaller(toProcessors: .max) }
        guard (try? WorkerThread.bindCaller(toProcessors: 2)) != nil else { return [together] }
        return [
            together,
            Placement(name: "two processors", near: 1, far: 2, polls: 0),
            // Whoever isn't measured at the moment stops looking soon, and leaves the processor to the other.
            Placement(name: "two processors, polling", near: 1, far: 2, polls: 1000),
        ]
    }
}

/// This end of a pair of sockets, used as plainly as it can be, and a thread that has the other end.
@safe final class SocketPeer {
    // SAFETY: `room` is this object's, allocated and freed here, and reached within its length only.
    private let number: Int32
    private let socket: UnixSocket
    private var thread: WorkerThread?
    private let flags: Int32
    /// Where answers go.
    private let room: UnsafeMutableRawPointer
    private let roomByteCount: Int

    /// - Parameter roomByteCount: how long the longest answer is.
    init(
        _ placement: Placement, roomByteCount: Int = 65_536,
        _ serve: @escaping @Sendable (Int32) -> Void
    ) throws(Errno) {
        var numbers: (Int32, Int32) = (-1, -1)
        try UnixSocket.withPair { (a, b) throws(Errno) in
            numbers.0 = try Descriptor(duplicating: a.descriptor.number).release()
            numbers.1 = try Descriptor(duplicating: b.descriptor.number).release()
        }
        number = numbers.0
        socket = UnixSocket(owning: Descriptor(owning: numbers.0))
        flags = placement.polls > 0 ? Int32(MSG_DONTWAIT) : 0
        self.roomByteCount = roomByteCount
        unsafe room = .allocate(byteCount: roomByteCount, alignment: 4096)
        // SAFETY: so many bytes were allocated.
        unsafe room.initializeMemory(as: UInt8.self, repeating: 0, count: roomByteCount)
        let other = numbers.1
        let processors = placement.far
        thread = try WorkerThread {
            try? WorkerThread.bindCaller(toProcessors: processors)
            serve(other)
        }
    }

    deinit {
        socket.shutDown()
        thread = nil
        unsafe room.deallocate()
    }

    /// A server for a device, and its client that has said hello.
    static func client(
        of server: Server, _ placement: Placement, roomByteCount: Int = 65_536
    ) throws -> SocketPeer {
        let peer = try SocketPeer(placement, roomByteCount: roomByteCount) { number in
            _ = try? server.serve(UnixSocket(owning: Descriptor(owning: number)))
        }
        let text = #"{"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576}}"#
        peer.send(message(.version, UserVersion(), Array(text.utf8) + [0]))
        peer.receiveSome()
        return peer
    }

    /// Somebody who answers every so many bytes with so many.
    static func echo(
        _ request: Int, _ reply: Int, _ placement: Placement, roomByteCount: Int = 65_536
    ) throws -> SocketPeer {
        try SocketPeer(placement, roomByteCount: roomByteCount) { number in
            let end = RawEnd(number, roomByteCount: max(request, reply), polls: placement.polls)
            while end.receive(request), end.send(reply) {}
        }
    }

    /// Sends bytes, all at once if they fit.
    @inline(__always)
    func send(_ bytes: [UInt8]) {
        // SAFETY: the array's own bytes, for the time of the call.
        unsafe bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            var done = 0
            while done < buffer.count {
                let sent = unsafe Glibc.send(
                    number, base.advanced(by: done), buffer.count - done, Int32(MSG_NOSIGNAL))
                if sent <= 0 { return }
                done += sent
            }
        }
    }

    /// Receives so many bytes, in as many pieces as they come.
    @inline(__always)
    func receive(_ count: Int) {
        precondition(count <= roomByteCount, "too long an answer")
        var done = 0
        while done < count {
            // SAFETY: checked to have room.
            let got = unsafe recv(number, room.advanced(by: done), count - done, flags)
            if got > 0 {
                done += got
            } else if got == 0 || errno != EAGAIN {
                return
            } else {
                spinHint()
            }
        }
    }

    /// Receives whatever comes in one piece.
    func receiveSome() {
        // SAFETY: as long as the room is.
        _ = unsafe recv(number, room, roomByteCount, 0)
    }

    /// A byte of what was received last.
    func byte(_ offset: Int) -> UInt8 {
        precondition(offset >= 0 && offset < roomByteCount, "no such byte")
        // SAFETY: checked; all bytes are initialised.
        return unsafe room.load(fromByteOffset: offset, as: UInt8.self)
    }

    /// Sends a request and receives so many bytes of answer.
    @inline(__always)
    func exchange(_ request: [UInt8], reply: Int) {
        send(request)
        receive(reply)
    }

    /// Hands a file over as the device's memory from an address on.
    func map(_ file: Int32, _ byteCount: UInt64, at address: UInt64 = 0) throws(Errno) {
        let request = message(
            .dmaMap, UserDMAMap(flags: [.read, .write], address: address, size: byteCount))
        // SAFETY: a UInt8 has no padding.
        _ = try socket.send(unsafe request.span.bytes, descriptors: [file])
        receive(16)
    }

    /// Lets the device begin transfers: memory and bus master in COMMAND.
    func enableDevice() {
        exchange(
            message(.regionWrite, UserRegionAccess(offset: 4, region: 7, count: 4), [7, 0, 0, 0]),
            reply: 32)
    }
}

/// The other end of a socket where nothing is between the socket and the measurement.
@safe struct RawEnd: ~Copyable {
    // SAFETY: as above.
    private let socket: UnixSocket
    private let room: UnsafeMutableRawPointer
    private let roomByteCount: Int
    private let polls: Int

    init(_ number: Int32, roomByteCount: Int, polls: Int) {
        socket = UnixSocket(owning: Descriptor(owning: number))
        self.roomByteCount = roomByteCount
        self.polls = polls
        unsafe room = .allocate(byteCount: roomByteCount, alignment: 4096)
        // SAFETY: so many bytes were allocated.
        unsafe room.initializeMemory(as: UInt8.self, repeating: 0, count: roomByteCount)
    }

    deinit {
        socket.shutDown()
        unsafe room.deallocate()
    }

    /// Receives so many bytes; false where the connection has ended.
    @inline(__always)
    func receive(_ count: Int) -> Bool {
        precondition(count <= roomByteCount, "too much")
        var done = 0
        var left = polls
        while done < count {
            let flags = left > 0 ? Int32(MSG_DONTWAIT) : 0
            // SAFETY: checked to have room.
            let got = unsafe recv(
                socket.descriptor.number, room.advanced(by: done), count - done, flags)
            if got > 0 {
                done += got
            } else if got < 0 && errno == EAGAIN && left > 0 {
                left -= 1
                spinHint()
            } else {
                return false
            }
        }
        return true
    }

    /// Receives what has come, waiting for the first byte; nil where the connection has ended.
    func receiveSome(atMost count: Int) -> Int? {
        var left = polls
        while true {
            let flags = left > 0 ? Int32(MSG_DONTWAIT) : 0
            // SAFETY: no more than there is room for.
            let got = unsafe recv(socket.descriptor.number, room, min(count, roomByteCount), flags)
            if got > 0 { return got }
            guard got < 0 && errno == EAGAIN && left > 0 else { return nil }
            left -= 1
            spinHint()
        }
    }

    /// Sends so many bytes; false where the connection has ended.
    @inline(__always)
    func send(_ count: Int) -> Bool {
        precondition(count <= roomByteCount, "too much")
        var done = 0
        while done < count {
            // SAFETY: checked to be there.
            let sent = unsafe Glibc.send(
                socket.descriptor.number, room.advanced(by: done), count - done, Int32(MSG_NOSIGNAL))
            if sent <= 0 { return false }
            done += sent
        }
        return true
    }
}

/// A structure's bytes.
func bytes(_ value: some ABIValue) -> [UInt8] {
    value.withBytes { span in
        (0..<span.byteCount).map { UInt8(truncatingIfNeeded: span.loadUnit(1, at: $0)) }
    }
}

/// One command of a client, as bytes.
func message(
    _ command: UserCommand, _ body: some ABIValue, _ more: [UInt8] = [], flags: UserMessageFlags = []
) -> [UInt8] {
    let size = 16 + MemoryLayout.size(ofValue: body) + more.count
    return bytes(UserMessageHeader(id: 1, command: command, messageSize: UInt32(size), flags: flags))
        + bytes(body) + more
}

/// A server on a thread of its own, for a client of the library's.
final class RunningServer {
    private let server: Server
    private var ours: Int32
    private var thread: WorkerThread?

    init(_ model: any DeviceModel, _ placement: Placement) throws {
        let server = try Server(connected: model, polls: placement.polls)
        self.server = server
        var numbers: (Int32, Int32) = (-1, -1)
        try UnixSocket.withPair { (a, b) throws(Errno) in
            numbers = (a.release(), b.release())
        }
        ours = numbers.0
        let other = numbers.1
        let processors = placement.far
        thread = try WorkerThread {
            try? WorkerThread.bindCaller(toProcessors: processors)
            _ = try? server.serve(UnixSocket(owning: Descriptor(owning: other)))
        }
    }

    /// The client's end, once.
    func takeSocket() -> UnixSocket {
        defer { ours = -1 }
        return UnixSocket(owning: Descriptor(owning: ours))
    }

    deinit {
        server.stop()
        if ours >= 0 { _ = Descriptor(owning: ours) }
    }
}
