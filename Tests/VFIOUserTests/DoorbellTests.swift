import DeviceModel
import LinuxSystem
import NVMeController
import Testing
import VFIOABI
import VFIOUser

@Suite("Doorbells that are rung by eventfds")
struct DoorbellTests {
    private let bells = [
        DoorbellRegister(bar: 0, offset: 0x40, width: 4, value: .only(7)),
        DoorbellRegister(bar: 0, offset: 0x48, width: 8, value: .latest),
        DoorbellRegister(bar: 1, offset: 4, width: 2, value: .any),
        DoorbellRegister(bar: 0, offset: 0x44, width: 2, value: .latest),
    ]

    /// What a region has, as a client is told.
    private struct Answer {
        var head = UserRegionIOFDs()
        var entries: [UserRegionIOFD] = []
        var events: [EventDescriptor.Box] = []
        var page: Mapping.Box?
    }

    private func ask(_ client: RawClient, _ region: UInt32, argsz: Int = 4096) throws -> Answer {
        let reply = try client.request(
            .deviceGetRegionIOFDs, UserRegionIOFDs(argsz: UInt32(argsz), index: region))
        if let errno = reply.errno { throw errno }
        var answer = Answer()
        answer.head = try #require(reply.value(UserRegionIOFDs.self))
        var at = UserRegionIOFDs.byteCount
        while let entry = reply.value(UserRegionIOFD.self, at: at) {
            answer.entries.append(entry)
            at += UserRegionIOFD.byteCount
        }
        #expect(at == reply.body.count)
        for number in reply.descriptors {
            if EventDescriptor.isEventDescriptor(number) {
                answer.events.append(EventDescriptor.Box(try EventDescriptor(duplicating: number)))
            } else {
                answer.page = Mapping.Box(try Mapping(sharing: number, at: 0, byteCount: pageSize))
                // Nobody can cut it off.
                #expect(throws: Errno.self) { try Descriptor(duplicating: number).resize(to: 0) }
            }
            _ = Descriptor(owning: number)
        }
        return answer
    }

    @Test("are told with the values that they match or leave in memory, if there is room for all")
    func description() throws {
        let rig = try Rig(try TestDevice(doorbells: bells))
        let client = rig.connected
        let short = try ask(client, 0, argsz: 16)
        #expect(short.head == UserRegionIOFDs(argsz: 16 + 3 * 48, index: 0, count: 3))
        #expect(short.entries.isEmpty && short.events.isEmpty)
        let full = try ask(client, 0)
        #expect(full.entries.map(\.offset) == [0x40, 0x48, 0x44])
        #expect(full.entries.map(\.size) == [4, 8, 2])
        #expect(full.entries.map(\.type) == [0, 2, 2])
        #expect(full.entries.map(\.flags) == [1, 0, 0])
        #expect(full.entries[0].dataMatch == 7)
        #expect(full.entries.map(\.descriptorIndex) == [0, 1, 2])
        #expect(full.entries[1].shadowDescriptorIndex == 3 && full.entries[2].shadowDescriptorIndex == 3)
        #expect(full.entries[1].shadowOffset != full.entries[2].shadowOffset)
        #expect(full.events.count == 3 && full.page != nil)
        let ports = try ask(client, 1)
        #expect(ports.entries.map(\.flags) == [2])
        #expect(ports.page == nil)
        #expect(try ask(client, 2).head.count == 0)
        #expect(throws: Errno.invalid) { _ = try ask(client, 3) }
        #expect(throws: Errno.invalid) { _ = try ask(client, 9) }
        #expect(throws: Errno.invalid) { _ = try ask(client, 0, argsz: 15) }
    }

    @Test("are as many as the client takes descriptors")
    func limited() throws {
        let rig = try Rig(try TestDevice(doorbells: bells), negotiates: false)
        let client = rig.connected
        let hello = Array(#"{"capabilities":{"max_msg_fds":2}}"#.utf8) + [0]
        #expect(try client.request(.version, UserVersion(), hello).errno == nil)
        let answer = try ask(client, 0)
        #expect(answer.entries.map(\.offset) == [0x40])
    }

    @Test("reach the device as writes, before what is asked afterwards")
    func rung() throws {
        let rig = try Rig(try TestDevice(doorbells: bells))
        let client = rig.connected
        let answer = try ask(client, 0)
        let ports = try ask(client, 1)
        let page = try #require(answer.page).mapping.window
        page.store64(Int(answer.entries[1].shadowOffset), 0x1_2345_6789)
        page.store64(Int(answer.entries[2].shadowOffset), 0xffff_8001)
        rig.device.accesses = []
        for event in answer.events { event.event.signal() }
        ports.events[0].event.signal(3)
        _ = try client.read32(.bar0, 0)
        #expect(
            Set(rig.device.accesses) == [
                "write 0:64 4 7", "write 0:72 8 \(0x1_2345_6789)", "write 0:68 2 \(0x8001)", "write 1:4 2 0",
                "read 0:0 4",
            ])
        #expect(rig.device.accesses.last == "read 0:0 4")
        // Without a request, too.
        rig.device.accesses = []
        page.store64(Int(answer.entries[1].shadowOffset), 5)
        answer.events[1].event.signal()
        while rig.device.accesses.isEmpty { Clock.sleep(nanoseconds: 100_000) }
        #expect(rig.device.accesses == ["write 0:72 8 5"])
        // Asked for again, they are the same.
        _ = try ask(client, 0)
        answer.events[0].event.signal()
        _ = try client.read32(.bar0, 0)
        #expect(rig.device.accesses.contains("write 0:64 4 7"))
    }

    @Test("may need memory that takes messages")
    func memory() throws {
        let bell = DoorbellRegister(bar: 0, offset: TestDevice.Trigger.load, width: 8, value: .any)
        let rig = try Rig(try TestDevice(doorbells: [bell]))
        let client = rig.connected
        let memory = RemoteMemory(at: 0x1000, byteCount: 0x1000)
        memory.store(UInt64(31), at: 0x1000)
        client.memory = memory
        try client.enable()
        #expect(try client.map(0x1000, 0x1000) == nil)
        try client.write64(.bar0, TestDevice.Trigger.address, 0x1000)
        let answer = try ask(client, 0)
        answer.events[0].event.signal()
        try client.serve()
        #expect(try client.read64(.bar0, TestDevice.Trigger.data) == 31)
        // Behind which a command waits.
        memory.store(UInt64(32), at: 0x1000)
        answer.events[0].event.signal()
        #expect(try client.read64(.bar0, TestDevice.Trigger.data) == 32)
        #expect(rig.device.faults.isEmpty)
    }

    @Test("are another client's no more, however long the first one keeps them")
    func outlived() throws {
        let path = "/tmp/vfio-user-bells-\(Clock.now).sock"
        let device = try TestDevice(doorbells: bells)
        let server = try Server(device, at: path)
        let thread = try WorkerThread { try? server.run() }
        let first = try RawClient.connect(path)
        try first.negotiate()
        let answer = try ask(first, 0)
        first.hangUp()
        let second = try RawClient.connect(path)
        try second.negotiate()
        device.accesses = []
        for event in answer.events { event.event.signal() }
        _ = try second.read32(.bar0, 0)
        #expect(device.accesses == ["read 0:0 4"])
        server.stop()
        _ = consume thread
    }

    @Test("are a disk's for the queues that there are descriptors for")
    func disk() throws {
        let disk = try Served(NVMeController([try NVMeNamespace(try MemoryStore(byteCount: 1 << 20))]))
        try disk.client.negotiate()
        let answer = try ask(disk.client, 0)
        #expect(answer.entries.prefix(4).map(\.offset) == [0x1000, 0x1004, 0x1008, 0x100c])
        #expect(answer.entries.allSatisfy { $0.size == 4 && $0.type == 2 })
        #expect(answer.events.count + 1 <= 16)
    }
}

extension EventDescriptor {
    /// One that can be kept in an array.
    fileprivate final class Box {
        let event: EventDescriptor
        init(_ event: consuming EventDescriptor) { self.event = event }
    }
}

extension Mapping {
    fileprivate final class Box {
        let mapping: Mapping
        init(_ mapping: consuming Mapping) { self.mapping = mapping }
    }
}
