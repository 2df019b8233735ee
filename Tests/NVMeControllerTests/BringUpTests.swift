import DeviceModel
import NVMe
import NVMeController
import Testing

@Suite("Bringing an NVMe controller up and down")
struct BringUpTests {
    @Test("The function looks like an NVMe controller with MSI-X, power management and function level reset")
    func identity() throws {
        let rig = try Rig(bringUp: false)
        let configuration = rig.controller.function.configuration
        #expect(configuration.value(at: 0x08, width: 4) >> 8 == 0x01_0802)
        #expect(configuration.value(at: 0x10, width: 4) & 0xf == 4)
        #expect(configuration.capability(0x01) != nil && configuration.capability(0x11) != nil)
        let express = try #require(configuration.capability(0x10))
        #expect(configuration.value(at: express + 4, width: 4) & 1 << 28 != 0)
        #expect(rig.controller.function.bars[0]?.byteCount == 0x4000)
        #expect(rig.controller.function.msix?.vectorCount == 17)
    }

    @Test("CAP and VS say what the controller can do, in one access of 64 bits or two of 32")
    func capabilities() throws {
        let rig = try Rig(bringUp: false)
        let raw = rig.controller.loadBAR(0, offset: 0, width: 8)
        let capabilities = ControllerCapabilities(rawValue: raw)
        #expect(raw == UInt64(rig.read(0)) | UInt64(rig.read(4)) << 32)
        #expect(capabilities.maximumQueueEntries == 2048 && capabilities.doorbellStride == 0)
        #expect(capabilities.supportsNVMCommandSet && capabilities.requiresContiguousQueues)
        #expect(capabilities.minimumPageSize == 4096 && capabilities.maximumPageSize == 65536)
        #expect(rig.read(RegisterOffset.version) == 0x10400)
        #expect(rig.controller.loadBAR(0, offset: 2, width: 2) == UInt64(rig.read(0) >> 16))
        #expect(!rig.status.isReady)
    }

    @Test("Enabling makes the controller ready, disabling makes it forget its queues")
    func enable() throws {
        let rig = try Rig()
        #expect(rig.status.rawValue == 1)
        _ = rig.makeQueue(1)
        rig.write(RegisterOffset.configuration, 0)
        #expect(rig.status.rawValue == 0)
        // The admin queue's registers stay through a controller reset.
        #expect(rig.read(RegisterOffset.adminQueueAttributes) == 0x001f_001f)
        rig.bringUp()
        _ = rig.makeQueue(1)
    }

    @Test(
        "A configuration that can't work ends in CSTS.CFS, and a reset clears it",
        arguments: [
            ("a page larger than CAP.MPSMAX", 0x0046_0281 as UInt32, 0x001f_001f as UInt32, 0 as UInt64),
            ("a command set that isn't there", 0x0046_0011, 0x001f_001f, 0),
            ("an arbitration that isn't there", 0x0046_0801, 0x001f_001f, 0),
            ("an admin submission queue of one entry", 0x0046_0001, 0x001f_0000, 0),
            ("an admin completion queue of one entry", 0x0046_0001, 0x0000_001f, 0),
            ("an admin queue beside its page", 0x0046_0001, 0x001f_001f, 8),
            ("an admin queue beside its larger page", 0x0046_0101, 0x001f_001f, 4096),
        ])
    func fatal(_ what: String, _ configuration: UInt32, _ attributes: UInt32, _ shift: UInt64) throws {
        let rig = try Rig(bringUp: false)
        let address: UInt64 = 0x20_0000
        rig.write(RegisterOffset.adminQueueAttributes, attributes)
        rig.write64(RegisterOffset.adminSubmissionQueue, address + shift)
        rig.write64(RegisterOffset.adminCompletionQueue, address + 0x10000)
        rig.write(RegisterOffset.configuration, configuration)
        #expect(rig.status.isFatal && !rig.status.isReady)
        rig.write(RegisterOffset.configuration, 0)
        #expect(rig.status.rawValue == 0)
        rig.bringUp()
        #expect(rig.status.rawValue == 1)
    }

    @Test("An admin queue in memory that can't be reached is fatal, not a trap")
    func unreachableQueue() throws {
        let rig = try Rig()
        rig.slot.holes.insert(rig.adminQueue.submission)
        rig.place(.keepAlive(), on: rig.adminQueue)
        rig.ring(rig.adminQueue)
        #expect(rig.status.isFatal)
        rig.slot.holes.removeAll()
        rig.write(RegisterOffset.configuration, 0)
        rig.bringUp()
        rig.slot.holes.insert(rig.adminQueue.completion)
        rig.place(.keepAlive(), on: rig.adminQueue)
        rig.ring(rig.adminQueue)
        #expect(rig.status.isFatal)
    }

    @Test("Without bus mastering nothing is read or written")
    func busMaster() throws {
        let rig = try Rig()
        rig.controller.function.configuration.write(0x2, at: 4, width: 2)
        rig.place(.keepAlive(), on: rig.adminQueue)
        rig.ring(rig.adminQueue)
        #expect(rig.status.isFatal)
        #expect(rig.controller.function.dma.lastFault?.reason == .busMasterDisabled)
        #expect(rig.slot.bytes(at: rig.adminQueue.completion, count: 16).allSatisfy { $0 == 0 })
    }

    @Test("A shutdown completes, and only a reset brings the controller back", arguments: [1, 2] as [UInt32])
    func shutdown(_ kind: UInt32) throws {
        let rig = try Rig()
        rig.write(RegisterOffset.configuration, Rig.enabled | kind << 14)
        #expect(rig.status.shutdown == .complete)
        rig.place(.keepAlive(), on: rig.adminQueue)
        rig.ring(rig.adminQueue)
        #expect(rig.reap(rig.adminQueue).isEmpty)
        rig.write(RegisterOffset.configuration, 0)
        #expect(rig.status.shutdown == .normal)
        rig.bringUp()
        #expect(rig.page(.identify(.controller)).count == 4096)
    }

    @Test("A function level reset in the middle brings every register back, and the data stays")
    func functionReset() throws {
        let rig = try Rig()
        let queue = rig.makeQueue(1)
        let buffer = rig.slot.allocate()
        rig.slot.fill(buffer, Rig.pattern(512))
        var write = SubmissionEntry.write(namespaceID: 1, startingBlock: 5, blocks: 1)
        write.setPRP(buffer)
        #expect(rig.run(write, on: queue)?.status == .success)
        rig.place(write, on: queue)
        rig.controller.performReset(.function)
        #expect(rig.read(RegisterOffset.configuration) == 0 && rig.status.rawValue == 0)
        #expect(rig.read(RegisterOffset.adminQueueAttributes) == 0)
        rig.ring(queue)
        #expect(rig.status.rawValue == 0)
        #expect(try rig.stored(5) == Rig.pattern(512))
    }

    @Test("After the last user has gone, nothing reaches memory any more")
    func quiesce() throws {
        let rig = try Rig()
        let request = rig.place(.asynchronousEventRequest(), on: rig.adminQueue)
        rig.ring(rig.adminQueue)
        rig.controller.quiesce()
        rig.controller.temperature = 400
        rig.controller.setNamespace(2, nil)
        #expect(rig.reap(rig.adminQueue).isEmpty)
        #expect(request == 0)
    }

    @Test("With the interrupt line, it is up while completions wait, unless masked")
    func line() throws {
        let rig = try Rig(messages: false)
        rig.place(.identify(.controller), on: rig.adminQueue)
        rig.ring(rig.adminQueue)
        #expect(rig.slot.line)
        rig.write(RegisterOffset.interruptMaskSet, 1)
        #expect(!rig.slot.line)
        #expect(rig.read(RegisterOffset.interruptMaskClear) == 1)
        rig.write(RegisterOffset.interruptMaskClear, 1)
        #expect(rig.slot.line)
        #expect(rig.reap(rig.adminQueue).count == 1)
        #expect(!rig.slot.line)
    }
}
