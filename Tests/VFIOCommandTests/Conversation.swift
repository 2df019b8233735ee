import LinuxSystem
import Testing

/// A few words of vfio-user.
enum Conversation {
    /// Speaks just enough to see who answers: version 0.0, then the first four bytes of configuration space.
    static func identity(at path: String) throws -> [UInt8] {
        let socket = try UnixSocket(connecting: path)
        try begin(socket)
        return try identity(over: socket)
    }

    /// Says the version.
    static func begin(_ socket: borrowing UnixSocket) throws {
        _ = try exchange(socket, id: 1, command: 1, body: [0, 0, 0, 0] + Array("{}\0".utf8))
    }

    /// Reads the first four bytes of configuration space.
    static func identity(over socket: borrowing UnixSocket) throws -> [UInt8] {
        // Region 7, offset 0, 4 bytes.
        let read: [UInt8] = [UInt8](repeating: 0, count: 8) + [7, 0, 0, 0, 4, 0, 0, 0]
        return Array(try exchange(socket, id: 2, command: 9, body: read).suffix(4))
    }

    static func exchange(
        _ socket: borrowing UnixSocket, id: UInt8, command: UInt8, body: [UInt8]
    ) throws -> [UInt8] {
        let size = UInt8(16 + body.count)
        let message = [id, 0, command, 0, size, 0, 0, 0] + [UInt8](repeating: 0, count: 8) + body
        #expect(try socket.send(message.span.bytes) == message.count)
        var reply: [UInt8] = []
        while reply.count < 16 || reply.count < Int(reply[4]) + Int(reply[5]) << 8 {
            var piece = [UInt8](repeating: 0, count: 4096)
            var descriptors: [Int32] = []
            var span = piece.mutableSpan
            var bytes = span.mutableBytes
            let count = try socket.receive(into: &bytes, descriptors: &descriptors)
            try #require(count > 0, "the server hung up")
            reply += piece.prefix(count)
        }
        #expect(reply[0] == id && reply[8] & 0xf == 1 && reply[8] & 0x20 == 0, "\(reply)")
        return Array(reply.dropFirst(16))
    }
}
