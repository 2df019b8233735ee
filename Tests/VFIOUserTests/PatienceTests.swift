import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

@Suite("A client that keeps a server waiting")
struct PatienceTests {
    private let path = "/tmp/vfio-user-patience-\(Clock.now)-\(UInt32.random(in: 0 ... .max)).sock"

    /// A server that notes how its connections end.
    private final class Running {
        private final class Ends: @unchecked Sendable {
            // SAFETY: guarded by the lock.
            let lock = Lock()
            var ends: [ConnectionEnd] = []
        }
        private let server: Server
        private var thread: WorkerThread?
        private let ends = Ends()

        init(_ path: String, _ patience: Patience) throws {
            let server = try Server(try TestDevice(), at: path, limits: Limits(patience: patience))
            self.server = server
            thread = try WorkerThread { [ends] in
                try? server.run { end in
                    ends.lock.withLock { ends.ends.append(end) }
                    return true
                }
            }
        }

        func stop() -> [ConnectionEnd] {
            server.stop()
            thread = nil
            return ends.lock.withLock { ends.ends }
        }

        deinit { _ = stop() }
    }

    @Test("by saying nothing, or not all of its first message, loses its place to the next")
    func silent() throws {
        let running = try Running(path, Patience(handshakeMilliseconds: 100))
        let silent = try RawClient.connect(path)
        let slow = try RawClient.connect(path)
        try slow.send([1, 0, 1, 0, 40])
        let next = try RawClient.connect(path)
        try next.negotiate()
        #expect(try next.read(.config, 0, 2) == [0x34, 0x12])
        #expect(silent.isClosed())
        #expect(slow.isClosed())
        // Once it has begun well, it may be silent as long as it likes.
        Clock.sleep(nanoseconds: 300_000_000)
        #expect(try next.read(.config, 0, 2) == [0x34, 0x12])
        #expect(running.stop() == [.silent, .silent, .closed])
    }

    @Test("by not reading its answers loses the connection")
    func unread() throws {
        let running = try Running(path, Patience(answerMilliseconds: 100))
        let client = try RawClient.connect(path)
        try client.negotiate()
        let access = RawClient.bytes(UserRegionAccess(offset: 0, region: 2, count: 0x8000))
        // More than a socket holds, and never taken out.
        for _ in 0..<40 { try client.send(RawClient.message(.regionRead, access)) }
        let next = try RawClient.connect(path)
        try next.negotiate()
        #expect(try next.read(.config, 0, 2) == [0x34, 0x12])
        #expect(running.stop().first == .failed(.timedOut))
    }
}
