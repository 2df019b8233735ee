import IOVASpace
import LinuxSystem
import NVMe
import Testing

@testable import NVMeDriver

/// The other side of a queue pair, in the memory that the driver's side uses: fetches entries as its doorbell
/// says, and completes them in any order it likes.
final class FakeQueue {
    let memory: SharedMemory
    let doorbells: SharedMemory
    let shape: QueueShape
    var fetched: [SubmissionEntry] = []
    private var head = 0
    private var completionTail = 0
    private var phase = true
    /// How many completions the host hasn't given back the places of.
    private var outstanding: Int {
        let told = Int(doorbells.window.load32(4))
        return (completionTail - told + shape.entryCount) % shape.entryCount
    }

    init(_ shape: QueueShape) throws {
        self.shape = shape
        memory = try SharedMemory(byteCount: shape.byteCount, at: 0x4000_0000)
        doorbells = try SharedMemory(byteCount: 4096, at: 0)
    }

    func makeDriverSide() -> RequestQueue {
        RequestQueue(
            identifier: 1, shape: shape, memory: memory.window, iova: memory.iova,
            tailDoorbell: QueueDoorbell(memory: doorbells.window.window(at: 0, byteCount: 4)),
            headDoorbell: QueueDoorbell(memory: doorbells.window.window(at: 4, byteCount: 4)))
    }

    /// Takes what the doorbell told.
    func fetch() {
        let tail = Int(doorbells.window.load32(0))
        while head != tail {
            fetched.append(memory.window.load(SubmissionEntry.self, at: head * 64))
            head = (head + 1) % shape.entryCount
        }
    }

    /// Completes a command.
    func complete(_ commandID: UInt16, _ status: Status = .success, result: UInt32 = 0, head: UInt16? = nil) {
        precondition(outstanding < shape.entryCount - 1, "the driver let the completion queue overflow")
        var entry = CompletionEntry(
            result: result, submissionQueueHead: head ?? UInt16(self.head), submissionQueueID: 1,
            commandID: commandID, status: status)
        entry.phase = phase
        memory.window.store(entry, at: shape.completionOffset + completionTail * 16)
        completionTail += 1
        if completionTail == shape.entryCount {
            completionTail = 0
            phase.toggle()
        }
    }
}

func testShape(_ entryCount: Int, sgl: SGLSupport = .none, timeout: UInt64 = 0) -> QueueShape {
    QueueShape(
        entryCount: entryCount, maximumTransfer: 1 << 20, rules: PRPRules(pageSizeExponent: 0), sgl: sgl,
        timeout: timeout)
}

@Suite("A queue pair against a controller in memory")
struct RequestQueueTests {
    @Test("commands reach the controller with one doorbell for all of them")
    func batch() throws {
        let fake = try FakeQueue(testShape(8))
        var queue = fake.makeDriverSide()
        for block in 0..<3 {
            _ = try queue.submit(.read(namespaceID: 1, startingBlock: UInt64(block), blocks: 1), tag: 0)
            fake.fetch()
            #expect(fake.fetched.isEmpty)
        }
        queue.ring()
        fake.fetch()
        #expect(fake.fetched.map(\.startingBlock) == [0, 1, 2])
        #expect(Set(fake.fetched.map(\.commandID)).count == 3)
    }

    @Test("looking for completions tells the controller of what was submitted")
    func pollRings() throws {
        let fake = try FakeQueue(testShape(8))
        var queue = fake.makeDriverSide()
        _ = try queue.submit(.flush(namespaceID: 1), tag: 0)
        check(queue.next() == nil)
        fake.fetch()
        #expect(fake.fetched.count == 1)
    }

    @Test("completions come back with their tag, token and status, in the controller's order")
    func completions() throws {
        let fake = try FakeQueue(testShape(8))
        var queue = fake.makeDriverSide()
        let first = try queue.submit(.read(namespaceID: 7, startingBlock: 100, blocks: 4), tag: 11)
        let second = try queue.submit(.flush(namespaceID: 7), tag: 22)
        queue.ring()
        fake.fetch()
        fake.complete(fake.fetched[1].commandID, result: 99)
        fake.complete(fake.fetched[0].commandID, .lbaOutOfRange)
        let one = try must(queue.next())
        #expect(one.token == second && one.tag == 22 && one.isSuccess && one.result == 99)
        let two = try must(queue.next())
        #expect(two.token == first && two.tag == 11 && two.status == .lbaOutOfRange)
        #expect(two.namespace == 7 && two.firstBlock == 100 && two.blockCount == 4)
        check(queue.next() == nil)
        check(queue.inFlightCount == 0)
    }

    @Test("a full queue refuses the next command and takes it after a completion")
    func full() throws {
        let fake = try FakeQueue(testShape(4))
        var queue = fake.makeDriverSide()
        for _ in 0..<3 { _ = try queue.submit(.flush(namespaceID: 1), tag: 0) }
        check(queue.roomCount == 0)
        var refusal: SubmissionFailure?
        do throws(SubmissionFailure) { _ = try queue.submit(.flush(namespaceID: 1), tag: 0) } catch {
            refusal = error
        }
        #expect(refusal == .queueFull)
        queue.ring()
        fake.fetch()
        fake.complete(fake.fetched[2].commandID)
        check(queue.next() != nil)
        _ = try queue.submit(.flush(namespaceID: 1), tag: 0)
        check(queue.roomCount == 0)
    }

    @Test("many rounds through rings of any size lose, repeat and mix up nothing")
    func wrapAround() throws {
        var random = TestRandom("rings")
        for entryCount in [2, 3, 5, 8, 64, 100] {
            let fake = try FakeQueue(testShape(entryCount))
            var queue = fake.makeDriverSide()
            var waiting: [UInt16] = []
            var expected: Set<UInt64> = []
            var serial: UInt64 = 0
            var doneCount: UInt64 = 0
            while doneCount < 20 * UInt64(entryCount) + 1000 {
                for _ in 0...random.below(entryCount) where queue.roomCount > 0 {
                    _ = try queue.submit(.flush(namespaceID: 1), tag: serial)
                    expected.insert(serial)
                    serial += 1
                }
                queue.ring()
                fake.fetch()
                waiting += fake.fetched.map(\.commandID)
                fake.fetched = []
                for _ in 0...random.below(max(1, waiting.count)) where !waiting.isEmpty {
                    fake.complete(waiting.remove(at: random.below(waiting.count)))
                }
                while let done = queue.next() {
                    #expect(expected.remove(done.tag) != nil)
                    doneCount += 1
                }
            }
            check(expected.count == queue.inFlightCount && queue.strayCount == 0)
        }
    }

    @Test("answers to commands that aren't in flight are counted and otherwise ignored")
    func strays() throws {
        let fake = try FakeQueue(testShape(8))
        var queue = fake.makeDriverSide()
        _ = try queue.submit(.flush(namespaceID: 1), tag: 5)
        queue.ring()
        fake.fetch()
        let commandID = fake.fetched[0].commandID
        fake.complete(commandID ^ 0x100)
        fake.complete(0xffff)
        fake.complete(commandID, head: 60000)
        fake.complete(commandID)
        check(queue.next()?.tag == 5)
        check(queue.next() == nil)
        check(queue.strayCount == 3)
    }

    @Test("a late answer to an earlier command isn't taken for one to a later command in the same slot")
    func generations() throws {
        let fake = try FakeQueue(testShape(2))
        var queue = fake.makeDriverSide()
        _ = try queue.submit(.flush(namespaceID: 1), tag: 1)
        queue.ring()
        fake.fetch()
        fake.complete(fake.fetched[0].commandID)
        check(queue.next()?.tag == 1)
        _ = try queue.submit(.flush(namespaceID: 1), tag: 2)
        queue.ring()
        fake.fetch()
        #expect(fake.fetched[0].commandID != fake.fetched[1].commandID)
        fake.complete(fake.fetched[0].commandID)
        check(queue.next() == nil)
        fake.complete(fake.fetched[1].commandID)
        check(queue.next()?.tag == 2)
    }

    @Test("the identifier that stands for no command is never used")
    func reservedIdentifier() throws {
        let fake = try FakeQueue(testShape(3))
        var queue = fake.makeDriverSide()
        for _ in 0..<70000 {
            _ = try queue.submit(.flush(namespaceID: 1), tag: 0)
            _ = try queue.submit(.flush(namespaceID: 1), tag: 0)
            queue.ring()
            fake.fetch()
            for entry in fake.fetched {
                if entry.commandID == 0xffff { Issue.record("FFFFh was used") }
                fake.complete(entry.commandID)
            }
            fake.fetched = []
            while queue.next() != nil {}
        }
        check(queue.inFlightCount == 0)
    }

    @Test("each command in flight has a list of its own")
    func lists() throws {
        let fake = try FakeQueue(testShape(4))
        var queue = fake.makeDriverSide()
        for index in 0..<3 {
            _ = try queue.submit(
                SubmissionEntry(io: .read, namespaceID: 1),
                segment(0x10_0000 * UInt64(index + 1) + 0x200, 16 * 4096), RequestOptions())
        }
        queue.ring()
        fake.fetch()
        for (index, entry) in fake.fetched.enumerated() {
            let start = 0x10_0000 * UInt64(index + 1) + 0x200
            let pieces = followPRP(
                entry.prp1, entry.prp2, byteCount: 16 * 4096, pageSize: 4096, list: fake.memory)
            #expect(pieces.map(joined) == [start...(start + 16 * 4096 - 1)])
        }
    }

    @Test("memory that PRP can't describe goes by SGL where the controller has it, and is refused elsewhere")
    func styles() throws {
        let pieces = [segment(0x1201, 100), segment(0x5003, 412)]
        let able = try FakeQueue(testShape(4, sgl: .unaligned))
        var queue = able.makeDriverSide()
        _ = try queue.submit(SubmissionEntry(io: .read, namespaceID: 1), pieces.span, RequestOptions())
        queue.ring()
        able.fetch()
        #expect(able.fetched[0].dataPointerKind == .sgl)
        #expect(able.fetched[0].sgl.kind == .lastSegment && able.fetched[0].sgl.length == 32)
        let unable = try FakeQueue(testShape(4))
        var other = unable.makeDriverSide()
        var refusal: SubmissionFailure?
        do throws(SubmissionFailure) {
            _ = try other.submit(SubmissionEntry(io: .read, namespaceID: 1), pieces.span, RequestOptions())
        } catch {
            refusal = error
        }
        #expect(refusal == .dataPointer(.misaligned(address: 0x1201)))
        check(other.inFlightCount == 0)
    }

    @Test("a command is expired once its time is over, the oldest first")
    func expiry() throws {
        let fake = try FakeQueue(testShape(4, timeout: 1_000_000_000))
        var queue = fake.makeDriverSide()
        let before = Clock.now
        let first = try queue.submit(.flush(namespaceID: 1), tag: 1)
        _ = try queue.submit(.flush(namespaceID: 1), tag: 2)
        check(queue.expired(at: before) == nil)
        check(queue.expired(at: Clock.now + 2_000_000_000) == first)
        check(queue.commandID(of: first) != nil)
    }

    @Test("cancelling ends every command in flight once")
    func cancel() throws {
        let fake = try FakeQueue(testShape(4))
        var queue = fake.makeDriverSide()
        for tag in 0..<3 { _ = try queue.submit(.flush(namespaceID: 1), tag: UInt64(tag)) }
        var tags: Set<UInt64> = []
        while let done = queue.cancelNext() {
            #expect(done.isCancelled && !done.isSuccess)
            #expect(done.error(on: "x")?.reason == .cancelled)
            tags.insert(done.tag)
        }
        #expect(tags == [0, 1, 2])
        queue.reset()
        check(queue.roomCount == 3)
    }
}

@Suite("Shadow doorbells")
struct ShadowDoorbellTests {
    @Test("the register is rung only when the controller asked to be told")
    func eventIndex() throws {
        let memory = try SharedMemory(byteCount: 4096, at: 0)
        func part(_ offset: Int) -> MemoryWindow { memory.window.window(at: offset, byteCount: 4) }
        var doorbell = QueueDoorbell(memory: part(0))
        doorbell.useShadow(value: part(64), eventIndex: part(128))
        // The controller waits for anything beyond 0.
        doorbell.ring(1, after: 0)
        #expect(memory.window.load32(64) == 1 && memory.window.load32(0) == 1)
        // It has said that it looks by itself up to 10.
        memory.window.store32(128, 10)
        doorbell.ring(5, after: 1)
        #expect(memory.window.load32(64) == 5 && memory.window.load32(0) == 1)
        doorbell.ring(11, after: 5)
        #expect(memory.window.load32(64) == 11 && memory.window.load32(0) == 11)
    }
}
