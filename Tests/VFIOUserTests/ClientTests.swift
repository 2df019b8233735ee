import Glibc
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI

@testable import VFIOUser

/// A name in the temporary folder that nobody has.
func unusedSocketPath() -> String {
    "/tmp/vfio-user-client-\(getpid())-\(Clock.now)-\(Int.random(in: 0..<1 << 30)).sock"
}

/// A server that runs on a thread of its own until it goes.
final class RunningServer {
    let server: Server
    private var thread: WorkerThread?

    init(_ server: Server) throws {
        self.server = server
        thread = try WorkerThread { try? server.run() }
    }

    func stop() {
        server.stop()
        thread = nil
    }

    deinit { stop() }
}

/// A server that a test writes message by message, on a thread of its own.
final class ScriptedServer: @unchecked Sendable {
    let path = unusedSocketPath()
    private var thread: WorkerThread?
    private let lock = Lock()
    private var failure: (any Error)?

    init(_ script: @escaping @Sendable (RawClient) throws -> Void) throws {
        let listener = try UnixSocket(listening: path)
        let number = try Descriptor(duplicating: listener.descriptor.number).release()
        thread = try WorkerThread { [self] in
            let listener = Descriptor(owning: number)
            do {
                let peer = RawClient(try UnixSocket.accept(on: listener.number))
                try Self.negotiate(peer)
                try script(peer)
            } catch {
                lock.withLock { failure = error }
            }
        }
    }

    /// Answers the version.
    private static func negotiate(_ peer: RawClient) throws {
        let hello = try peer.receive()
        try peer.send(
            RawClient.message(
                .version, RawClient.bytes(UserVersion(major: 0, minor: 0)) + Capabilities().text,
                id: hello.header.id, flags: .reply))
    }

    /// Waits for the script's end.
    func finish() throws {
        thread = nil
        try? FileSystem.unlink(path)
        if let failure = lock.withLock({ failure }) { throw failure }
    }
}

extension Client {
    /// Reads an integer from a region.
    func load<T: FixedWidthInteger & BitwiseCopyable>(
        _ initial: T, _ region: PCIRegion, _ offset: UInt64
    ) throws(ClientFailure) -> T {
        var bytes = [UInt8](repeating: 0, count: MemoryLayout<T>.size)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try read(region: region.rawValue, at: offset, into: &raw)
        return bytes.reversed().reduce(0) { $0 << 8 | T($1) }
    }

    /// Writes an integer to a region.
    func store<T: FixedWidthInteger & BitwiseCopyable>(
        _ value: T, _ region: PCIRegion, _ offset: UInt64
    ) throws(ClientFailure) {
        let bytes = (0..<MemoryLayout<T>.size).map { UInt8(truncatingIfNeeded: value >> (8 * T($0))) }
        try write(region: region.rawValue, at: offset, bytes.span.bytes)
    }
}

@Suite("A client")
struct ClientTests {
    @Test("asks a device what it is, and reads and writes it")
    func conversation() throws {
        let running = try RunningServer(try Server(try TestDevice(), at: unusedSocketPath()))
        let client = try Client(connecting: try #require(running.server.path))
        #expect(client.version == UserVersion(major: 0, minor: 1))
        #expect(client.server.descriptorsPerMessage == 16)
        let info = try client.deviceInfo()
        #expect(info.flags == [.pci, .reset])
        #expect(info.regionCount == PCIRegion.count)
        #expect(try client.load(UInt32(0), .config, 0) == 0x4242_1234)
        try client.store(UInt32(0xcafe_f00d), .bar0, 0x40)
        #expect(try client.load(UInt32(0), .bar0, 0x40) == 0xcafe_f00d)
        let bar = try client.region(PCIRegion.bar2.rawValue)
        let isShared = bar.descriptor != nil
        #expect(isShared)
        #expect(bar.areas == [SparseMmapArea(offset: 0xe000, size: 0x2000)])
        #expect(try client.interrupt(PCIInterrupt.msix.rawValue).count == 70)
        try client.reset()
        #expect(try client.load(UInt32(0), .bar0, 0x40) == 0)
    }

    @Test("splits what is longer than one message")
    func longTransfers() throws {
        let running = try RunningServer(
            try Server(try TestDevice(), at: unusedSocketPath(), limits: Limits(transferByteCount: 4096)))
        let client = try Client(connecting: try #require(running.server.path))
        #expect(client.server.transferByteCount == 4096)
        let written = (0..<0x2000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try client.write(region: 2, at: 0xe000, written.span.bytes)
        var got = [UInt8](repeating: 0, count: written.count)
        var span = got.mutableSpan
        var raw = span.mutableBytes
        try client.read(region: 2, at: 0xe000, into: &raw)
        #expect(got == written)
    }

    @Test("tells a refusal from a connection that is lost")
    func failures() throws {
        let running = try RunningServer(try Server(try TestDevice(), at: unusedSocketPath()))
        let client = try Client(connecting: try #require(running.server.path))
        #expect(throws: ClientFailure.refused(.invalid)) { _ = try client.region(99) }
        #expect(throws: ClientFailure.refused(.invalid)) { _ = try client.load(UInt32(0), .bar0, 0x2000) }
        #expect(!client.isLost)
        running.stop()
        #expect(throws: ClientFailure.lost(.connectionReset)) { try client.reset() }
        #expect(client.isLost)
        #expect(throws: ClientFailure.lost(.connectionReset)) { try client.reset() }
        #expect(throws: ClientFailure.unreachable(.noSuchEntry)) {
            _ = try Client(connecting: unusedSocketPath())
        }
    }

    @Test("reads a refusal that has data behind it to its end")
    func refusalsWithData() throws {
        let server = try ScriptedServer { peer in
            for _ in 0..<2 {
                let asked = try peer.receive()
                var refusal = RawClient.message(
                    asked.header.command, [UInt8](repeating: 9, count: 24), id: asked.header.id,
                    flags: [.reply, .error])
                // An errno that doesn't exist is EINVAL.
                refusal[12] = asked.header.command == .regionRead ? 5 : 0
                try peer.send(refusal)
            }
        }
        let client = try Client(connecting: server.path)
        #expect(throws: ClientFailure.refused(.inputOutput)) { _ = try client.load(UInt32(0), .bar0, 0) }
        #expect(throws: ClientFailure.refused(.invalid)) { try client.reset() }
        try server.finish()
    }

    @Test("gives a command up after a while, and takes no late answer for another's")
    func timeouts() throws {
        let server = try ScriptedServer { peer in
            let first = try peer.receive()
            let second = try peer.receive()
            for (asked, value) in [(first, UInt8(1)), (second, 2)] {
                let access = try #require(asked.value(UserRegionAccess.self))
                try peer.send(
                    RawClient.message(
                        .regionRead, RawClient.bytes(access) + [value, 0], id: asked.header.id, flags: .reply)
                )
            }
        }
        let client = try Client(connecting: server.path, milliseconds: 300)
        #expect(throws: ClientFailure.timedOut) { _ = try client.load(UInt16(0), .bar0, 0) }
        #expect(try client.load(UInt16(0), .bar0, 0) == 2)
        try server.finish()
    }

    @Test("refuses answers that make no sense", arguments: [0, 1, 2])
    func nonsense(_ kind: Int) throws {
        let server = try ScriptedServer { peer in
            let asked = try peer.receive()
            let access = try #require(asked.value(UserRegionAccess.self))
            let body =
                switch kind {
                case 0: [UInt8](repeating: 0, count: 3)
                case 1: RawClient.bytes(access) + [1, 2, 3, 4, 5]
                default: RawClient.bytes(UserRegionAccess(offset: 1, region: 0, count: 4)) + [1, 2, 3, 4]
                }
            try peer.send(
                RawClient.message(.regionRead, body, id: asked.header.id, flags: .reply))
        }
        let client = try Client(connecting: server.path)
        #expect(throws: ClientFailure.malformed(.regionRead)) { _ = try client.load(UInt32(0), .bar0, 0) }
        try server.finish()
    }

    @Test("serves messages to its memory while it waits for an answer: what is mapped, as it is mapped")
    func messages() throws {
        let memory = try Mapping(anonymous: 2 * pageSize)
        memory.window.store64(0, 0x1122_3344_5566_7788)
        let start = UInt64(memory.window.address.rawValue)
        let mappings = ClientMappings()
        let range = try #require(IOVARange(IOVA(0x10000), byteCount: UInt64(pageSize)))
        let next = try #require(IOVARange(IOVA(0x10000 + UInt64(pageSize)), byteCount: UInt64(pageSize)))
        try mappings.add(IOVAMapping(range, backing: start, permissions: .readWrite))
        try mappings.add(IOVAMapping(next, backing: start + UInt64(pageSize), permissions: .read))
        let end = 0x10000 + UInt64(pageSize)
        let server = try ScriptedServer { peer in
            let asked = try peer.receive()
            func read(_ address: UInt64, _ count: UInt64) throws -> RawClient.Reply {
                try peer.request(.dmaRead, UserDMAAccess(address: address, count: count))
            }
            func write(_ address: UInt64, _ bytes: [UInt8]) throws -> RawClient.Reply {
                try peer.request(
                    .dmaWrite, UserDMAAccess(address: address, count: UInt64(bytes.count)), bytes)
            }
            let got = try read(0x10000, 8)
            #expect(Array(got.body.dropFirst(16)) == [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11])
            #expect(got.value(UserDMAAccess.self) == UserDMAAccess(address: 0x10000, count: 8))
            let done = try write(0x10008, [1, 2, 3, 4])
            #expect(done.body == RawClient.bytes(UserDMAAccess(address: 0x10008, count: 4)))
            #expect(try read(end - 4, 8).errno == nil, "from one mapping into the next")
            #expect(try write(end - 4, [UInt8](repeating: 7, count: 8)).errno == .badAddress, "read-only")
            #expect(try read(0xfff8, 16).errno == .badAddress, "begins before the mapping")
            #expect(try read(.max - 3, 8).errno == .badAddress, "wraps")
            #expect(try read(0x10000, 1 << 40).errno == .invalid, "longer than a message")
            #expect(try read(0x10000, 0).errno == .invalid)
            #expect(try peer.request(.dmaRead, [1, 2, 3]).errno == .invalid)
            #expect(try peer.request(.regionRead, UserRegionAccess(count: 4)).errno == .notSupported)
            try peer.send(
                RawClient.message(.deviceReset, id: asked.header.id, flags: .reply))
        }
        let client = try Client(
            try UnixSocket(connecting: server.path), mappings, Limits(), milliseconds: 10_000)
        try client.reset()
        try server.finish()
        #expect(memory.window.load32(8) == 0x0403_0201)
        #expect(memory.window.load32(pageSize - 4) == 0, "nothing of a refused write is done")
    }

    @Test("serves a message that came in one piece with an answer")
    func messageBehindAnswer() throws {
        let memory = try Mapping(anonymous: pageSize)
        let mappings = ClientMappings()
        let range = try #require(IOVARange(IOVA(0x10000), byteCount: UInt64(pageSize)))
        try mappings.add(
            IOVAMapping(
                range, backing: UInt64(memory.window.address.rawValue), permissions: .readWrite))
        let server = try ScriptedServer { peer in
            let asked = try peer.receive()
            let access = UserDMAAccess(address: 0x10000, count: 1)
            try peer.send(
                RawClient.message(asked.header.command, id: asked.header.id, flags: .reply)
                    + RawClient.message(.dmaWrite, RawClient.bytes(access) + [9], id: 77))
            #expect(try peer.receive().header.id == 77)
        }
        let client = try Client(
            try UnixSocket(connecting: server.path), mappings, Limits(), milliseconds: 10_000)
        try client.reset()
        try server.finish()
        withExtendedLifetime(client) {}
        #expect(memory.window.load32(0) == 9)
    }

    @Test("serves messages while nobody waits for an answer, where memory has no descriptor")
    func idleMessages() throws {
        let memory = try Mapping(anonymous: pageSize)
        let mappings = ClientMappings()
        let range = try #require(IOVARange(IOVA(0x10000), byteCount: UInt64(pageSize)))
        try mappings.add(
            IOVAMapping(
                range, backing: UInt64(memory.window.address.rawValue), permissions: .readWrite))
        let server = try ScriptedServer { peer in
            let asked = try peer.receive()
            #expect(asked.header.command == .dmaMap)
            try peer.send(RawClient.message(.dmaMap, id: asked.header.id, flags: .reply))
            for value in UInt8(1)...5 {
                let done = try peer.request(
                    .dmaWrite, UserDMAAccess(address: 0x10000, count: 1), [value])
                #expect(done.errno == nil)
            }
        }
        let client = try Client(
            try UnixSocket(connecting: server.path), mappings, Limits(), milliseconds: 10_000)
        try client.map(
            UserDMAMap(flags: [.read, .write], address: 0x10000, size: UInt64(pageSize)), descriptor: -1)
        try server.finish()
        withExtendedLifetime(client) {}
        #expect(memory.window.load32(0) == 5)
    }
}
