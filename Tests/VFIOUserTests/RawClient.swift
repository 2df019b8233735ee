import LinuxSystem
import VFIOABI
import VFIOUser

/// Speaks vfio-user byte by byte, and believes nothing: what it sends and receives are bytes.
final class RawClient {
    private let socket: UnixSocket
    /// Memory that the server is given by messages, also while an answer is waited for; nil where it must not ask.
    var memory: RemoteMemory?
    private var nextID: UInt16 = 0xfff0

    init(_ socket: consuming UnixSocket) { self.socket = socket }

    /// Connects to a path.
    static func connect(_ path: String) throws -> RawClient {
        let socket = try UnixSocket(connecting: path)
        return RawClient(socket)
    }

    /// An answer.
    struct Reply: Equatable {
        var header: UserMessageHeader
        var body: [UInt8]
        /// Numbers that the test owns.
        var descriptors: [Int32] = []

        /// The errno of a refusal; nil for success.
        var errno: Errno? {
            header.flags.contains(.error) ? Errno(rawValue: Int32(header.error)) : nil
        }

        /// The fixed part.
        func value<T: ABIValue>(_ type: T.Type, at offset: Int = 0) -> T? {
            T(body.span.bytes, at: offset)
        }
    }

    /// Sends bytes, in one piece or in pieces of the given lengths.
    func send(_ bytes: [UInt8], descriptors: [Int32] = [], pieces: Int? = nil) throws {
        var done = 0
        while done < bytes.count {
            let count = min(pieces ?? bytes.count, bytes.count - done)
            let piece = bytes.span.bytes.extracting(done..<done + count)
            done += try socket.send(piece, descriptors: done == 0 ? descriptors : [])
        }
    }

    /// Receives exactly so many bytes.
    private func receive(_ count: Int, _ descriptors: inout [Int32]) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            var span = bytes.mutableSpan
            var all = span.mutableBytes
            var room = all._mutatingExtracting(done..<count)
            let got = try socket.receive(into: &room, descriptors: &descriptors)
            if got == 0 { throw Errno.connectionReset }
            done += got
        }
        return bytes
    }

    /// The next message.
    func receive() throws -> Reply {
        var descriptors: [Int32] = []
        let head = try receive(16, &descriptors)
        guard let header = UserMessageHeader(head.span.bytes), header.messageSize >= 16 else {
            throw Errno.invalid
        }
        let body = try receive(Int(header.messageSize) - 16, &descriptors)
        return Reply(header: header, body: body, descriptors: descriptors)
    }

    /// The next reply; commands that come before it are carried out.
    func receiveReply() throws -> Reply {
        while true {
            let message = try receive()
            guard message.header.isCommand, let memory else { return message }
            try send(memory.answer(message))
        }
    }

    /// Carries out one command of the server.
    func serve() throws {
        let message = try receive()
        guard message.header.isCommand, let memory else { throw Errno.noMessage }
        try send(memory.answer(message))
    }

    /// Ends the connection.
    func hangUp() { socket.shutDown() }

    /// Whether the server has closed the connection.
    func isClosed() -> Bool {
        do {
            _ = try receive()
            return false
        } catch {
            return true
        }
    }

    /// A command's bytes.
    static func message(
        _ command: UserCommand, _ body: [UInt8] = [], id: UInt16 = 1, flags: UserMessageFlags = []
    ) -> [UInt8] {
        bytes(
            UserMessageHeader(id: id, command: command, messageSize: UInt32(16 + body.count), flags: flags))
            + body
    }

    /// A structure's bytes.
    static func bytes(_ value: some ABIValue) -> [UInt8] {
        value.withBytes { span in
            (0..<span.byteCount).map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
        }
    }

    /// Sends a command and receives its answer, whose id and command are looked at.
    @discardableResult
    func request(
        _ command: UserCommand, _ body: [UInt8] = [], descriptors: [Int32] = [], pieces: Int? = nil
    ) throws -> Reply {
        nextID &+= 1
        let id = nextID
        try send(
            Self.message(command, body, id: id), descriptors: descriptors, pieces: pieces)
        let reply = try receiveReply()
        guard reply.header.id == id, reply.header.command == command, reply.header.isReply else {
            throw Errno.noMessage
        }
        return reply
    }

    @discardableResult
    func request(
        _ command: UserCommand, _ body: some ABIValue, _ more: [UInt8] = [], descriptors: [Int32] = []
    ) throws -> Reply {
        try request(command, Self.bytes(body) + more, descriptors: descriptors)
    }

    // MARK: the commands

    static let hello = Array(#"{"capabilities":{"max_msg_fds":16}}"#.utf8) + [0]

    /// Agrees on a version.
    @discardableResult
    func negotiate() throws -> Reply {
        let reply = try request(.version, UserVersion(major: 0, minor: 0), Self.hello)
        if let errno = reply.errno { throw errno }
        return reply
    }

    func read(_ region: PCIRegion, _ offset: UInt64, _ count: Int) throws -> [UInt8] {
        let access = UserRegionAccess(offset: offset, region: region.rawValue, count: UInt32(count))
        let reply = try request(.regionRead, access)
        if let errno = reply.errno { throw errno }
        guard reply.value(UserRegionAccess.self) == access else { throw Errno.invalid }
        return Array(reply.body.dropFirst(16))
    }

    func write(_ region: PCIRegion, _ offset: UInt64, _ bytes: [UInt8]) throws {
        let access = UserRegionAccess(offset: offset, region: region.rawValue, count: UInt32(bytes.count))
        let reply = try request(.regionWrite, access, bytes)
        if let errno = reply.errno { throw errno }
        guard reply.value(UserRegionAccess.self) == access, reply.body.count == 16 else {
            throw Errno.invalid
        }
    }

    func read32(_ region: PCIRegion, _ offset: UInt64) throws -> UInt32 {
        let bytes = try read(region, offset, 4)
        return UInt32(bytes.span.bytes) ?? 0
    }

    func write32(_ region: PCIRegion, _ offset: UInt64, _ value: UInt32) throws {
        try write(region, offset, Self.bytes(value))
    }

    func write64(_ region: PCIRegion, _ offset: UInt64, _ value: UInt64) throws {
        try write(region, offset, Self.bytes(value))
    }

    func read64(_ region: PCIRegion, _ offset: UInt64) throws -> UInt64 {
        let bytes = try read(region, offset, 8)
        return UInt64(bytes.span.bytes) ?? 0
    }

    /// Turns on memory and bus mastering.
    func enable() throws { try write(.config, 4, [0x07, 0x00]) }

    /// Sets interrupts up, with eventfds or none.
    @discardableResult
    func setInterrupts(
        _ index: PCIInterrupt, _ flags: IRQSetFlags, start: Int = 0, count: Int, _ data: [UInt8] = [],
        descriptors: [Int32] = []
    ) throws -> Errno? {
        let head = IRQSet(
            argsz: UInt32(20 + data.count), flags: flags, index: index.rawValue, start: UInt32(start),
            count: UInt32(count))
        return try request(.deviceSetIRQs, head, data, descriptors: descriptors).errno
    }

    func map(
        _ address: UInt64, _ size: UInt64, _ flags: UserDMAMapFlags = [.read, .write], offset: UInt64 = 0,
        file: Int32? = nil
    ) throws -> Errno? {
        let body = UserDMAMap(flags: flags, offset: offset, address: address, size: size)
        return try request(.dmaMap, body, descriptors: file.map { [$0] } ?? []).errno
    }

    func unmap(_ address: UInt64, _ size: UInt64, _ flags: UserDMAUnmapFlags = []) throws -> Errno? {
        try request(.dmaUnmap, UserDMAUnmap(flags: flags, address: address, size: size)).errno
    }
}
