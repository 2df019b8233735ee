import LinuxSystem
import NVMe
import NVMeController
import Testing
import VFIOABI
import VFIOUser

@Suite("A disk whose driver's memory takes messages")
struct RemoteDiskTests {
    /// A driver's queue in a client's memory.
    private struct Queue {
        let id: UInt16
        let submission: UInt64
        let completion: UInt64
        var tail: UInt32 = 0
        var phase = true
    }

    private static let entries: UInt32 = 8

    private let disk: Served
    private let memory = RemoteMemory(at: 0x10_0000, byteCount: 0x4_0000)

    init() throws {
        let store = try MemoryStore(byteCount: 1 << 20)
        disk = try Served(NVMeController([try NVMeNamespace(store)]))
        disk.client.memory = memory
        try disk.client.negotiate()
        try disk.client.enable()
        #expect(try disk.client.map(memory.start, UInt64(memory.bytes.count)) == nil)
    }

    private func bytes(_ entry: SubmissionEntry) -> [UInt8] { withUnsafeBytes(of: entry) { Array($0) } }

    /// Submits one command and polls for its completion, as a driver does: the answer to the doorbell comes before
    /// the command has been carried out.
    private func run(_ entry: SubmissionEntry, on queue: inout Queue) throws -> Status {
        let place = queue.submission + UInt64(queue.tail) * 64
        memory.bytes.replaceSubrange(
            Int(place - memory.start)..<Int(place - memory.start) + 64, with: bytes(entry))
        let completion = queue.completion + UInt64(queue.tail) * 16
        queue.tail = (queue.tail + 1) % Self.entries
        let doorbells = Doorbell(stride: 0)
        try disk.client.write32(.bar0, doorbells.submissionTail(of: queue.id), queue.tail)
        var word: UInt16 = 0
        repeat {
            // Registers may be read meanwhile.
            #expect(try disk.client.read32(.bar0, RegisterOffset.status) & 3 == 1)
            word = try #require(memory.load(UInt16.self, at: completion + 14))
        } while (word & 1 != 0) != queue.phase
        if queue.tail == 0 { queue.phase.toggle() }
        try disk.client.write32(.bar0, doorbells.completionHead(of: queue.id), queue.tail)
        return Status(rawValue: word >> 1)
    }

    private func bringUp() throws -> Queue {
        let client = disk.client
        let queue = Queue(id: 0, submission: memory.start, completion: memory.start + 0x1000)
        try client.write32(
            .bar0, RegisterOffset.adminQueueAttributes,
            AdminQueueAttributes(submissionEntries: 8, completionEntries: 8).rawValue)
        try client.write64(.bar0, RegisterOffset.adminSubmissionQueue, queue.submission)
        try client.write64(.bar0, RegisterOffset.adminCompletionQueue, queue.completion)
        try client.write32(.bar0, RegisterOffset.configuration, 0x0046_0001)
        return queue
    }

    @Test("is identified, written and read, across pages and PRP lists")
    func inputOutput() throws {
        var admin = try bringUp()
        var identify = SubmissionEntry.identify(.controller)
        identify.prp1 = memory.start + 0x2000
        #expect(try run(identify, on: &admin).isSuccess)
        #expect(memory.load(UInt16.self, at: memory.start + 0x2000) != 0, "a vendor")

        var queue = Queue(id: 1, submission: memory.start + 0x3000, completion: memory.start + 0x4000)
        #expect(
            try run(
                .createCompletionQueue(1, entries: 8, address: queue.completion, vector: nil), on: &admin
            ).isSuccess)
        #expect(
            try run(
                .createSubmissionQueue(1, entries: 8, address: queue.submission, completionQueueID: 1),
                on: &admin
            ).isSuccess)
        // 128 KiB: a list of 31 pages behind the first.
        let data = 0x10000
        for index in 0..<0x20000 { memory.bytes[data + index] = UInt8(truncatingIfNeeded: index &* 31 >> 3) }
        let written = Array(memory.bytes[data..<data + 0x20000])
        for page in 1..<32 {
            memory.store(
                memory.start + UInt64(data + page * 4096), at: memory.start + 0x5000 + UInt64(page - 1) * 8)
        }
        func transfer(_ entry: SubmissionEntry) throws -> Status {
            var entry = entry
            entry.prp1 = memory.start + UInt64(data)
            entry.prp2 = memory.start + 0x5000
            return try run(entry, on: &queue)
        }
        #expect(try transfer(.write(namespaceID: 1, startingBlock: 16, blocks: 256)).isSuccess)
        for index in 0..<0x20000 { memory.bytes[data + index] = 0 }
        #expect(try transfer(.read(namespaceID: 1, startingBlock: 16, blocks: 256)).isSuccess)
        #expect(Array(memory.bytes[data..<data + 0x20000]) == written)
        // More commands than the queue has places.
        for _ in 0..<20 { #expect(try run(.flush(namespaceID: 1), on: &queue).isSuccess) }
        // A place that the client doesn't give fails the command and nothing else.
        var bad = SubmissionEntry.read(namespaceID: 1, startingBlock: 0, blocks: 1)
        bad.prp1 = 0x7000_0000
        #expect(try run(bad, on: &queue) == .dataTransferError)
        #expect(try run(.flush(namespaceID: 1), on: &queue).isSuccess)
    }
}
