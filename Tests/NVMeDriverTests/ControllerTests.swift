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

@Suite("A controller, one call at a time")
struct ControllerTests {
    @Test("opening finds the controller, its namespaces and its interrupts")
    func opening() throws {
        let bench = try Bench(blockCounts: [8192, 100])
        let ssd = try bench.open()
        #expect(ssd.identity.modelNumber == "swift-vfio NVMe controller")
        #expect(ssd.namespaces.map(\.identifier) == [1, 2])
        #expect(ssd.namespaces.map(\.blockCount) == [8192, 100])
        #expect(ssd.namespace(1)?.byteCount == 4 << 20)
        #expect(ssd.interruptCount > 1)
        #expect(ssd.queuePairCount == 16)
        #expect(ssd.version >= .v1_4)
        try ssd.close()
    }

    @Test(
        "what is written is read back, whatever the length, however completions are waited for",
        arguments: [ControllerOptions.InterruptChoice.msix, .pin, .polling])
    func plainMemory(_ choice: ControllerOptions.InterruptChoice) throws {
        var random = TestRandom("plain memory")
        let bench = try Bench()
        let ssd = try bench.open { $0.interrupts = choice }
        var model = [UInt8](repeating: 0, count: 8192 * 512)
        for _ in 0..<60 {
            let count = 1 + random.below(random.below(4) == 0 ? 6000 : 40)
            let start = random.below(8192 - count + 1)
            let blocks = UInt64(start)..<UInt64(start + count)
            if random.below(2) == 0 {
                let bytes = random.bytes(count * 512)
                try ssd.write(blocks: blocks, from: bytes)
                model.replaceSubrange(start * 512..<(start + count) * 512, with: bytes)
            } else {
                let bytes = try ssd.read(blocks: blocks)
                #expect(bytes == Array(model[start * 512..<(start + count) * 512]))
            }
        }
        try ssd.close()
        #expect(bench.host.dmaFaults.count == 0)
    }

    @Test("both sizes of blocks work", arguments: [512, 4096])
    func blockSizes(_ blockSize: Int) throws {
        let bench = try Bench(blockCounts: [64], blockSize: blockSize)
        let ssd = try bench.open()
        let bytes = [UInt8]((0..<blockSize * 3).map { UInt8(truncatingIfNeeded: $0 / 7) })
        try ssd.write(blocks: 61..<64, from: bytes, forceUnitAccess: true)
        try ssd.flush()
        #expect(try ssd.read(blocks: 61..<64) == bytes)
        #expect(try ssd.defaultNamespace().blockByteCount == blockSize)
    }

    @Test("DMA memory is read and written without a copy, also from the middle of a page")
    func zeroCopy() throws {
        let bench = try Bench()
        let ssd = try bench.open()
        let memory = try ssd.allocate(byteCount: 1 << 21)
        for offset in stride(from: 0, to: 1 << 21, by: 8) {
            memory.window.store64(offset, UInt64(offset) &* 0x9e37_79b9)
        }
        // Longer than the controller's limit of one command.
        try ssd.write(blocks: 0..<2048, from: memory.segment(at: 0x200, byteCount: 1 << 20))
        memory.window.zero(at: 1 << 20, byteCount: 1 << 20)
        try ssd.read(blocks: 0..<1024, into: memory.segment(at: (1 << 20) + 0xa04, byteCount: 1 << 19))
        for offset in stride(from: 0, to: 1 << 19, by: 4) {
            #expect(
                memory.window.load32((1 << 20) + 0xa04 + offset) == memory.window.load32(0x200 + offset))
        }
    }

    @Test(
        "pieces that only an SGL can describe are gathered and scattered in order", arguments: [true, false])
    func scattered(_ hasSGLs: Bool) throws {
        var settings = NVMeController.Settings()
        settings.hasSGLs = hasSGLs
        let bench = try Bench(settings: settings)
        let ssd = try bench.open()
        #expect(ssd.supportsSGL == hasSGLs)
        let memory = try ssd.allocate(byteCount: 65536)
        for offset in 0..<1024 { memory.window.store8(offset, UInt8(truncatingIfNeeded: offset * 7)) }
        try ssd.write(blocks: 10..<12, from: memory.segment(at: 0, byteCount: 1024))
        let pieces = [
            memory.segment(at: 0x2001, byteCount: 100), memory.segment(at: 0x4103, byteCount: 500),
            memory.segment(at: 0x3005, byteCount: 424),
        ]
        if hasSGLs {
            try ssd.read(blocks: 10..<12, into: pieces)
            var offset = 0
            for (place, count) in [(0x2001, 100), (0x4103, 500), (0x3005, 424)] {
                for index in 0..<count {
                    #expect(
                        memory.window.load8(place + index) == UInt8(truncatingIfNeeded: (offset + index) * 7))
                }
                offset += count
            }
        } else {
            let error = failure { () throws(NVMeError) in try ssd.read(blocks: 10..<12, into: pieces) }
            guard case .dataPointer(.misaligned) = error?.reason else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
        // Pieces of whole blocks work either way.
        let blocks = [memory.segment(at: 0x8200, byteCount: 512), memory.segment(at: 0x9400, byteCount: 512)]
        try ssd.read(blocks: 10..<12, into: blocks)
        #expect(memory.window.load8(0x9400) == UInt8(truncatingIfNeeded: 512 * 7))
        if hasSGLs {
            try ssd.read(blocks: 10..<12, into: memory.segment(at: 0xa000, byteCount: 1024), style: .sgl)
            #expect(memory.window.load8(0xa000 + 1023) == UInt8(truncatingIfNeeded: 1023 * 7))
        }
    }

    @Test("blocks outside the namespace and memory of the wrong length are refused before anything is sent")
    func bounds() throws {
        let bench = try Bench(blockCounts: [100])
        let ssd = try bench.open()
        bench.faults.doorbellCount = 0
        var bytes = [UInt8](repeating: 0, count: 1024)
        let beyond = failure { () throws(NVMeError) in try ssd.read(blocks: 99..<101, into: &bytes) }
        #expect(beyond?.reason == .outOfRange(blockCount: 100))
        #expect(
            beyond?.description
                == "read blocks 99..<101 of namespace 1 (0000:01:00.0): the namespace has blocks 0..<100 only"
        )
        let huge = failure { () throws(NVMeError) in try ssd.read(blocks: 0..<UInt64.max) }
        #expect(huge?.reason == .outOfRange(blockCount: 100))
        let long = failure { () throws(NVMeError) in try ssd.write(blocks: 0..<1, from: bytes) }
        #expect(long?.reason == .wrongLength(byteCount: 1024, needed: 512))
        #expect(bench.faults.doorbellCount == 0)
        try ssd.read(blocks: 5..<5, into: DMASegment(iova: IOVA(0), byteCount: 0))
        #expect(try ssd.read(blocks: 100..<100) == [])
    }

    @Test("zeroes, deallocation, comparison and verification work where the controller has them")
    func otherCommands() throws {
        let bench = try Bench()
        let ssd = try bench.open()
        let ones = [UInt8](repeating: 0xff, count: 64 * 512)
        try ssd.write(blocks: 0..<64, from: ones)
        try ssd.writeZeroes(blocks: 8..<16)
        #expect(try ssd.read(blocks: 8..<16) == [UInt8](repeating: 0, count: 8 * 512))
        #expect(try ssd.read(blocks: 16..<64) == [UInt8](repeating: 0xff, count: 48 * 512))
        // More ranges than one command takes.
        try ssd.deallocate(blocks: (0..<300).map { UInt64($0 * 2)..<UInt64($0 * 2 + 1) })
        if ssd.identity.supportsCompare {
            let same = [UInt8](repeating: 0xff, count: 512)
            try ssd.compare(blocks: 33..<34, with: same.span.bytes)
            let other = [UInt8](repeating: 0xfe, count: 512)
            let error = failure { () throws(NVMeError) in
                try ssd.compare(blocks: 33..<34, with: other.span.bytes)
            }
            #expect(error?.status == .compareFailure)
        } else {
            let bytes = [UInt8](repeating: 0, count: 512)
            let error = failure { () throws(NVMeError) in
                try ssd.compare(blocks: 33..<34, with: bytes.span.bytes)
            }
            #expect(error?.reason == .unsupported(.compare))
        }
        if ssd.identity.supportsVerify {
            try ssd.verify(blocks: 0..<8192)
        } else {
            let error = failure { () throws(NVMeError) in try ssd.verify(blocks: 0..<1) }
            #expect(error?.reason == .unsupported(.verify))
        }
    }

    @Test("data stays through reset, close and opening again")
    func persistence() throws {
        let bench = try Bench()
        let bytes = [UInt8](repeating: 0x5a, count: 4096)
        do {
            let ssd = try bench.open()
            try ssd.write(blocks: 0..<8, from: bytes)
            try ssd.reset()
            #expect(try ssd.read(blocks: 0..<8) == bytes)
            try ssd.reset(throughDevice: true)
            #expect(try ssd.read(blocks: 0..<8) == bytes)
            try ssd.close()
            let error = failure { () throws(NVMeError) in try ssd.read(blocks: 0..<8) }
            #expect(error?.reason == .closed)
        }
        #expect(bench.host.lockedByteCount == 0)
        let again = try bench.open()
        #expect(try again.read(blocks: 0..<8) == bytes)
    }

    @Test("nothing is left mapped when everything has gone, in whatever order")
    func release() throws {
        let bench = try Bench()
        do {
            let ssd = try bench.open()
            var queue = try ssd.makeQueuePair(entryCount: 16)
            let raw = try ssd.makeRawQueuePair(entryCount: 16)
            check(raw.identifier != queue.identifier)
            let memory = try ssd.allocate(byteCount: 4096)
            let namespace = try ssd.defaultNamespace()
            try queue.read(0..<8, of: namespace, into: memory.segment)
            #expect(bench.host.lockedByteCount > 0)
        }
        #expect(bench.host.lockedByteCount == 0)
        #expect(bench.host.dmaFaults.count == 0)
        do {
            let ssd = try bench.open()
            let queue = try ssd.makeQueuePair(entryCount: 16)
            try ssd.close()
            check(!queue.isLive)
        }
        #expect(bench.host.lockedByteCount == 0)
    }

    @Test("several threads share a controller")
    func threads() async throws {
        let bench = try Bench()
        let ssd = try bench.open { $0.sharedQueueCount = 2 }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<4 {
                group.addTask {
                    let first = UInt64(worker * 1000)
                    for round in 0..<50 {
                        let bytes = [UInt8](repeating: UInt8(worker * 50 + round % 50), count: 16 * 512)
                        try ssd.write(blocks: first..<first + 16, from: bytes)
                        #expect(try ssd.read(blocks: first..<first + 16) == bytes)
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}

@Suite("Admin commands")
struct AdminTests {
    @Test("log pages are decoded")
    func logs() throws {
        let bench = try Bench()
        let ssd = try bench.open()
        #expect(try ssd.healthLog().temperature > 200)
        #expect(try ssd.firmwareLog().activeSlot == 1)
        #expect(try ssd.firmwareLog().revision(slot: 1) == "1.0")
        #expect(try ssd.changedNamespaces() == [])
        let refused = failure { () throws(NVMeError) in
            try ssd.logPage(LogPage(rawValue: 0xc7), byteCount: 512)
        }
        #expect(refused?.status == .invalidLogPage)
        #expect(refused?.description.contains("Invalid Log Page") == true)
        let tooLong = failure { () throws(NVMeError) in try ssd.logPage(.error, byteCount: 1 << 30) }
        guard case .tooLarge = tooLong?.reason else {
            Issue.record("\(String(describing: tooLong))")
            return
        }
    }

    @Test("a command that the controller refused is in its error log")
    func errorLog() throws {
        let bench = try Bench()
        let ssd = try bench.open()
        var queue = try ssd.makeQueuePair(entryCount: 4)
        try queue.submit(SubmissionEntry(opcode: 0x77, namespaceID: 1))
        let done = try must(queue.wait(milliseconds: 10_000))
        #expect(done.status == .invalidOpcode)
        #expect(done.error(on: "x")?.description.contains("I/O command 0x77 of namespace 1 (x)") == true)
        let newest = try #require(try ssd.errorLog().first)
        check(newest.status == .invalidOpcode && newest.submissionQueueID == queue.identifier)
    }

    @Test("admin commands of the caller's own are sent, but not those that are the driver's")
    func passThrough() throws {
        let bench = try Bench()
        let ssd = try bench.open()
        let memory = try ssd.allocate(byteCount: 4096)
        try ssd.admin(.identify(.controller), memory.segment)
        #expect(memory.window.load16(0) == ssd.identity.vendorID)
        #expect(
            try ssd.admin(.getFeatures(.numberOfQueues))
                == QueueCounts(submission: 16, completion: 16).rawValue)
        let queue = failure { () throws(NVMeError) in try ssd.admin(.deleteSubmissionQueue(1)) }
        #expect(queue?.reason == .reserved(opcode: 0))
        let event = failure { () throws(NVMeError) in try ssd.admin(.asynchronousEventRequest()) }
        #expect(event?.reason == .reserved(opcode: 0x0c))
        #expect(try ssd.read(blocks: 0..<1).count == 512)
    }

    @Test("features are read and set")
    func features() throws {
        let bench = try Bench()
        let ssd = try bench.open()
        let before = try ssd.isWriteCacheEnabled()
        try ssd.setWriteCache(enabled: !before)
        #expect(try ssd.isWriteCacheEnabled() == !before)
        try ssd.setTemperatureThreshold(350)
        #expect(try ssd.temperatureThreshold() == 350)
        try ssd.setArbitration(Controller.Arbitration(burst: 3))
        #expect(try ssd.arbitration().burst == 3)
        #expect(try !ssd.eventConfiguration().isDisjoint(with: .criticalWarnings))
        try ssd.setEventConfiguration([])
        #expect(try ssd.eventConfiguration() == [])
        if ssd.identity.supportsTimestamp {
            #expect(try ssd.featureData(.timestamp, byteCount: 8).count == 8)
        } else {
            let error = failure { () throws(NVMeError) in try ssd.featureData(.timestamp, byteCount: 8) }
            #expect(error?.status == .invalidField)
        }
        let refused = failure { () throws(NVMeError) in try ssd.feature(Feature(rawValue: 0x7f)) }
        #expect(refused?.status == .invalidField)
    }

    @Test("an event comes when something happens, and another after its log page was read")
    func events() throws {
        let bench = try Bench()
        let ssd = try bench.open()
        #expect(try ssd.nextEvent() == nil)
        bench.controller.temperature = 400
        #expect(try ssd.nextEvent() == .temperature)
        #expect(try ssd.nextEvent() == nil)
        _ = try ssd.healthLog()
        bench.controller.temperature = 300
        bench.controller.temperature = 400
        #expect(try ssd.nextEvent() == .temperature)
        _ = bench.controller.setNamespace(
            2, try NVMeNamespace(MemoryStore(byteCount: 51200), blockSize: 512))
        #expect(try ssd.nextEvent() == .namespacesChanged)
        #expect(try ssd.changedNamespaces() == [2])
        #expect(try ssd.refreshNamespaces().map(\.identifier) == [1, 2])
    }
}
