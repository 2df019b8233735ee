import DeviceModel
import Glibc
import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

@Suite("A server's life")
struct LifeCycleTests {
    /// A name in the temporary folder that nobody has.
    private func path() -> String {
        "/tmp/vfio-user-test-\(getpid())-\(Clock.now)-\(Int.random(in: 0..<1 << 30)).sock"
    }

    /// A server that runs on a thread of its own until it goes.
    private final class Running {
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

    @Test("has a path as long as it runs")
    func appears() throws {
        let path = path()
        do {
            let running = try Running(try Server(try TestDevice(), at: path))
            #expect(running.server.path == path)
            #expect(FileSystem.exists(path))
            let client = try RawClient.connect(path)
            try client.negotiate()
            #expect(try client.read(.config, 0, 2) == [0x34, 0x12])
        }
        #expect(!FileSystem.exists(path))
        #expect(
            try FileSystem.names(in: "/tmp").allSatisfy { !$0.hasPrefix(".vfio-user-\(getpid())-") },
            "the name that it is made under first is gone")
    }

    @Test("takes the place of a server that doesn't run any more, and of nothing else")
    func occupied() throws {
        let path = path()
        defer { try? FileSystem.unlink(path) }
        do {
            let left = try UnixSocket(listening: path)
            #expect(throws: Server.Failure(operation: .listen, path: path, errno: .addressInUse)) {
                _ = try Server(try TestDevice(), at: path)
            }
            _ = left.descriptor.number
        }
        #expect(FileSystem.exists(path), "the name stays behind")
        do {
            _ = try Server(try TestDevice(), at: path)
        }
        #expect(!FileSystem.exists(path))
        _ = try Descriptor(opening: path, [.create, .writeOnly])
        #expect(throws: Server.Failure(operation: .listen, path: path, errno: .exists)) {
            _ = try Server(try TestDevice(), at: path)
        }
        #expect(FileSystem.exists(path))
        let long = "/tmp/" + String(repeating: "x", count: 200)
        #expect(throws: Server.Failure(operation: .listen, path: long, errno: .nameTooLong)) {
            _ = try Server(try TestDevice(), at: long)
        }
    }

    @Test("can begin with a socket that somebody else listens on")
    func inherited() throws {
        let path = path()
        defer { try? FileSystem.unlink(path) }
        let listener = try UnixSocket(listening: path)
        let descriptor = try Descriptor(duplicating: listener.descriptor.number)
        let running = try Running(try Server(try TestDevice(), listening: descriptor))
        let client = try RawClient.connect(path)
        try client.negotiate()
        #expect(try client.read(.config, 0, 2) == [0x34, 0x12])
        running.stop()
        #expect(FileSystem.exists(path), "the name isn't the server's")
    }

    @Test("serves one client after the other, and each finds the device as after power-on")
    func reattachment() throws {
        let path = path()
        let device = try TestDevice()
        let running = try Running(try Server(device, at: path))
        let event = try EventDescriptor()
        let file = try MemoryFile.create("guest", byteCount: 4096)
        for turn in 0..<20 {
            let client = try RawClient.connect(path)
            try client.negotiate()
            #expect(try client.read32(.bar0, 0x40) == 0, "turn \(turn)")
            #expect(try client.read(.config, 4, 2) == [0, 0])
            #expect(try client.setInterrupts(.msix, [.dataNone, .actionTrigger], count: 1) == .invalid)
            try client.enable()
            try client.write32(.bar0, 0x40, 7)
            #expect(try client.map(0, 4096, file: file.number) == nil)
            try client.setInterrupts(
                .msix, [.dataEventFD, .actionTrigger], count: 1, descriptors: [event.number])
            // Some go in the middle of a message.
            if turn % 2 == 1 { try client.send([UInt8](RawClient.message(.deviceReset)[..<7])) }
        }
        running.stop()
        #expect(device.quiesceCount == 20)
        #expect(try event.take() == 0)
    }

    @Test("lets a second client wait until the first has gone")
    func waiting() throws {
        let path = path()
        let running = try Running(try Server(try TestDevice(), at: path))
        var first: RawClient? = try RawClient.connect(path)
        try first?.negotiate()
        let second = try RawClient.connect(path)
        try second.send(
            RawClient.message(.version, RawClient.bytes(UserVersion()) + RawClient.hello))
        #expect(try first?.read(.config, 0, 2) == [0x34, 0x12])
        first = nil
        #expect(try second.receive().errno == nil)
        #expect(try second.read(.config, 0, 2) == [0x34, 0x12])
        running.stop()
    }

    @Test("ends when it is told to, with a client or without")
    func stopping() throws {
        let alone = try Running(try Server(try TestDevice(), at: path()))
        alone.stop()
        let path = path()
        let running = try Running(try Server(try TestDevice(), at: path))
        let client = try RawClient.connect(path)
        try client.negotiate()
        running.stop()
        #expect(client.isClosed())
        let early = try Server(try TestDevice(), at: self.path())
        early.stop()
        try early.run()
    }

    @Test("survives a client that goes without reading its answers")
    func brokenPipe() throws {
        let rig = try Rig()
        let access = RawClient.bytes(UserRegionAccess(offset: 0, region: 2, count: 4096))
        // More answers than the socket holds.
        for _ in 0..<30 { try rig.connected.send(RawClient.message(.regionRead, access)) }
        let end = rig.finish()
        #expect(end == .closed || end == .failed(.brokenPipe) || end == .failed(.connectionReset))
    }

    @Test("resets the device whenever it is asked to; addresses, COMMAND and interrupts stay")
    func reset() throws {
        let rig = try Rig()
        let client = rig.connected
        let event = try EventDescriptor()
        try client.enable()
        try client.write32(.config, 0x10, 0xfe00_0000)
        try client.setInterrupts(
            .msix, [.dataEventFD, .actionTrigger], count: 1, descriptors: [event.number])
        for body: [UInt8] in [[], [], [1, 2, 3]] {
            try client.write32(.bar0, 0x40, 7)
            let reply = try client.request(.deviceReset, body)
            #expect(reply.errno == nil)
            #expect(reply.body.isEmpty)
            #expect(try client.read32(.bar0, 0x40) == 0)
            #expect(try client.read32(.config, 0x10) == 0xfe00_0000)
            #expect(try client.read(.config, 4, 2) == [7, 0])
            try client.write32(.bar0, TestDevice.Trigger.vector, 0)
            #expect(try event.take() == 1)
        }
        #expect(rig.device.resets == [.function, .function, .function])
    }

    @Test("resets the function when its configuration space says so")
    func functionReset() throws {
        let rig = try Rig()
        let client = rig.connected
        let event = try EventDescriptor()
        try client.enable()
        try client.setInterrupts(
            .msix, [.dataEventFD, .actionTrigger], count: 1, descriptors: [event.number])
        try client.write32(.bar0, 0x40, 7)
        let express = UInt64(try #require(rig.device.function.configuration.capability(0x10)))
        try client.write(.config, express + 8, [0, 0x80])
        #expect(try client.read32(.bar0, 0x40) == 0)
        #expect(try client.read(.config, 4, 2) == [0, 0], "registers are as after power-on")
        try client.enable()
        try client.write32(.bar0, TestDevice.Trigger.vector, 0)
        #expect(try event.take() == 1, "the client's eventfds stay")
    }
}
