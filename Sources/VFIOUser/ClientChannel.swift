import LinuxSystem
import VFIOABI

/// A client's connection, shared by all threads that use the device.
///
/// Whoever waits for an answer reads the socket for everybody: a message of the server's that comes in between is
/// carried out on that thread. While nobody waits, ``serveIdle()`` does it.
final class ClientChannel: @unchecked Sendable {
    // SAFETY: `connection` is used with `lock` held, `end` with `endLock`.
    private let lock = Lock()
    private var connection: ClientConnection
    /// The socket's number, for a poller. Valid as long as the channel lives.
    let number: Int32

    /// How many bytes of data this side takes in one message.
    let transferByteCount: Int

    init(_ connection: consuming ClientConnection, transferByteCount: Int) {
        number = connection.number
        self.transferByteCount = transferByteCount
        self.connection = connection
    }

    /// Whether nothing can be sent any more.
    var isLost: Bool { lock.withLock { connection.loss != nil } }

    /// Whose doing the end of the connection was.
    private enum End { case none, ours, theirs }
    private let endLock = Lock()
    private var end = End.none

    private func noteEnd(_ new: End) { endLock.withLock { if end == .none { end = new } } }

    /// Whether the connection has ended, and not from here.
    var wasLost: Bool { endLock.withLock { end == .theirs } }

    /// Ends the connection: whoever waits for an answer is told that it is lost.
    func shutDown() {
        noteEnd(.ours)
        UnixSocket.shutDown(number)
    }

    /// Ends the connection with a server that can't be talked to any more.
    func giveUp() {
        noteEnd(.theirs)
        UnixSocket.shutDown(number)
    }

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
            do throws(ClientFailure) {
                return try connection.request(command, passing: descriptors, fill, take)
            } catch {
                if connection.loss != nil { noteEnd(.theirs) }
                throw error
            }
        }
    }

    /// Carries out what the server has sent while nobody was waiting for an answer.
    /// - Returns: false where the connection has ended.
    func serveIdle() -> Bool {
        let goesOn = lock.withLock { connection.serveIdle() }
        if !goesOn { noteEnd(.theirs) }
        return goesOn
    }
}
