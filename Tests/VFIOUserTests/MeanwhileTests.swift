import DeviceModel
import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

@Suite("Commands while the device waits for the client's memory")
struct MeanwhileTests {
    private typealias Trigger = TestDevice.Trigger
    /// A register of the test device that is told as a doorbell.
    private static let doorbell: UInt64 = 0x200

    private func write(_ offset: UInt64, _ value: UInt64, id: UInt16, posted: Bool = false) -> [UInt8] {
        RawClient.message(
            .regionWrite,
            RawClient.bytes(UserRegionAccess(offset: offset, region: 0, count: 8)) + RawClient.bytes(value),
            id: id, flags: posted ? .noReply : [])
    }

    private func read(_ offset: UInt64, id: UInt16) -> [UInt8] {
        RawClient.message(
            .regionRead, RawClient.bytes(UserRegionAccess(offset: offset, region: 0, count: 8)), id: id)
    }

    private func map(_ address: UInt64, id: UInt16) -> [UInt8] {
        RawClient.message(
            .dmaMap, RawClient.bytes(UserDMAMap(flags: [.read, .write], address: address, size: 0x1000)),
            id: id)
    }

    private func rig(answersReads: Bool = true) throws -> (rig: Rig, client: RawClient, memory: RemoteMemory)
    {
        let bell = DoorbellRegister(bar: 0, offset: Self.doorbell, width: 8, value: .latest)
        let rig = try Rig(
            try TestDevice(answersReadsDuringDMA: answersReads, doorbells: [bell]),
            limits: Limits(patience: Patience(stalledMilliseconds: 60_000)))
        let client = rig.connected
        let memory = RemoteMemory(at: 0x10000, byteCount: 0x10000)
        client.memory = memory
        try client.enable()
        #expect(try client.map(0x10000, 0x10000) == nil)
        try client.write64(.bar0, Trigger.address, 0x10000)
        rig.device.accesses = []
        return (rig, client, memory)
    }

    /// Lets the device wait for memory.
    /// - Returns: its question.
    private func begin(_ client: RawClient) throws -> RawClient.Reply {
        try client.send(write(Trigger.load, 1, id: 3))
        #expect(try client.receive().header.id == 3)
        let question = try client.receive()
        #expect(question.header.command == .dmaRead)
        return question
    }

    @Test("are answered where the model has no part in them, and rings of doorbells don't keep reads waiting")
    func answered() throws {
        let (rig, client, memory) = try rig()
        let question = try begin(client)
        let event = try EventDescriptor()
        try client.send(write(Self.doorbell, 7, id: 4, posted: true) + write(Self.doorbell, 8, id: 5))
        #expect(try client.receive().header.id == 5)
        try client.send(read(0x40, id: 6) + map(0x40000, id: 7))
        #expect(try client.receive().header.id == 6)
        #expect(try client.receive().header.id == 7)
        let irqs = IRQSet(
            flags: [.dataEventFD, .actionTrigger], index: PCIInterrupt.msix.rawValue, start: 0, count: 1)
        try client.send(
            RawClient.message(.deviceSetIRQs, RawClient.bytes(irqs), id: 8), descriptors: [event.number])
        #expect(try client.receive().errno == nil)
        let unmap = UserDMAUnmap(address: 0x40000, size: 0x1000)
        try client.send(RawClient.message(.dmaUnmap, RawClient.bytes(unmap), id: 9))
        #expect(try client.receive().errno == nil)
        try client.send(RawClient.message(.deviceGetIRQInfo, RawClient.bytes(IRQInfo(index: 2)), id: 10))
        #expect(try client.receive().header.id == 10)
        #expect(rig.device.accesses == ["write 0:272 8 1", "read 0:64 8"], "the rings are carried out later")
        // Its effect may be what a read behind it is for.
        try client.send(write(0x48, 5, id: 11, posted: true) + read(0x48, id: 12))
        memory.store(UInt64(77), at: 0x10000)
        try client.send(memory.answer(question))
        let value = try client.receive()
        #expect(value.header.id == 12 && value.value(UInt64.self, at: 16) == 5)
        #expect(
            rig.device.accesses == [
                "write 0:272 8 1", "read 0:64 8", "write 0:512 8 7", "write 0:512 8 8", "write 0:72 8 5",
                "read 0:72 8",
            ])
        #expect(try client.read64(.bar0, Trigger.data) == 77)
        try client.write32(.bar0, Trigger.vector, 0)
        let isSignalled = event.isSignalled
        #expect(isSignalled)
        #expect(rig.device.faults.isEmpty)
    }

    @Test("wait where the model doesn't answer reads then, and what was answered isn't answered twice")
    func waiting() throws {
        let (rig, client, memory) = try rig(answersReads: false)
        let question = try begin(client)
        try client.send(
            write(Self.doorbell, 7, id: 4) + map(0x40000, id: 5) + read(0x40, id: 6) + map(0x50000, id: 7))
        #expect(try client.receive().header.id == 4)
        #expect(try client.receive().header.id == 5)
        try client.send(memory.answer(question))
        #expect(try client.receive().header.id == 6)
        #expect(try client.receive().header.id == 7)
        #expect(try client.map(0x40000, 0x1000) == .exists)
        #expect(rig.device.accesses.suffix(2) == ["write 0:512 8 7", "read 0:64 8"])
    }

    @Test("are refused as ever, and descriptors that come with them are closed")
    func refused() throws {
        let (rig, client, memory) = try rig()
        let question = try begin(client)
        let canary = try Canary()
        try client.send(map(0x60000, id: 4), descriptors: [canary.number])
        #expect(try client.receive().errno == .invalid)
        try client.send(map(0x10000, id: 5))
        #expect(try client.receive().errno == .exists)
        try client.send(memory.answer(question))
        #expect(try client.read64(.bar0, 0x40) == 0)
        rig.finish()
        #expect(canary.isClosedEverywhere())
    }
}
