import LinuxSystem
import VFIOABI

/// A client's connection, shared by all threads that use the device.
///
/// Whoever waits for an answer reads the socket for everybody: a message of the server's that comes in between is
/// carried out on that thread. While nobody waits, ``serveIdle()`` does it.
final class ClientChannel: @unchecked Sendable {
    // SAFETY: `connection` is used with `lock` held.
    private let lock = Lock()
    private var connection: ClientConnection
    /// The socket's number, for a poller. Valid as long as the channel lives.
    let number: Int32

    init(_ connection: consuming ClientConnection) {
        number = connection.number
        self.connection = connection
    }

    /// Whether nothing can be sent any more.
    var isLost: Bool { lock.withLock { connection.loss != nil } }

    /// Ends the connection: whoever waits for an answer is told that it is lost.
    func shutDown() { UnixSocket.shutDown(number) }

    /// Sends a command and waits for its answer.
    /// - Parameters:
    ///   - descriptors: sent along; they stay the caller's.
    ///   - fill: puts the body together.
    ///   - take: is lent the answer's body and may take the descriptors that came with it.
    func request<R: ~Copyable>(
        _ command: UserCommand, passing descriptors: [Int32] = [], _ fill: (inout MessageWriter) -> Void,
        _ take: (RawSpan, inout PassedDescriptors) throws(ClientFailure) -> R
    ) throws(ClientFailure) -> R {
        try lock.withLock { () throws(ClientFailure) -> R in
            try connection.request(command, passing: descriptors, fill, take)
        }
    }

    /// Carries out what the server has sent while nobody was waiting for an answer.
    /// - Returns: false where the connection has ended.
    func serveIdle() -> Bool { lock.withLock { connection.serveIdle() } }
}
