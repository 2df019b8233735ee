import DeviceModel
import IOVASpace
import LinuxSystem
import NVMe
import NVMeController
import SoftwareHost
import Testing
import VFIO
import VFIOHost

@testable import NVMeDriver

@Suite("Queue pairs with requests in flight")
struct QueueTests {
    @Test("many requests are in flight and each completes once", arguments: [true, false])
    func inFlight(_ usesShadowDoorbells: Bool) throws {
        let bench = try Bench()
        let ssd = try bench.open { $0.usesShadowDoorbells = usesShadowDoorbells }
        #expect(ssd.usesShadowDoorbells == usesShadowDoorbells)
        let namespace = try ssd.defaultNamespace()
        var queue = try ssd.makeQueuePair(entryCount: 33)
        check(queue.capacity == 32)
        let memory = try ssd.allocate(byteCount: 32 * 4096)
        // More than three rounds through the rings, and all commands in flight at a time.
        for round in 0..<4 {
            for index in 0..<32 {
                memory.window.store64(index * 4096, UInt64(round * 100 + index))
                let first = UInt64(index * 8)
                try queue.write(
                    first..<first + 8, of: namespace, from: memory.segment(at: index * 4096, byteCount: 4096),
                    RequestOptions(tag: UInt64(index)))
            }
            let full = failure { () throws(NVMeError) in try queue.flush(namespace) }
            #expect(full?.reason == .queueFull)
            var tags: Set<UInt64> = []
            while let done = try queue.wait() {
                #expect(done.isSuccess)
                tags.insert(done.tag)
            }
            #expect(tags == Set(0..<32))
            for index in 0..<32 {
                let block = try ssd.read(blocks: UInt64(index * 8)..<UInt64(index * 8 + 1))
                #expect(block[0] == UInt8(truncatingIfNeeded: round * 100 + index))
            }
        }
        check(queue.strayCount == 0)
    }

    @Test("requests submitted together ring one doorbell")
    func batching() throws {
        let bench = try Bench()
        let ssd = try bench.open { $0.usesShadowDoorbells = false }
        let namespace = try ssd.defaultNamespace()
        var queue = try ssd.makeQueuePair(entryCount: 64)
        bench.faults.doorbellCount = 0
        for _ in 0..<40 { try queue.flush(namespace) }
        #expect(bench.faults.doorbellCount == 0)
        queue.ring()
        queue.ring()
        #expect(bench.faults.doorbellCount == 1)
        var count = 0
        while queue.poll() != nil { count += 1 }
        #expect(count == 40)
        #expect(bench.faults.doorbellCount == 1)
    }

    @Test("a command that fails tells its blocks and the controller's words")
    func statuses() throws {
        let bench = try Bench()
        let ssd = try bench.open()
        var queue = try ssd.makeQueuePair(entryCount: 8)
        let memory = try ssd.allocate(byteCount: 4096)
        try queue.submit(
            .read(namespaceID: 1, startingBlock: 8190, blocks: 8), memory.segment(at: 0, byteCount: 4096))
        let done = try must(queue.wait())
        #expect(done.status == .lbaOutOfRange)
        let text = done.error(on: ssd.name)?.description ?? ""
        #expect(
            text.hasPrefix("read blocks 8190..<8198 of namespace 1 (0000:01:00.0): the controller answered"))
        #expect(text.contains("LBA Out of Range"))
    }

    @Test("memory that the device doesn't reach ends in an error of the command")
    func unmapped() throws {
        let bench = try Bench()
        let ssd = try bench.open()
        let error = failure { () throws(NVMeError) in
            try ssd.read(blocks: 0..<8, into: DMASegment(iova: IOVA(0x5555_0000_0000), byteCount: 4096))
        }
        #expect(error?.status == .dataTransferError)
        #expect(bench.host.dmaFaults.count > 0)
        #expect(try ssd.read(blocks: 0..<1).count == 512)
    }

    @Test("there are as many queue pairs as the controller grants, and a number is used again")
    func exhaustion() throws {
        var settings = NVMeController.Settings()
        settings.queuePairs = 3
        let bench = try Bench(settings: settings)
        let ssd = try bench.open()
        #expect(ssd.queuePairCount == 3)
        let first = try ssd.makeQueuePair(entryCount: 4)
        do {
            let second = try ssd.makeQueuePair(entryCount: 4)
            check([first.identifier, second.identifier] == [2, 3])
            let error = failure { () throws(NVMeError) in try ssd.makeQueuePair() }
            #expect(error?.reason == .noQueue)
        }
        let third = try ssd.makeQueuePair(entryCount: 4)
        check(third.identifier == 3)
        check(first.isLive)
    }

    @Test("after a reset what was in flight comes back as cancelled, and the queue can be made anew")
    func reset() throws {
        let bench = try Bench()
        let ssd = try bench.open { $0.usesShadowDoorbells = false }
        let namespace = try ssd.defaultNamespace()
        var queue = try ssd.makeQueuePair(entryCount: 8)
        bench.faults.deafQueues = [queue.identifier]
        try queue.flush(namespace, RequestOptions(tag: 77))
        check(queue.poll() == nil)
        try ssd.reset()
        bench.faults.deafQueues = []
        check(!queue.isLive)
        let refused = failure { () throws(NVMeError) in try queue.flush(namespace) }
        #expect(refused?.reason == .stopped)
        let done = try must(queue.poll())
        #expect(done.isCancelled && done.tag == 77)
        try queue.restart()
        try queue.flush(namespace, RequestOptions(tag: 78))
        let again = try must(queue.wait(milliseconds: 10_000))
        #expect(again.isSuccess && again.tag == 78)
    }

    @Test("interrupts arrive on the queue's own descriptor")
    func interrupts() throws {
        let bench = try Bench()
        let ssd = try bench.open()
        let namespace = try ssd.defaultNamespace()
        var queue = try ssd.makeQueuePair(entryCount: 8)
        let descriptor = try must(queue.interruptDescriptor)
        let poller = try Poller()
        try poller.add(descriptor, .readable, tag: 9)
        var events: [Poller.Event] = []
        #expect(try poller.wait(into: &events, milliseconds: 0) == 0)
        try queue.flush(namespace)
        queue.ring()
        #expect(try poller.wait(into: &events, milliseconds: 10_000) == 1)
        #expect(events.first?.tag == 9)
        check(queue.poll() != nil)
        let polled = try bench.openSecond()
        #expect(polled == nil)
    }

    @Test("interrupts still arrive after the whole device was reset")
    func interruptsAfterReset() throws {
        let bench = try Bench()
        let ssd = try bench.open()
        let namespace = try ssd.defaultNamespace()
        var queue = try ssd.makeQueuePair(entryCount: 8)
        try ssd.reset(throughDevice: true)
        try queue.restart()
        let descriptor = try must(queue.interruptDescriptor)
        let poller = try Poller()
        try poller.add(descriptor, .readable, tag: 9)
        var events: [Poller.Event] = []
        _ = try poller.wait(into: &events, milliseconds: 0)
        try queue.flush(namespace)
        queue.ring()
        #expect(try poller.wait(into: &events, milliseconds: 10_000) == 1)
        check(queue.poll()?.isSuccess == true)
    }

    @Test("bare rings carry commands of the caller's own making")
    func raw() throws {
        let bench = try Bench()
        let ssd = try bench.open()
        try ssd.write(blocks: 3..<4, from: [UInt8](repeating: 0x42, count: 512))
        var raw = try ssd.makeRawQueuePair(entryCount: 4)
        let memory = try ssd.allocate(byteCount: 4096)
        // Often enough to go round both rings several times.
        for round in 0..<10 {
            memory.window.store8(0, 0)
            var entry = SubmissionEntry.read(namespaceID: 1, startingBlock: 3, blocks: 1)
            entry.setPRP(memory.iova.rawValue)
            entry.commandID = UInt16(round + 100)
            check(raw.submission.post(entry))
            raw.submission.ring()
            var done: CompletionEntry?
            while done == nil { done = raw.completion.next() }
            #expect(done?.commandID == UInt16(round + 100) && done?.status.isSuccess == true)
            if let head = done?.submissionQueueHead { raw.submission.controllerReached(head) }
            raw.completion.ring()
            #expect(memory.window.load8(0) == 0x42)
        }
    }
}

extension Bench {
    /// Tries to open the device a second time; the text of what is said if that fails as it should.
    func openSecond() throws -> Controller? {
        do throws(NVMeError) { return try open() } catch {
            guard case .vfio = error.reason else { throw error }
            return nil
        }
    }
}

@Suite("Controllers that fail")
struct FaultTests {
    @Test("a device that isn't NVMe is refused by its class code")
    func wrongClass() throws {
        let model = PlainDevice()
        let host = try SoftwareHost(
            MachineDescription {
                IOMMU(.type1)
                IOMMUGroup(1) { PCIDevice(model, at: Bench.address) }
            })
        let error = failure { () throws(NVMeError) in try Controller(opening: Bench.address, on: host) }
        #expect(error?.reason == .notNVMe(classCode: 0x020000))
        #expect(error?.description.contains("its class code is 020000") == true)
        let text = failure { () throws(NVMeError) in try Controller(opening: "eth0", on: host) }
        #expect(text?.description.contains("\"eth0\" isn't a PCI address") == true)
        let absent = failure { () throws(NVMeError) in try Controller(opening: "0000:09:00.0", on: host) }
        guard case .vfio(let cause) = absent?.reason else {
            Issue.record("\(String(describing: absent))")
            return
        }
        #expect(cause.code == .noSuchDevice)
    }

    @Test("a controller that never becomes ready ends in a time-out")
    func neverReady() throws {
        let bench = try Bench()
        bench.faults.readyTime = 1
        bench.faults.ignoresConfiguration = true
        let error = failure { () throws(NVMeError) in try bench.open() }
        #expect(error?.operation == "enable")
        #expect(error?.reason == .timedOut(milliseconds: 1000, aborted: false))
        bench.faults.ignoresConfiguration = false
        try bench.open().close()
        #expect(bench.host.lockedByteCount == 0)
    }

    @Test("a command that is never answered is given up, and a reset brings the controller back")
    func deafQueue() throws {
        let bench = try Bench()
        let ssd = try bench.open {
            $0.usesShadowDoorbells = false
            $0.timeout = 50
        }
        bench.faults.deafQueues = [1]
        let error = failure { () throws(NVMeError) in try ssd.read(blocks: 4..<6) }
        #expect(error?.reason == .timedOut(milliseconds: 50, aborted: false))
        #expect(
            error?.description.hasPrefix("read blocks 4..<6 of namespace 1 (0000:01:00.0): no answer") == true
        )
        bench.faults.deafQueues = []
        let stopped = failure { () throws(NVMeError) in try ssd.read(blocks: 4..<6) }
        #expect(stopped?.reason == .stopped)
        try ssd.reset()
        #expect(try ssd.read(blocks: 4..<6).count == 1024)
    }

    @Test("an admin command that is never answered stops the controller")
    func deafAdmin() throws {
        let bench = try Bench()
        let ssd = try bench.open { $0.adminTimeout = 50 }
        bench.faults.deafQueues = [0]
        let error = failure { () throws(NVMeError) in try ssd.healthLog() }
        #expect(error?.reason == .timedOut(milliseconds: 50, aborted: false))
        bench.faults.deafQueues = []
        try ssd.reset()
        _ = try ssd.healthLog()
    }

    @Test("a fatal error is told as such, and a reset brings the controller back")
    func fatal() throws {
        let bench = try Bench()
        let ssd = try bench.open { $0.usesShadowDoorbells = false }
        bench.faults.deafQueues = [1]
        bench.faults.isFatal = true
        let error = failure { () throws(NVMeError) in try ssd.read(blocks: 0..<1) }
        #expect(error?.reason == .controllerFatal)
        #expect(error?.description.contains("CSTS.CFS") == true)
        bench.faults.isFatal = false
        bench.faults.deafQueues = []
        try ssd.reset()
        #expect(try ssd.read(blocks: 0..<1).count == 512)
    }

    @Test("a device that is gone is told as such, and everything is let go of")
    func gone() throws {
        let bench = try Bench()
        do {
            let ssd = try bench.open()
            var queue = try ssd.makeQueuePair(entryCount: 4)
            let namespace = try ssd.defaultNamespace()
            bench.faults.isGone = true
            let error = failure { () throws(NVMeError) in try ssd.read(blocks: 0..<1) }
            #expect(error?.reason == .deviceGone)
            _ = try? queue.flush(namespace)
            check(queue.poll() == nil || !queue.isLive)
            let closing = failure { () throws(NVMeError) in try ssd.reset() }
            #expect(closing?.reason == .deviceGone)
            try? ssd.close()
        }
        #expect(bench.host.lockedByteCount == 0)
        bench.faults.isGone = false
        try bench.open().close()
    }

    @Test("an unanswered command of a queue pair can be found and aborted")
    func abort() throws {
        let bench = try Bench()
        let ssd = try bench.open {
            $0.usesShadowDoorbells = false
            $0.timeout = 1
        }
        let namespace = try ssd.defaultNamespace()
        var queue = try ssd.makeQueuePair(entryCount: 4)
        bench.faults.deafQueues = [queue.identifier]
        let token = try queue.flush(namespace)
        try check(queue.wait(milliseconds: 20) == nil)
        check(queue.expired() == token)
        // The controller never saw the command, so it can't abort it.
        try check(queue.abort(token) == false)
        check(queue.inFlightCount == 1)
    }

    @Test("namespaces with metadata or checksums are listed and refused with the reason")
    func obstacles() {
        var page = IdentifyNamespace()
        page.size = 1000
        page.setFormat(0, LBAFormat(dataExponent: 9, metadataSize: 8))
        let withMetadata = Namespace(identifier: 3, page)
        #expect(withMetadata.obstacle == .metadata(byteCount: 8))
        #expect(
            withMetadata.objection(to: 0..<1, byteCount: 512) == .unusableNamespace(.metadata(byteCount: 8)))
        page.setFormat(0, LBAFormat(dataExponent: 12))
        page.protectionSettings = 1
        #expect(Namespace(identifier: 3, page).obstacle == .protectionInformation(type: 1))
        page.protectionSettings = 0
        #expect(Namespace(identifier: 3, page).obstacle == nil)
        #expect(Namespace(identifier: 3, page).blockByteCount == 4096)
        page.setFormat(0, LBAFormat(dataExponent: 40))
        #expect(Namespace(identifier: 3, page).obstacle == .blockSize(exponent: 40))
        page.size = 0
        #expect(Namespace(identifier: 3, page).obstacle == .inactive)
        let error = NVMeError(
            .unusableNamespace(.metadata(byteCount: 8)), "read", on: "0000:01:00.0", namespace: 3)
        #expect(error.description.contains("8 bytes of metadata with each block"))
    }

    @Test("a namespace as large as 64 bits allow overflows nothing")
    func enormous() {
        var page = IdentifyNamespace()
        page.size = .max
        page.setFormat(0, LBAFormat(dataExponent: 16))
        let namespace = Namespace(identifier: 1, page)
        #expect(namespace.byteCount == nil)
        #expect(
            namespace.objection(to: 0..<UInt64.max, byteCount: 512)
                == .wrongLength(byteCount: 512, needed: .max))
        #expect(namespace.objection(to: UInt64.max - 1..<UInt64.max, byteCount: 65536) == nil)
    }
}

@Suite("Workloads")
struct WorkloadTests {
    @Test(
        "every request of a workload is counted once",
        arguments: [
            (Workload.Operation.read, Workload.Pattern.random), (.write, .sequential),
            (.mixed(readPercent: 70), .random),
        ])
    func counts(_ operation: Workload.Operation, _ pattern: Workload.Pattern) throws {
        let bench = try Bench()
        let ssd = try bench.open()
        let result = try ssd.measure(
            Workload(operation, pattern, blocksPerRequest: 8, queueDepth: 16, limit: .requests(1000)))
        #expect(result.requestCount == 1000 && result.latencies.count == 1000)
        #expect(result.byteCount == 1000 * 4096)
        #expect(result.queueDepth == 16)
        #expect(result.requestsPerSecond > 0 && result.bytesPerSecond > 0)
        switch operation {
        case .read: #expect(result.readCount == 1000)
        case .write: #expect(result.readCount == 0)
        case .mixed: #expect((1...999).contains(result.readCount))
        }
    }

    @Test("a workload stays inside the blocks it was given")
    func region() throws {
        let bench = try Bench(blockCounts: [64])
        let ssd = try bench.open()
        let clean = [UInt8](repeating: 0x11, count: 64 * 512)
        try ssd.write(blocks: 0..<64, from: clean)
        for pattern in [Workload.Pattern.random, .sequential] {
            _ = try ssd.measure(
                Workload(
                    .write, pattern, blocksPerRequest: 4, queueDepth: 3, blocks: 10..<31,
                    limit: .requests(200)))
        }
        let after = try ssd.read(blocks: 0..<64)
        #expect(after[..<(10 * 512)] == clean[..<(10 * 512)])
        #expect(after[(30 * 512)...] == clean[(30 * 512)...])
        #expect(after[(10 * 512)..<(30 * 512)] != clean[(10 * 512)..<(30 * 512)])
    }

    @Test("workloads that can't be run are refused")
    func refused() throws {
        let bench = try Bench(blockCounts: [64])
        let ssd = try bench.open()
        let beyond = failure { () throws(NVMeError) in try ssd.measure(Workload(blocks: 60..<70)) }
        #expect(beyond?.reason == .outOfRange(blockCount: 64))
        let small = failure { () throws(NVMeError) in try ssd.measure(Workload(blocks: 60..<64)) }
        #expect(small?.reason == .outOfRange(blockCount: 64))
        let long = failure { () throws(NVMeError) in try ssd.measure(Workload(blocksPerRequest: 1 << 20)) }
        guard case .tooLarge = long?.reason else {
            Issue.record("\(String(describing: long))")
            return
        }
        let none = failure { () throws(NVMeError) in try ssd.measure(Workload(blocksPerRequest: 0)) }
        guard case .tooLarge = none?.reason else {
            Issue.record("\(String(describing: none))")
            return
        }
    }
}

/// A device that is something else: a network card by its class code.
final class PlainDevice: DeviceModel {
    let function = PCIFunction(
        PCIIdentity(vendor: 0x1234, device: 1, classCode: 0x020000),
        bars: [0: BAR(.memory32, byteCount: 4096)])
    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { 0 }
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {}
    func reset(_ kind: ResetKind) {}
}
