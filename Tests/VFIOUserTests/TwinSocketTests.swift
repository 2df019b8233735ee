import DeviceModel
import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

@Suite("A second socket for the server's commands")
struct TwinSocketTests {
    private static let hello =
        Array(#"{"capabilities":{"max_msg_fds":8,"twin_socket":{"supported":true}}}"#.utf8) + [0]

    /// A client that has a second socket.
    private func connect(_ rig: Rig) throws -> RawClient {
        let reply = try rig.connected.request(.version, UserVersion(major: 0, minor: 1), Self.hello)
        let capabilities = try Capabilities(text: Array(reply.body.dropFirst(4)))
        #expect(reply.errno == nil)
        #expect(capabilities.supportsTwinSocket && capabilities.twinSocketIndex == 0)
        #expect(reply.descriptors.count == 1)
        let twin = RawClient(UnixSocket(owning: Descriptor(owning: try #require(reply.descriptors.first))))
        twin.memory = RemoteMemory(at: 0x10000, byteCount: 0x10000)
        try rig.connected.enable()
        #expect(try rig.connected.map(0x10000, 0x10000) == nil)
        try rig.connected.write64(.bar0, TestDevice.Trigger.address, 0x10000)
        return twin
    }

    @Test("is given to those who ask for it and take a descriptor")
    func asked() throws {
        for text in [
            #"{}"#, #"{"capabilities":{"twin_socket":{"supported":false}}}"#,
            #"{"capabilities":{"max_msg_fds":0,"twin_socket":{"supported":true}}}"#,
        ] {
            let rig = try Rig(negotiates: false)
            let reply = try rig.connected.request(.version, UserVersion(), Array(text.utf8) + [0])
            #expect(reply.errno == nil && reply.descriptors.isEmpty)
            #expect(try !Capabilities(text: Array(reply.body.dropFirst(4))).supportsTwinSocket)
        }
        _ = try connect(try Rig(negotiates: false))
    }

    @Test("brings memory in register reads too, and writes are answered when they are done")
    func transfers() throws {
        let rig = try Rig(negotiates: false)
        let client = rig.connected
        let twin = try connect(rig)
        twin.memory?.store(UInt64(0x1234), at: 0x10000)
        try client.send(
            RawClient.message(
                .regionRead,
                RawClient.bytes(
                    UserRegionAccess(offset: TestDevice.Trigger.loadNow, region: 0, count: 8)), id: 3))
        try twin.serve()
        #expect(try client.receive().header.id == 3)
        #expect(try client.read64(.bar0, TestDevice.Trigger.data) == 0x1234)
        try client.send(
            RawClient.message(
                .regionWrite,
                RawClient.bytes(UserRegionAccess(offset: TestDevice.Trigger.store, region: 0, count: 8))
                    + RawClient.bytes(UInt64(77)), id: 4))
        try twin.serve()
        #expect(try client.receive().header.id == 4)
        #expect(twin.memory?.load(UInt64.self, at: 0x10000) == 77)
        #expect(rig.device.faults.isEmpty)
    }

    @Test("ends the connection when the client closes it, sends a command on it, or doesn't answer there")
    func endings() throws {
        enum Way: CaseIterable { case closes, commands, keepsSilent }
        for way in Way.allCases {
            let rig = try Rig(
                limits: Limits(patience: Patience(answerMilliseconds: 100)), negotiates: false)
            let twin = try connect(rig)
            try rig.connected.send(
                RawClient.message(
                    .regionRead,
                    RawClient.bytes(
                        UserRegionAccess(offset: TestDevice.Trigger.loadNow, region: 0, count: 8)), id: 3))
            _ = try twin.receive()
            switch way {
            case .closes: twin.hangUp()
            case .commands: try twin.send(RawClient.message(.deviceReset))
            case .keepsSilent: break
            }
            while !rig.connected.isClosed() {}
            let end = rig.finish()
            switch way {
            case .closes: #expect(end == .closed)
            case .commands: #expect(end == .flooded)
            case .keepsSilent: #expect(end == .unanswered)
            }
        }
    }

    @Test("doesn't keep a server from being stopped that waits for an answer on it")
    func stopping() throws {
        let path = "/tmp/vfio-user-twin-\(Clock.now).sock"
        let device = try TestDevice()
        let server = try Server(device, at: path)
        var thread: WorkerThread? = try WorkerThread { try? server.run() }
        defer { server.stop() }
        let client = try RawClient.connect(path)
        let reply = try client.request(.version, UserVersion(), Self.hello)
        let twin = RawClient(UnixSocket(owning: Descriptor(owning: try #require(reply.descriptors.first))))
        try client.enable()
        #expect(try client.map(0, 4096) == nil)
        try client.send(
            RawClient.message(
                .regionRead,
                RawClient.bytes(
                    UserRegionAccess(offset: TestDevice.Trigger.loadNow, region: 0, count: 8))))
        _ = try twin.receive()
        let start = Clock.now
        server.stop()
        thread = nil
        #expect(thread == nil && Clock.now - start < 5_000_000_000)
        #expect(device.faults.map(\.reason) == [.remote(.gone)])
    }
}
