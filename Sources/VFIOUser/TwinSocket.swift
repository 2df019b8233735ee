import LinuxSystem
import VFIOABI

/// The client's end of the socket that a server sends its commands on, where it has one for them alone: they are
/// answered whatever the client waits for on the other. One thread's.
struct TwinSocket: ~Copyable {
    private let socket: UnixSocket
    private var reader: MessageReader
    private var requests: ServerRequests

    /// - Parameter milliseconds: how long the server may leave an answer unread.
    /// - Throws: `ENOMEM`.
    init(
        _ socket: consuming UnixSocket, _ mappings: ClientMappings, _ limits: Limits, milliseconds: Int
    ) throws(Errno) {
        let reader = try MessageReader(limit: limits.messageByteCount)
        let requests = try ServerRequests(mappings, limits)
        try socket.setTimeout(milliseconds: milliseconds)
        self.reader = reader
        self.requests = requests
        self.socket = socket
    }

    /// The socket's number.
    var number: Int32 { socket.descriptor.number }

    /// Carries out what has come.
    /// - Returns: false where the socket is of no use any more.
    mutating func serve() -> Bool {
        while true {
            do throws(FramingError) {
                while let message = try reader.next() {
                    // There is nothing here that could be answered.
                    guard !message.header.isReply, carryOut(message) else { return false }
                }
            } catch {
                return false
            }
            do throws(Errno) {
                if try reader.receive(from: socket, waits: false) == 0 { return false }
            } catch {
                return error == .again
            }
        }
    }

    private mutating func carryOut(_ message: Message) -> Bool {
        guard requests.carryOut(message, reader.body(of: message)) else { return true }
        do throws(Errno) {
            try socket.sendAll(requests.answer)
            return true
        } catch {
            return false
        }
    }
}
