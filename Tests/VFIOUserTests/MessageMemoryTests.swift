import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareDevices
import Testing
import VFIOABI
import VFIOUser

@Suite("Memory that takes messages")
struct MessageMemoryTests {
    private typealias Trigger = TestDevice.Trigger

    /// A server and a client with 64 KiB of memory at 0x10000 that it gives by messages.
    private func rig(
        _ limits: Limits = Limits(), answersReads: Bool = false, hello: String = #"{"capabilities":{}}"#
    ) throws -> (rig: Rig, client: RawClient, memory: RemoteMemory) {
        let rig = try Rig(
            try TestDevice(answersReadsDuringDMA: answersReads), limits: limits, negotiates: false)
        let client = rig.connected
        let memory = RemoteMemory(at: 0x10000, byteCount: 0x10000)
        client.memory = memory
        #expect(
            try client.request(.version, UserVersion(), Array(hello.utf8) + [0]).errno == nil)
        try client.enable()
        #expect(try client.map(0x10000, 0x10000) == nil)
        return (rig, client, memory)
    }

    private func write(_ offset: UInt64, _ value: UInt64, id: UInt16 = 1, flags: UserMessageFlags = [])
        -> [UInt8]
    {
        RawClient.message(
            .regionWrite,
            RawClient.bytes(UserRegionAccess(offset: offset, region: 0, count: 8)) + RawClient.bytes(value),
            id: id, flags: flags)
    }

    private func read(_ offset: UInt64, id: UInt16) -> [UInt8] {
        RawClient.message(
            .regionRead, RawClient.bytes(UserRegionAccess(offset: offset, region: 0, count: 8)), id: id)
    }

    @Test("is read and written by the device")
    func transfers() throws {
        let (rig, client, memory) = try rig()
        memory.store(UInt64(0x1122_3344_5566_7788), at: 0x10018)
        try client.write64(.bar0, Trigger.address, 0x10018)
        try client.write64(.bar0, Trigger.load, 1)
        #expect(try client.read64(.bar0, Trigger.data) == 0x1122_3344_5566_7788)
        try client.write64(.bar0, Trigger.store, 99)
        #expect(try client.read64(.bar0, Trigger.data) == 0x1122_3344_5566_7788)
        #expect(memory.load(UInt64.self, at: 0x10018) == 99)
        #expect(memory.accesses == ["read 10018 8", "write 10018 8"])
        #expect(rig.device.faults.isEmpty)
    }

    @Test("is asked for behind the answer to the register write that needs it")
    func replyFirst() throws {
        let (rig, client, memory) = try rig()
        try client.write64(.bar0, Trigger.address, 0x10000)
        try client.send(write(Trigger.load, 1, id: 7))
        let reply = try client.receive()
        #expect(reply.header.isReply && reply.header.id == 7)
        let question = try client.receive()
        #expect(question.header.isCommand && question.header.command == .dmaRead)
        memory.store(UInt64(5), at: 0x10000)
        try client.send(memory.answer(question))
        #expect(try client.read64(.bar0, Trigger.data) == 5)
        // A write that needs none is answered when it has been carried out, and so is one of other memory.
        try client.write64(.bar0, 0x40, 3)
        #expect(try client.read64(.bar0, 0x40) == 3)
        // Several writes are one message and have one answer.
        let record = UserRegionWrite(
            access: UserRegionAccess(offset: Trigger.load, region: 0, count: 8), data: 1)
        try client.send(
            RawClient.message(
                .regionWriteMulti,
                RawClient.bytes(UserRegionWriteMulti(writeCount: 2)) + RawClient.bytes(record)
                    + RawClient.bytes(record), id: 8))
        #expect(try client.receive().header.id == 8)
        try client.serve()
        try client.serve()
        #expect(try client.read64(.bar0, Trigger.data) == 5)
        #expect(memory.accesses.count == 3)
        #expect(rig.device.faults.isEmpty)
    }

    @Test("is asked for in a posted write, which has no answer")
    func posted() throws {
        let (rig, client, memory) = try rig()
        memory.store(UInt64(6), at: 0x10000)
        try client.write64(.bar0, Trigger.address, 0x10000)
        try client.send(write(Trigger.load, 1, flags: .noReply))
        try client.serve()
        #expect(try client.read64(.bar0, Trigger.data) == 6)
        #expect(rig.device.faults.isEmpty)
    }

    @Test("can't be had in a register read: the client waits for that")
    func refusedInRead() throws {
        let (rig, client, memory) = try rig()
        try client.write64(.bar0, Trigger.address, 0x10000)
        _ = try client.read64(.bar0, Trigger.loadNow)
        #expect(rig.device.faults.last?.reason == .remote(.clientWaits))
        #expect(memory.accesses.isEmpty)
    }

    @Test("comes in messages no longer than the client takes, and shared memory beside it without any")
    func chunks() throws {
        let (rig, client, memory) = try rig(hello: #"{"capabilities":{"max_data_xfer_size":1000}}"#)
        let file = try MemoryFile.create("guest", byteCount: 0x10000)
        let shared = try Mapping(sharing: file.number, at: 0, byteCount: 0x10000)
        #expect(try client.map(0x20000, 0x10000, file: file.number) == nil)
        for index in 0..<0x8000 { memory.bytes[0x8000 + index] = UInt8(truncatingIfNeeded: index * 7) }
        // Reads the last 2500 bytes of the one, writes 2500 to the beginning of the other.
        try client.write64(.bar0, Trigger.address, 0x20000 - 2500)
        try client.write64(.bar0, Trigger.copy, 2500)
        _ = try client.read64(.bar0, 0x40)
        #expect(memory.accesses == ["read 1f63c 1000", "read 1fa24 1000", "read 1fe0c 500"])
        for index in 0..<2500 {
            #expect(shared.window.load8(index) == UInt8(truncatingIfNeeded: (0x8000 - 2500 + index) * 7))
        }
        // From one into the other and back: 3000 bytes around the border.
        shared.window.store8(5, 0xee)
        try client.write64(.bar0, Trigger.address, 0x20000 - 1500)
        try client.write64(.bar0, Trigger.copy, 3000)
        _ = try client.read64(.bar0, 0x40)
        #expect(shared.window.load8(1500 + 1505) == 0xee)
        #expect(rig.device.faults.isEmpty)
    }

    @Test("is protected as the client said, and asked for only where all of it is mapped")
    func permissions() throws {
        let (rig, client, memory) = try rig()
        #expect(try client.map(0x40000, 0x1000, .read) == nil)
        try client.write64(.bar0, Trigger.address, 0x40000)
        try client.write64(.bar0, Trigger.store, 1)
        _ = try client.read64(.bar0, 0x40)
        #expect(
            rig.device.faults.last == DMAFault(iova: IOVA(0x40000), access: .write, reason: .notPermitted))
        try client.write64(.bar0, Trigger.address, 0x20000 - 4)
        try client.write64(.bar0, Trigger.load, 1)
        _ = try client.read64(.bar0, 0x40)
        #expect(rig.device.faults.last == DMAFault(iova: IOVA(0x20000), access: .read, reason: .notMapped))
        #expect(memory.accesses.isEmpty)
        #expect(try client.unmap(0x10000, 0x10000) == nil)
        try client.write64(.bar0, Trigger.address, 0x10000)
        try client.write64(.bar0, Trigger.load, 1)
        _ = try client.read64(.bar0, 0x40)
        #expect(rig.device.faults.last?.reason == .notMapped)
    }

    @Test(
        "that the client refuses, or answers about in ways that make no sense, is a fault; it goes on after that"
    )
    func badAnswers() throws {
        let (rig, client, memory) = try rig()
        try client.write64(.bar0, Trigger.address, 0x10000)
        func reason(_ trigger: UInt64, _ change: @escaping ([UInt8]) -> [UInt8]) throws -> DMAFault.Reason? {
            memory.change = change
            let before = rig.device.faults.count
            try client.write64(.bar0, trigger, 1)
            _ = try client.read64(.bar0, 0x40)
            memory.change = { $0 }
            return rig.device.faults.count > before ? rig.device.faults.last?.reason : nil
        }
        func resized(_ bytes: [UInt8]) -> [UInt8] {
            var bytes = bytes
            bytes.replaceSubrange(4..<8, with: RawClient.bytes(UInt32(bytes.count)))
            return bytes
        }
        for trigger in [Trigger.load, Trigger.store] {
            #expect(try reason(trigger) { $0 } == nil)
            #expect(try reason(trigger) { resized($0.dropLast()) } == .remote(.malformed))
            #expect(try reason(trigger) { resized($0 + [0]) } == .remote(.malformed))
            #expect(try reason(trigger) { resized(Array($0[..<16])) } == .remote(.malformed))
            #expect(
                try reason(trigger) { resized($0 + [UInt8](repeating: 0, count: 2 << 20)) }
                    == .remote(.malformed))
            #expect(
                try reason(trigger) {
                    var b = $0; b[16] ^= 1; return b
                } == .remote(.malformed), "address")
            #expect(
                try reason(trigger) {
                    var b = $0; b[24] ^= 1; return b
                } == .remote(.malformed), "count")
            #expect(
                try reason(trigger) {
                    var b = $0; b[2] ^= 7; return b
                } == .remote(.malformed), "command")
            memory.refusal = .noDevice
            #expect(try reason(trigger) { $0 } == .remote(.refused(.noDevice)))
            #expect(
                try reason(trigger) {
                    var b = $0; b.replaceSubrange(12..<16, with: [0, 0, 0, 0]); return b
                }
                    == .remote(.refused(.invalid)), "an error that is none")
            // With a body, which is thrown away.
            #expect(try reason(trigger) { resized($0 + [1, 2, 3]) } == .remote(.refused(.noDevice)))
            memory.refusal = nil
            // Once for somebody else, then right.
            #expect(
                try reason(trigger) {
                    var b = $0; b[0] ^= 0x55; return b + $0
                } == nil)
        }
        memory.store(UInt64(77), at: 0x10000)
        #expect(try reason(Trigger.load) { $0 } == nil)
        #expect(try client.read64(.bar0, Trigger.data) == 77)
    }

    @Test("ends the connection where the client doesn't answer, and the next one is served")
    func unanswered() throws {
        let path = "/tmp/vfio-user-unanswered-\(Clock.now).sock"
        let device = try TestDevice()
        let server = try Server(
            device, at: path, limits: Limits(patience: Patience(answerMilliseconds: 200)))
        let ends = Ends()
        let thread = try WorkerThread {
            try? server.run {
                ends.note($0)
                return true
            }
        }
        let client = try RawClient.connect(path)
        try client.negotiate()
        try client.enable()
        #expect(try client.map(0x10000, 0x10000) == nil)
        try client.write64(.bar0, Trigger.address, 0x10000)
        try client.write64(.bar0, Trigger.load, 1)
        _ = try client.receive()
        #expect(client.isClosed())
        let next = try RawClient.connect(path)
        try next.negotiate()
        #expect(try next.read(.config, 0, 2) == [0x34, 0x12])
        server.stop()
        _ = consume thread
        #expect(ends.all.first == .unanswered)
        #expect(device.faults.map(\.reason) == [.remote(.timedOut)])
    }

    /// How connections ended.
    private final class Ends: @unchecked Sendable {
        // SAFETY: guarded by the lock.
        private let lock = Lock()
        private var ends: [ConnectionEnd] = []
        func note(_ end: ConnectionEnd) { lock.withLock { ends.append(end) } }
        var all: [ConnectionEnd] { lock.withLock { ends } }
    }

    @Test("fails soon where the client waits for something else first, and the connection goes on")
    func stalled() throws {
        let (rig, client, memory) = try rig(Limits(patience: Patience(stalledMilliseconds: 50)))
        try client.write64(.bar0, Trigger.address, 0x10000)
        // As QEMU: while a register read isn't answered, nothing is carried out.
        try client.send(write(Trigger.copy, 8, id: 3) + read(0x40, id: 4))
        #expect(try client.receive().header.id == 3)
        let question = try client.receive()
        #expect(question.header.command == .dmaRead)
        #expect(try client.receive().header.id == 4)
        #expect(rig.device.faults.map(\.reason) == [.remote(.timedOut)])
        // An answer that comes late is nobody's.
        try client.send(memory.answer(question))
        memory.store(UInt64(12), at: 0x10000)
        try client.write64(.bar0, Trigger.load, 1)
        #expect(try client.read64(.bar0, Trigger.data) == 12)
    }

    @Test("doesn't keep the client from reading configuration space, and registers where the device says so")
    func readsMeanwhile() throws {
        let (rig, client, memory) = try rig(answersReads: true)
        memory.store(UInt64(9), at: 0x10000)
        try client.write64(.bar0, 0x40, 4)
        try client.write64(.bar0, Trigger.address, 0x10000)
        let configuration = RawClient.message(
            .regionRead,
            RawClient.bytes(UserRegionAccess(offset: 0, region: PCIRegion.config.rawValue, count: 2)), id: 5)
        try client.send(
            write(Trigger.load, 1, id: 3) + read(0x40, id: 4) + configuration + read(Trigger.loadNow, id: 6)
                + read(Trigger.data, id: 7))
        #expect(try client.receive().header.id == 3)
        let question = try client.receive()
        #expect(question.header.command == .dmaRead)
        let value = try client.receive()
        #expect(value.header.id == 4 && value.value(UInt64.self, at: 16) == 4)
        #expect(try client.receive().body.suffix(2) == [0x34, 0x12])
        #expect(try client.receive().header.id == 6)
        #expect(try client.receive().header.id == 7)
        #expect(rig.device.faults.map(\.reason) == [.remote(.clientWaits)])
        try client.send(memory.answer(question))
        #expect(try client.read64(.bar0, Trigger.data) == 9)
    }

    @Test("leaves commands that come meanwhile in order, with their descriptors")
    func commandsMeanwhile() throws {
        let (rig, client, memory) = try rig(Limits(patience: Patience(stalledMilliseconds: 5000)))
        let canary = try Canary()
        let file = try MemoryFile.create("guest", byteCount: 4096)
        let mapping = try Mapping(sharing: file.number, at: 0, byteCount: 4096)
        try client.write64(.bar0, Trigger.address, 0x10000)
        try client.send(write(Trigger.load, 1, id: 3))
        #expect(try client.receive().header.id == 3)
        let question = try client.receive()
        func map(_ address: UInt64, _ id: UInt16) -> [UInt8] {
            RawClient.message(
                .dmaMap, RawClient.bytes(UserDMAMap(flags: [.read, .write], address: address, size: 4096)),
                id: id)
        }
        try client.send(map(0x40000, 4), descriptors: [file.number])
        try client.send(map(0x50000, 5), descriptors: [canary.number])
        // In pieces, and one that is too long.
        let long = RawClient.message(.regionWrite, [UInt8](repeating: 0, count: 2 << 20), id: 6)
        try client.send(Array(long[..<20]))
        try client.send(Array(long[20...]))
        try client.send(write(Trigger.address, 0x40000, id: 7) + write(Trigger.store, 55, id: 8))
        memory.store(UInt64(1), at: 0x10000)
        try client.send(memory.answer(question) + read(Trigger.data, id: 9))
        let replies = try (4...9).map { _ in try client.receive() }
        #expect(replies.map(\.header.id) == [4, 5, 6, 7, 8, 9])
        #expect(replies.map(\.errno) == [nil, .invalid, .tooBig, nil, nil, nil])
        #expect(replies.last?.value(UInt64.self, at: 16) == 1)
        #expect(mapping.window.load64(0) == 55)
        #expect(rig.device.faults.isEmpty)
        rig.finish()
        #expect(canary.isClosedEverywhere())
    }

    @Test("ends with a client that goes, or sends more than can be put aside, while it owes an answer")
    func endings() throws {
        do {
            let (rig, client, _) = try rig()
            let canary = try Canary()
            try client.write64(.bar0, Trigger.address, 0x10000)
            try client.send(write(Trigger.load, 1, id: 3))
            _ = try client.receive()
            _ = try client.receive()
            try client.send(RawClient.message(.deviceReset), descriptors: [canary.number])
            client.memory = nil
            let end = rig.finish()
            #expect(end == .closed || end == .failed(.brokenPipe) || end == .failed(.connectionReset))
            #expect(rig.device.faults.map(\.reason) == [.remote(.gone)])
            #expect(canary.isClosedEverywhere())
        }
        do {
            let (rig, client, _) = try rig(Limits(patience: Patience(stalledMilliseconds: 60_000)))
            try client.write64(.bar0, Trigger.address, 0x10000)
            try client.send(write(Trigger.load, 1, id: 3))
            let flood = [UInt8](
                (0..<100).map { _ in write(0x40, 1, flags: .noReply) }.joined())
            #expect(throws: Errno.self) {
                for _ in 0..<2000 { try client.send(flood) }
            }
            #expect(rig.finish() == .flooded)
        }
    }

    @Test("moves through the educational device's DMA engine, whose registers a driver polls meanwhile")
    func educational() throws {
        let edu = try Served(Educational())
        let client = edu.client
        let memory = RemoteMemory(at: 0x10000, byteCount: 0x10000)
        client.memory = memory
        try client.negotiate()
        try client.enable()
        #expect(try client.map(0x10000, 0x10000) == nil)
        for index in 0..<1000 { memory.bytes[index] = UInt8(truncatingIfNeeded: index * 3) }
        func transfer(_ source: UInt64, _ destination: UInt64, _ command: UInt64) throws {
            try client.write64(.bar0, Educational.Register.source, source)
            try client.write64(.bar0, Educational.Register.destination, destination)
            try client.write64(.bar0, Educational.Register.count, 1000)
            try client.write64(.bar0, Educational.Register.command, command)
        }
        try transfer(0x10000, Educational.bufferAddress, Educational.Command.start)
        // The first of these comes while the transfer waits: it is still under way.
        try client.send(read(Educational.Register.command, id: 3))
        let question = try client.receive()
        #expect(question.header.command == .dmaRead)
        let busy = try client.receive()
        #expect(busy.header.id == 3)
        #expect(busy.value(UInt64.self, at: 16) == Educational.Command.start)
        try client.send(memory.answer(question))
        #expect(try client.read64(.bar0, Educational.Register.command) == 0)
        try transfer(
            Educational.bufferAddress, 0x12000, Educational.Command.start | Educational.Command.toMemory)
        while try client.read64(.bar0, Educational.Register.command) & 1 != 0 {}
        for index in 0..<1000 {
            #expect(memory.bytes[0x2000 + index] == UInt8(truncatingIfNeeded: index * 3))
        }
    }
}
