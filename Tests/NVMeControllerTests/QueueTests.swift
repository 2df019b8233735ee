import DeviceModel
import NVMe
import NVMeController
import Testing

@Suite("The rings of the NVMe controller")
struct QueueTests {
    @Test("Queues wrap around, and the phase tag with them")
    func wrap() throws {
        let rig = try Rig()
        let queue = rig.makeQueue(1, entries: 4)
        for _ in 0..<50 {
            #expect(rig.run(.flush(namespaceID: 1), on: queue)?.status == .success)
        }
    }

    @Test("A full completion queue holds the commands back, and nothing is lost or overwritten")
    func fullCompletionQueue() throws {
        let rig = try Rig()
        let queue = rig.makeQueue(1, entries: 16, completionEntries: 4)
        let ids = (0..<10).map { _ in rig.place(.flush(namespaceID: 1), on: queue) }
        rig.ring(queue)
        var seen: [UInt16] = []
        // One entry of a queue always stays free: three completions at a time.
        for expected in [3, 3, 3, 1, 0] {
            let list = rig.reap(queue)
            #expect(list.count == expected)
            seen += list.map(\.commandID)
        }
        #expect(seen == ids)
    }

    @Test("A submission queue whose commands wait for room can be deleted")
    func deletion() throws {
        let rig = try Rig()
        let queue = rig.makeQueue(1, entries: 16, completionEntries: 4)
        for _ in 0..<5 { rig.place(.flush(namespaceID: 1), on: queue) }
        rig.ring(queue)
        #expect(rig.reap(queue, ringing: false).count == 3)
        #expect(rig.admin(.deleteSubmissionQueue(1))?.status == .success)
        #expect(rig.reap(queue, ringing: false).isEmpty)
        #expect(rig.admin(.deleteCompletionQueue(1))?.status == .success)
        // The identifier is free again, and what waited is forgotten.
        let again = rig.makeQueue(1, entries: 16)
        #expect(rig.run(.flush(namespaceID: 1), on: again)?.status == .success)
    }

    @Test("What waits in a submission queue that is deleted is told as aborted where there is room")
    func deletionWithRoom() throws {
        let rig = try Rig()
        let (doorbells, _) = shadows(rig)
        let queue = rig.makeQueue(1, entries: 16, completionEntries: 4)
        let ids = (0..<5).map { _ in rig.place(.flush(namespaceID: 1), on: queue) }
        rig.slot.store(queue.tail, at: doorbells + 8)
        rig.ring(queue)
        #expect(rig.reap(queue, ringing: false).map(\.commandID) == [UInt16](ids[0..<3]))
        // The driver has taken all three, as its shadow says, but hasn't rung.
        rig.slot.store(queue.head, at: doorbells + 12)
        #expect(rig.admin(.deleteSubmissionQueue(1))?.status == .success)
        let aborted = rig.reap(queue, ringing: false)
        #expect(aborted.map(\.commandID) == [UInt16](ids[3..<5]))
        #expect(aborted.allSatisfy { $0.status == .abortedQueueDeletion && !$0.status.doNotRetry })
    }

    @Test("Doorbells with wild values change nothing and are told as events")
    func wildDoorbells() throws {
        let rig = try Rig()
        let queue = rig.makeQueue(1, entries: 8)
        let before = ErrorLogEntry(rig.page(.getLogPage(.error, byteCount: 64), count: 64))?.errorCount
        let bell = Doorbell(stride: 0)
        rig.write(bell.submissionTail(of: 1), 8)
        rig.write(bell.submissionTail(of: 1), .max)
        rig.write(bell.completionHead(of: 1), 8)
        rig.write(bell.completionHead(of: 1), 1)  // nothing has been completed
        rig.write(bell.submissionTail(of: 2), 0)
        rig.write(bell.completionHead(of: 300), 0)
        for offset in stride(from: 0x1000 as UInt64, to: 0x2000, by: 4) where offset >= 0x1010 {
            rig.write(offset, 0xffff)
        }
        rig.controller.storeBAR(0, offset: 0x1008, width: 8, value: .max)
        rig.controller.storeBAR(0, offset: 0x1008, width: 2, value: 1)
        #expect(rig.reap(queue).isEmpty && rig.status.rawValue == 1)
        #expect(rig.run(.flush(namespaceID: 1), on: queue)?.status == .success)
        let after = ErrorLogEntry(rig.page(.getLogPage(.error, byteCount: 64), count: 64))?.errorCount
        #expect((after ?? 0) > (before ?? 0))
        rig.place(.asynchronousEventRequest(), on: rig.adminQueue)
        rig.ring(rig.adminQueue)
        #expect(
            rig.reap(rig.adminQueue).map(\.result) == [AsynchronousEvent.invalidDoorbellValue.rawValue])
    }

    @Test("Each queue interrupts with its own vector, and a masked one when it is unmasked")
    func vectors() throws {
        let rig = try Rig()
        let first = rig.makeQueue(1, vector: 3)
        let second = rig.makeQueue(2, vector: 7)
        rig.slot.messages = []
        for _ in 0..<5 { rig.place(.flush(namespaceID: 1), on: first) }
        rig.ring(first)
        rig.place(.flush(namespaceID: 1), on: second)
        rig.ring(second)
        #expect(rig.slot.messages == [3, 7])
        rig.controller.function.msix?.setMask(3, true)
        rig.place(.flush(namespaceID: 1), on: first)
        rig.ring(first)
        #expect(rig.slot.messages == [3, 7])
        #expect(rig.controller.loadBAR(0, offset: 0x3000, width: 8) == 8)
        rig.controller.storeBAR(0, offset: 0x2000 + 3 * 16 + 12, width: 4, value: 0)
        #expect(rig.slot.messages == [3, 7, 3])
    }

    @Test("A queue that can't be reached any more is fatal, not a trap")
    func lostQueue() throws {
        let rig = try Rig()
        let queue = rig.makeQueue(1)
        rig.slot.holes.insert(queue.completion)
        rig.place(.flush(namespaceID: 1), on: queue)
        rig.ring(queue)
        #expect(rig.status.isFatal)
        rig.place(.keepAlive(), on: rig.adminQueue)
        rig.ring(rig.adminQueue)
        #expect(rig.reap(rig.adminQueue).isEmpty)
    }

    // MARK: doorbell buffers

    private func shadows(_ rig: Rig) -> (doorbells: UInt64, indexes: UInt64) {
        let pages = rig.slot.allocate(2)
        let status = rig.admin(.doorbellBufferConfig(shadow: pages, eventIndexes: pages + 4096))?.status
        #expect(status == .success)
        return (pages, pages + 4096)
    }

    @Test("With doorbell buffers the value in memory counts, and one ring is enough for what came since")
    func shadowDoorbells() throws {
        let rig = try Rig()
        let (doorbells, indexes) = shadows(rig)
        let queue = rig.makeQueue(1, entries: 8)
        for _ in 0..<3 { rig.place(.flush(namespaceID: 1), on: queue) }
        rig.slot.store(queue.tail, at: doorbells + 8)
        // The register's value may be old: only that it was written counts.
        rig.write(Doorbell(stride: 0).submissionTail(of: 1), 1)
        #expect(rig.reap(queue, ringing: false).count == 3)
        #expect(rig.slot.load(UInt32.self, at: indexes + 8) == 3)
        // A full completion queue asks to be rung for the next head.
        rig.slot.store(queue.head, at: doorbells + 12)
        for _ in 0..<7 { rig.place(.flush(namespaceID: 1), on: queue) }
        rig.slot.store(queue.tail, at: doorbells + 8)
        rig.write(Doorbell(stride: 0).submissionTail(of: 1), queue.tail)
        #expect(rig.reap(queue, ringing: false).count == 7)
        #expect(rig.slot.load(UInt32.self, at: indexes + 8) == queue.tail)
        rig.place(.flush(namespaceID: 1), on: queue)
        rig.slot.store(queue.tail, at: doorbells + 8)
        rig.write(Doorbell(stride: 0).submissionTail(of: 1), queue.tail)
        #expect(rig.reap(queue, ringing: false).isEmpty)
        #expect(rig.slot.load(UInt32.self, at: indexes + 12) == 3)
        rig.slot.store(queue.head, at: doorbells + 12)
        rig.write(Doorbell(stride: 0).completionHead(of: 1), queue.head)
        #expect(rig.reap(queue, ringing: false).count == 1)
    }

    @Test("The admin queue is always rung, and queues left behind are found with the next doorbell")
    func shadowCatchUp() throws {
        let rig = try Rig()
        let (doorbells, _) = shadows(rig)
        let queue = rig.makeQueue(1, entries: 8)
        rig.slot.store(0 as UInt32, at: doorbells + 8)
        rig.write(Doorbell(stride: 0).submissionTail(of: 1), 0)
        rig.place(.flush(namespaceID: 1), on: queue)
        rig.slot.store(queue.tail, at: doorbells + 8)
        #expect(rig.page(.identify(.controller)).count == 4096)
        #expect(rig.reap(queue, ringing: false).count == 1)
    }

    @Test("Doorbell buffers that can't be are refused, and wild values in them are told as events")
    func wrongShadows() throws {
        let rig = try Rig()
        let pages = rig.slot.allocate(2)
        func configure(_ shadow: UInt64, _ indexes: UInt64) -> Status? {
            rig.admin(.doorbellBufferConfig(shadow: shadow, eventIndexes: indexes))?.status
        }
        #expect(configure(pages + 4, pages + 4096) == .invalidField)
        #expect(configure(pages, pages + 4100) == .invalidField)
        #expect(configure(0, pages) == .dataTransferError)
        #expect(configure(pages, 0xffff_ffff_ffff_f000) == .dataTransferError)
        #expect(configure(pages, pages + 4096) == .success)
        let queue = rig.makeQueue(1, entries: 8)
        rig.place(.asynchronousEventRequest(), on: rig.adminQueue)
        rig.ring(rig.adminQueue)
        rig.slot.store(0xffff_fff0 as UInt32, at: pages + 8)
        rig.write(Doorbell(stride: 0).submissionTail(of: 1), 1)
        #expect(rig.reap(rig.adminQueue).map(\.result) == [AsynchronousEvent.invalidDoorbellValue.rawValue])
        rig.slot.store(0 as UInt32, at: pages + 8)
        rig.slot.holes.insert(pages)
        rig.write(Doorbell(stride: 0).submissionTail(of: 1), 1)
        #expect(rig.status.isFatal)
        #expect(queue.tail == 0)
    }
}
