import DeviceModel
import NVMe
import NVMeController
import Testing

@Suite("The admin commands of the NVMe controller")
struct AdminTests {
    @Test("Identify Controller says who it is and what it can do")
    func identifyController() throws {
        let rig = try Rig()
        let page = try #require(IdentifyController(rig.page(.identify(.controller))))
        #expect(page.vendorID == 0x1234 && page.serialNumber == "SWIFTVFIO0")
        #expect(page.modelNumber == "swift-vfio NVMe controller" && page.firmwareRevision == "1.0")
        #expect(page.version == .v1_4 && page.controllerType == 1)
        #expect(page.maximumTransferBytes(minimumPageSize: 4096) == 512 << 10)
        #expect(page.submissionEntrySize == 0x66 && page.completionEntrySize == 0x44)
        #expect(page.namespaceCount == 16 && page.hasVolatileWriteCache && page.flushTakesAllNamespaces)
        #expect(page.supportsDatasetManagement && page.supportsWriteZeroes && !page.supportsCompare)
        #expect(page.supportsDoorbellBuffer && page.sglAlignment == .any)
        #expect(page.subsystemName.utf8.count == 68)
        #expect(page.totalCapacity == UInt128(Rig.blocks * Rig.blockSize))
    }

    @Test("Identify Namespace tells active, inactive and invalid namespaces apart")
    func identifyNamespace() throws {
        let rig = try Rig(namespaces: 2)
        let first = try #require(IdentifyNamespace(rig.page(.identify(.namespace, namespaceID: 1))))
        #expect(first.size == UInt64(Rig.blocks) && first.currentFormat?.blockSize == 512)
        #expect(first.globalID.contains { $0 != 0 })
        let second = try #require(IdentifyNamespace(rig.page(.identify(.namespace, namespaceID: 2))))
        #expect(second.size == 16 && second.currentFormat?.blockSize == 4096)
        #expect(second.globalID != first.globalID)
        #expect(rig.page(.identify(.namespace, namespaceID: 3)) == [UInt8](repeating: 0, count: 4096))
        for wrong in [0, 17, 0xffff_ffff] as [UInt32] {
            #expect(rig.admin(.identify(.namespace, namespaceID: wrong))?.status == .invalidNamespace)
        }
    }

    @Test("Lists name the namespaces beyond the one given, and the one controller there is")
    func lists() throws {
        let rig = try Rig(namespaces: 3)
        let all = rig.page(.identify(.activeNamespaces))
        #expect(NamespaceList(all)?.identifiers == [1, 2, 3])
        let rest = rig.page(.identify(.activeNamespaces, namespaceID: 2))
        #expect(NamespaceList(rest)?.identifiers == [3])
        let wild = SubmissionEntry.identify(.activeNamespaces, namespaceID: 0xffff_fffe)
        #expect(rig.admin(wild)?.status == .invalidNamespace)
        #expect(ControllerList(rig.page(.identify(.controllers)))?.identifiers == [0])
        #expect(ControllerList(rig.page(.identify(.controllers, controllerID: 1)))?.identifiers == [])
        let names = try #require(
            NamespaceDescriptors(rig.page(.identify(.namespaceDescriptors, namespaceID: 1))))
        #expect(names.descriptors.map(\.kind) == [.nguid, .uuid])
        #expect(rig.admin(.identify(.namespaceDescriptors, namespaceID: 9))?.status == .invalidNamespace)
        #expect(rig.page(.identify(.commandSetController)).count == 4096)
        #expect(rig.page(.identify(.commandSetNamespace, namespaceID: 1)).count == 4096)
        let zoned = SubmissionEntry.identify(.commandSetController, commandSet: .zoned)
        #expect(rig.admin(zoned)?.status == .invalidField)
        #expect(rig.admin(.identify(IdentifySelector(rawValue: 0x99)))?.status == .invalidField)
    }

    @Test("Commands the controller doesn't have are refused and told as final")
    func unknown() throws {
        let rig = try Rig()
        for opcode in [0x0d, 0x10, 0x14, 0x80, 0xc0, 0xff] as [UInt8] {
            let completion = try #require(rig.admin(SubmissionEntry(opcode: opcode)))
            #expect(completion.status == .invalidOpcode && completion.status.doNotRetry)
        }
    }

    @Test("Queues can be made in any order of identifiers, shared, and deleted")
    func queueOrder() throws {
        let rig = try Rig()
        let address = rig.slot.allocate(8)
        #expect(
            rig.admin(.createCompletionQueue(5, entries: 8, address: address, vector: 16))?.status == .success
        )
        #expect(
            rig.admin(.createCompletionQueue(2, entries: 8, address: address, vector: nil))?.status
                == .success)
        for id in [9, 1, 16] as [UInt16] {
            let create = SubmissionEntry.createSubmissionQueue(
                id, entries: 4, address: address + 4096, completionQueueID: 5)
            #expect(rig.admin(create)?.status == .success)
        }
        #expect(rig.admin(.deleteCompletionQueue(5))?.status == .invalidQueueDeletion)
        for id in [1, 9, 16] as [UInt16] {
            #expect(rig.admin(.deleteSubmissionQueue(id))?.status == .success)
            #expect(rig.admin(.deleteSubmissionQueue(id))?.status == .invalidQueueID)
        }
        #expect(rig.admin(.deleteCompletionQueue(5))?.status == .success)
        #expect(rig.admin(.deleteCompletionQueue(2))?.status == .success)
    }

    @Test("Wrong queues get the status the specification names")
    func wrongQueues() throws {
        let rig = try Rig()
        let at = rig.slot.allocate(4)
        func completion(_ id: UInt16, entries: Int = 8, at address: UInt64, vector: UInt16? = 0) -> Status? {
            rig.admin(.createCompletionQueue(id, entries: entries, address: address, vector: vector))?.status
        }
        func submission(_ id: UInt16, entries: Int = 8, at address: UInt64, to: UInt16 = 1) -> Status? {
            rig.admin(
                .createSubmissionQueue(id, entries: entries, address: address, completionQueueID: to))?.status
        }
        #expect(completion(0, at: at) == .invalidQueueID)
        #expect(completion(17, at: at) == .invalidQueueID)
        #expect(completion(1, entries: 1, at: at) == .invalidQueueSize)
        #expect(completion(1, entries: 2049, at: at) == .invalidQueueSize)
        #expect(completion(1, at: at + 8) == .invalidPRPOffset)
        #expect(completion(1, at: at, vector: 17) == .invalidInterruptVector)
        #expect(submission(1, at: at) == .invalidCompletionQueue)
        var scattered = SubmissionEntry.createCompletionQueue(1, entries: 8, address: at, vector: nil)
        scattered.dword11 &= ~1
        #expect(rig.admin(scattered)?.status == .invalidField)
        #expect(completion(1, entries: 2048, at: at) == .success)
        #expect(completion(1, at: at) == .invalidQueueID)
        #expect(submission(0, at: at) == .invalidQueueID)
        #expect(submission(1, at: at, to: 0) == .invalidQueueID)
        #expect(submission(1, at: at, to: 200) == .invalidQueueID)
        #expect(submission(1, at: at, to: 2) == .invalidCompletionQueue)
        #expect(submission(1, entries: 1, at: at) == .invalidQueueSize)
        #expect(submission(1, at: at + 1024) == .invalidPRPOffset)
        #expect(submission(1, at: at) == .success)
        #expect(submission(1, at: at) == .invalidQueueID)
    }

    @Test("Queues need the entry sizes of CC")
    func entrySizes() throws {
        let rig = try Rig(bringUp: false)
        rig.bringUp(configuration: 1)
        let at = rig.slot.allocate()
        let create = SubmissionEntry.createCompletionQueue(1, entries: 8, address: at, vector: nil)
        #expect(rig.admin(create)?.status == .invalidQueueSize)
        rig.write(RegisterOffset.configuration, Rig.enabled)
        #expect(rig.admin(create)?.status == .success)
    }

    @Test("Features are read, changed, reset to their defaults and refused by the specification's rules")
    func features() throws {
        let rig = try Rig()
        func get(
            _ feature: Feature, _ select: FeatureSelect = .current, _ namespace: UInt32 = 0,
            _ value: UInt32 = 0
        )
            -> CompletionEntry?
        {
            rig.admin(.getFeatures(feature, select: select, namespaceID: namespace, dword11: value))
        }
        func set(_ feature: Feature, _ value: UInt32, _ namespace: UInt32 = 0, saves: Bool = false) -> Status?
        {
            rig.admin(.setFeatures(feature, value: value, namespaceID: namespace, saves: saves))?.status
        }
        #expect(get(.volatileWriteCache)?.result == 1)
        #expect(set(.volatileWriteCache, 0) == .success)
        #expect(get(.volatileWriteCache)?.result == 0)
        #expect(get(.volatileWriteCache, .defaultValue)?.result == 1)
        #expect(get(.volatileWriteCache, .capabilities)?.result == 4)
        #expect(get(.errorRecovery, .capabilities)?.result == 6)
        #expect(set(.volatileWriteCache, 1, saves: true) == .featureNotSaveable)
        #expect(set(.volatileWriteCache, 1, 1) == .featureNotNamespaceSpecific)
        #expect(set(.volatileWriteCache, 1, 99) == .invalidNamespace)

        #expect(rig.admin(.setFeatures(.numberOfQueues, value: 0x0003_0003))?.result == 0x000f_000f)
        #expect(set(.numberOfQueues, 0xffff) == .invalidField)
        #expect(set(.numberOfQueues, 0xffff_0000) == .invalidField)
        _ = rig.makeQueue(1)
        #expect(set(.numberOfQueues, 1) == .commandSequenceError)

        #expect(set(.errorRecovery, 7, 1) == .success)
        #expect(get(.errorRecovery, .current, 1)?.result == 7)
        #expect(set(.errorRecovery, 1 << 16, 1) == .invalidField)
        #expect(get(.errorRecovery, .current, 99)?.status == .invalidNamespace)
        #expect(set(.powerManagement, 1) == .invalidField)
        #expect(set(.interruptVectorConfiguration, 3 | 1 << 16) == .success)
        #expect(get(.interruptVectorConfiguration, .current, 0, 3)?.result == 0x1_0003)
        #expect(get(.interruptVectorConfiguration, .current, 0, 17)?.status == .invalidField)
        #expect(set(.temperatureThreshold, 1 << 20) == .success)
        #expect(set(.temperatureThreshold, 2 << 20) == .invalidField)
        #expect(set(.arbitration, 0x0102_0304) == .success)
        #expect(get(.arbitration)?.result == 0x0102_0304)
        #expect(set(Feature(rawValue: 0x55), 0) == .invalidField)
        #expect(get(Feature(rawValue: 0x55))?.status == .invalidField)
        var reserved = SubmissionEntry.getFeatures(.arbitration)
        reserved.dword10 |= 7 << 8
        #expect(rig.admin(reserved)?.status == .invalidField)

        rig.write(RegisterOffset.configuration, 0)
        rig.bringUp()
        #expect(get(.volatileWriteCache)?.result == 1 && get(.arbitration)?.result == 0)
    }

    @Test("Event requests wait for events, one event of a type at a time until its log page is read")
    func events() throws {
        let rig = try Rig()
        for _ in 0..<4 { rig.place(.asynchronousEventRequest(), on: rig.adminQueue) }
        rig.ring(rig.adminQueue)
        #expect(rig.reap(rig.adminQueue).isEmpty)
        #expect(rig.admin(.asynchronousEventRequest())?.status == .eventRequestLimitExceeded)

        rig.write(0x1000 + 8 * 16, 0)  // a queue that could be, but isn't
        let told = rig.reap(rig.adminQueue)
        #expect(told.map(\.result) == [AsynchronousEvent.invalidDoorbellRegister.rawValue])
        #expect(told.map(\.commandID) == [0] && told.allSatisfy(\.status.isSuccess))
        rig.write(0x1000, 32)  // beyond the admin queue
        #expect(rig.reap(rig.adminQueue).isEmpty)
        // Reading with RAE keeps the type masked; reading without lets the next one through.
        let keep = SubmissionEntry.getLogPage(.error, byteCount: 64, retainsEvent: true)
        #expect(rig.page(keep, count: 64).count == 64)
        #expect(rig.reap(rig.adminQueue).isEmpty)
        var clear = SubmissionEntry.getLogPage(.error, byteCount: 64)
        clear.setPRP(rig.slot.allocate())
        rig.place(clear, on: rig.adminQueue)
        rig.ring(rig.adminQueue)
        let next = rig.reap(rig.adminQueue)
        #expect(next.count == 2)
        #expect(next.last?.result == AsynchronousEvent.invalidDoorbellValue.rawValue)
    }

    @Test("Changes of namespaces and of the temperature are told to those who asked for it")
    func notices() throws {
        let rig = try Rig()
        func arm() {
            rig.place(.asynchronousEventRequest(), on: rig.adminQueue)
            rig.ring(rig.adminQueue)
        }
        arm()
        rig.controller.setNamespace(4, try NVMeNamespace(MemoryStore(byteCount: 4096)))
        rig.controller.temperature = 350
        #expect(rig.reap(rig.adminQueue).isEmpty)
        rig.controller.temperature = 300
        #expect(rig.admin(.setFeatures(.asynchronousEventConfiguration, value: 0x102))?.status == .success)
        rig.controller.setNamespace(5, try NVMeNamespace(MemoryStore(byteCount: 4096)))
        let told = rig.reap(rig.adminQueue)
        #expect(told.map(\.result) == [AsynchronousEvent.namespacesChanged.rawValue])
        let list = rig.page(.getLogPage(.changedNamespaces, byteCount: 4096))
        #expect(NamespaceList(list)?.identifiers == [4, 5])
        let again = rig.page(.getLogPage(.changedNamespaces, byteCount: 4096))
        #expect(NamespaceList(again)?.identifiers == [])
        arm()
        rig.controller.temperature = 350
        #expect(rig.reap(rig.adminQueue).map(\.result) == [AsynchronousEvent.temperature.rawValue])
        let smart = try #require(SMARTLog(rig.page(.getLogPage(.smart, byteCount: 512), count: 512)))
        #expect(smart.temperature == 350 && smart.criticalWarning == 2)
    }

    @Test("Abort ends a waiting event request, and says so when there is nothing to end")
    func abort() throws {
        let rig = try Rig()
        let waiting = rig.place(.asynchronousEventRequest(), on: rig.adminQueue)
        rig.ring(rig.adminQueue)
        rig.place(.abort(commandID: waiting, submissionQueueID: 0), on: rig.adminQueue)
        rig.ring(rig.adminQueue)
        let ended = rig.reap(rig.adminQueue)
        #expect(ended.count == 2)
        #expect(ended.first?.result == 0)
        #expect(ended.last?.commandID == waiting && ended.last?.status == .abortRequested)
        #expect(rig.admin(.abort(commandID: 999, submissionQueueID: 3))?.result == 1)
    }

    @Test("An identifier in flight can't be used twice")
    func conflict() throws {
        let rig = try Rig()
        rig.place(.asynchronousEventRequest(), on: rig.adminQueue)
        rig.adminQueue.nextID = 0
        rig.place(.identify(.controller), on: rig.adminQueue)
        rig.ring(rig.adminQueue)
        #expect(rig.reap(rig.adminQueue).map(\.status) == [.commandIDConflict])
    }

    @Test("Log pages can be read whole, in part and from an offset")
    func logPages() throws {
        let rig = try Rig()
        _ = rig.admin(SubmissionEntry(opcode: 0xfe))
        _ = rig.admin(.identify(.namespace, namespaceID: 99))
        let log = rig.page(.getLogPage(.error, byteCount: 4096))
        let newest = try #require(ErrorLogEntry([UInt8](log[0..<64])))
        #expect(newest.errorCount == 2 && newest.status == .invalidNamespace && newest.namespaceID == 99)
        let older = rig.page(.getLogPage(.error, byteCount: 64, offset: 64), count: 64)
        #expect(ErrorLogEntry(older)?.status == .invalidOpcode)
        let firmware = try #require(
            FirmwareSlotLog(rig.page(.getLogPage(.firmwareSlot, byteCount: 512), count: 512)))
        #expect(firmware.activeSlot == 1 && firmware.revision(slot: 1) == "1.0")
        let effects = try #require(CommandEffectsLog(rig.page(.getLogPage(.commandEffects, byteCount: 4096))))
        #expect(effects[io: .write] == [.supported, .changesBlocks] && effects[admin: .formatNVM] == [])
        #expect(rig.admin(.getLogPage(LogPage(rawValue: 0x70), byteCount: 512))?.status == .invalidLogPage)
        #expect(rig.admin(.getLogPage(.smart, byteCount: 512, offset: 2))?.status == .invalidField)
        #expect(rig.admin(.getLogPage(.smart, byteCount: 512, offset: 516))?.status == .invalidField)
        #expect(rig.admin(.getLogPage(.smart, namespaceID: 1, byteCount: 512))?.status == .invalidField)
        #expect(rig.admin(.getLogPage(.smart, byteCount: 1 << 30))?.status == .invalidField)
    }

    @Test("Admin data in an SGL or in memory that can't be reached is refused")
    func adminData() throws {
        let rig = try Rig()
        var sgl = SubmissionEntry.identify(.controller)
        sgl.sgl = SGLDescriptor(.dataBlock, address: rig.slot.allocate(), length: 4096)
        #expect(rig.admin(sgl)?.status == .invalidField)
        var lost = SubmissionEntry.identify(.controller)
        lost.setPRP(0xdead_0000_0000)
        let completion = try #require(rig.admin(lost))
        #expect(completion.status == .dataTransferError && !completion.status.doNotRetry)
        #expect(completion.status.hasMore)
        var crooked = SubmissionEntry.identify(.controller)
        crooked.setPRP(rig.slot.allocate() + 2)
        #expect(rig.admin(crooked)?.status == .invalidPRPOffset)
        let split = rig.slot.allocate(3)
        var two = SubmissionEntry.identify(.controller)
        two.setPRP(split + 2048, split + 8192)
        #expect(rig.admin(two)?.status == .success)
        #expect(rig.slot.bytes(at: split + 2048 + 4, count: 5) == [0x53, 0x57, 0x49, 0x46, 0x54])
        #expect(rig.slot.load(UInt8.self, at: split + 4096) == 0)
    }
}
