import JSONText
import DeviceModel
import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

@Suite("A conversation")
struct ConversationTests {
    @Test("begins with a version; the answer has the lower minor one and the server's capabilities")
    func version() throws {
        for (asked, answered) in [(0, 0), (1, 1), (2, 1), (65535, 1)] {
            let rig = try Rig(negotiates: false)
            let reply = try rig.connected.request(
                .version, UserVersion(major: 0, minor: UInt16(asked)), RawClient.hello)
            #expect(reply.value(UserVersion.self) == UserVersion(major: 0, minor: UInt16(answered)))
            let capabilities = try Capabilities(text: Array(reply.body.dropFirst(4)))
            #expect(capabilities.descriptorsPerMessage == 16)
            #expect(capabilities.transferByteCount == 1 << 20)
            #expect(capabilities.writesMultiple)
            #expect(rig.finish() == .closed)
        }
    }

    @Test("needs no JSON")
    func noText() throws {
        let rig = try Rig(negotiates: false)
        #expect(try rig.connected.request(.version, UserVersion()).errno == nil)
        #expect(try rig.connected.request(.deviceGetInfo, UserDeviceInfo()).errno == nil)
    }

    @Test("ends where it begins with anything else")
    func refused() throws {
        let beginnings: [[UInt8]] = [
            RawClient.message(.deviceReset),
            RawClient.message(.version),
            RawClient.message(.version, RawClient.bytes(UserVersion(major: 1, minor: 0)) + RawClient.hello),
            RawClient.message(.version, RawClient.bytes(UserVersion()) + Array("{}".utf8)),
            RawClient.message(.version, RawClient.bytes(UserVersion()) + Array("{".utf8) + [0]),
            RawClient.message(
                .version, RawClient.bytes(UserVersion()) + [UInt8](repeating: 0x20, count: 5000) + [0]),
            RawClient.message(.version, RawClient.bytes(UserVersion()) + RawClient.hello, flags: .reply),
        ]
        for bytes in beginnings {
            let rig = try Rig(negotiates: false)
            try rig.connected.send(bytes)
            #expect(try rig.connected.receive().errno == .invalid)
            #expect(rig.connected.isClosed())
            #expect(rig.finish() == .refused)
        }
    }

    @Test("takes a version only once")
    func twice() throws {
        let rig = try Rig()
        #expect(try rig.connected.request(.version, UserVersion(), RawClient.hello).errno == .invalid)
        #expect(try rig.connected.request(.deviceGetInfo, UserDeviceInfo()).errno == nil)
    }

    @Test("goes on after commands that aren't known, well-formed, or too long")
    func mistakes() throws {
        let rig = try Rig()
        let client = rig.connected
        #expect(try client.request(UserCommand(rawValue: 14), [1]).errno == .notSupported)
        #expect(try client.request(UserCommand(rawValue: 0), [1]).errno == .notSupported)
        #expect(try client.request(.dmaRead, [UInt8](repeating: 0, count: 16)).errno == .notSupported)
        #expect(try client.request(.deviceGetInfo).errno == .invalid)
        #expect(try client.request(.deviceGetInfo, UserDeviceInfo(argsz: 15)).errno == .invalid)
        #expect(try client.request(.regionRead, [1, 2, 3]).errno == .invalid)
        #expect(
            try client.request(.deviceFeature, DeviceFeature(argsz: 8, flags: FeatureFlags(.migration, .get)))
                .errno
                == .noSuchRequest)
        #expect(try client.request(.regionWrite, [UInt8](repeating: 0, count: 2 << 20)).errno == .tooBig)
        try client.send(RawClient.message(.deviceGetInfo, [], flags: UserMessageFlags(rawValue: 5)))
        #expect(try client.receive().errno == .invalid)
        // A reply that nobody waits for isn't answered.
        try client.send(RawClient.message(.dmaRead, [], flags: .reply))
        #expect(try client.request(.deviceGetInfo, UserDeviceInfo()).errno == nil)
    }

    @Test("ends where the bytes can't be cut into messages any more")
    func framing() throws {
        let rig = try Rig()
        try rig.connected.send([1, 0, 4, 0, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        #expect(rig.connected.isClosed())
        guard case .framing = rig.finish() else {
            Issue.record("it ended otherwise")
            return
        }
    }

    @Test("may come byte by byte, or many requests at once: the answers come in order")
    func pieces() throws {
        let rig = try Rig()
        let client = rig.connected
        #expect(
            try client.request(.deviceGetInfo, RawClient.bytes(UserDeviceInfo()), pieces: 1)
                .value(UserDeviceInfo.self)?.regionCount == 9)
        var bytes: [UInt8] = []
        for id in 0..<1000 {
            let access = UserRegionAccess(offset: 0x40, region: 0, count: 4)
            bytes += RawClient.message(
                .regionWrite, RawClient.bytes(access) + RawClient.bytes(UInt32(id)), id: UInt16(id),
                flags: .noReply)
            if id % 10 == 0 {
                bytes += RawClient.message(.regionRead, RawClient.bytes(access), id: UInt16(id))
            }
        }
        try client.send(bytes, pieces: 1013)
        for id in stride(from: 0, to: 1000, by: 10) {
            let reply = try client.receive()
            #expect(reply.header.id == UInt16(id))
            #expect(reply.value(UInt32.self, at: 16) == UInt32(id))
        }
    }

    @Test("has no answers to what wants none, not even errors")
    func noReply() throws {
        let rig = try Rig()
        let client = rig.connected
        try client.send(RawClient.message(UserCommand(rawValue: 99), [1], flags: .noReply))
        try client.send(
            RawClient.message(
                .regionWrite, RawClient.bytes(UserRegionAccess(offset: 0, region: 8, count: 0)),
                flags: .noReply))
        try client.send(
            RawClient.message(.regionWrite, [UInt8](repeating: 0, count: 2 << 20), flags: .noReply))
        #expect(try client.request(.deviceGetInfo, UserDeviceInfo()).errno == nil)
    }

    @Test("leaves no descriptor open, however many a client sends")
    func surplusDescriptors() throws {
        let rig = try Rig()
        let client = rig.connected
        let canary = try Canary()
        for count in [1, 16, 16] {
            let reply = try client.request(
                .deviceGetInfo, UserDeviceInfo(), descriptors: [Int32](repeating: canary.number, count: count)
            )
            #expect(reply.errno == nil)
        }
        // The answer may be there before the last one is closed.
        _ = try client.request(.deviceGetInfo, UserDeviceInfo())
        #expect(canary.isClosedEverywhere())
    }
}
