import DeviceModel
import IOVASpace
import NVMe

// Commands end inside the register write that submits them, so none is under way when the state is looked at: what
// was submitted and not taken waits in the driver's memory, and the queues say where.
extension NVMeController: MigratableDevice {
    /// Itself.
    public var migratable: (any MigratableDevice)? { self }

    /// Stopped and copied, with a description before; keeps away from other devices on request.
    public var migrationCapabilities: MigrationCapabilities { [.stopCopy, .peerToPeer, .preCopy] }

    /// The first.
    public var stateVersion: UInt16 { 1 }

    /// Registers, queues, features, events and logs. The blocks are not among them: the far side has to reach the
    /// same image, or a copy of it.
    public var stateByteLimit: Int {
        512 + 64 * (settings.queuePairs + 1) + 8 * settings.namespaceLimit
            + ErrorLog.capacity * ErrorLogEntry.byteCount
    }

    /// Everything that Identify and the registers tell a driver for good, the shape of the namespaces included.
    public func describe(to writer: inout StateWriter) {
        writer.append(counted: Array(settings.serialNumber.utf8))
        writer.append(counted: Array(settings.modelNumber.utf8))
        writer.append(counted: Array(settings.firmwareRevision.utf8))
        writer.append(UInt16(settings.queuePairs))
        writer.append(UInt32(settings.queueEntries))
        writer.append(settings.maximumTransferExponent)
        writer.append(settings.isWriteCacheEnabled)
        writer.append(settings.hasDoorbellBuffers)
        writer.append(settings.hasSGLs)
        writer.append(UInt16(namespaces.count))
        for case let (index, namespace?) in zip(namespaces.indices, namespaces) {
            writer.append(UInt16(index))
            writer.append(UInt32(namespace.blockSize))
            writer.append(namespace.blockCount)
            writer.append(namespace.store.isReadOnly)
            writer.append(counted: namespace.uuid ?? [])
        }
    }

    // MARK: standing still

    /// Takes no commands until ``thaw()``.
    public func freeze() { isFrozen = true }

    /// Takes commands again, those first that waited.
    public func thaw() {
        isFrozen = false
        catchUp()
    }

    /// Takes no commands while other devices are to be spared: any address in one might be another device's.
    /// Doorbells are remembered.
    public func sparePeers(_ spared: Bool) {
        sparesPeers = spared
        catchUp()
    }

    /// Takes the commands that were submitted meanwhile.
    private func catchUp() {
        guard takesCommands else { return }
        // By place: what the admin queue deletes is gone.
        for place in submissionQueues.indices {
            guard let queue = submissionQueues[place] else { continue }
            if queue.wasRung { refreshTail(queue) }
            process(queue)
        }
        deliverEvents()
        updateLine()
    }

    // MARK: the state

    /// Writes everything to safety, so that the far side finds it in the image, and then the state. If the image
    /// refuses, the controller has failed, on the far side too: what it told its driver wasn't true.
    public func saveState(to writer: inout StateWriter) {
        if !synchronizeAll().isSuccess { fail() }
        writer.append(configuration.rawValue)
        writer.append(status.rawValue)
        writer.append(interruptMask)
        writer.append(adminAttributes.rawValue)
        writer.append(adminSubmissionAddress)
        writer.append(adminCompletionAddress)
        writer.append(UInt16(completionQueues.count(where: { $0 != nil })))
        for case let queue? in completionQueues { queue.save(to: &writer) }
        writer.append(UInt16(submissionQueues.count(where: { $0 != nil })))
        for case let queue? in submissionQueues { queue.save(to: &writer) }
        writer.append(shadow != nil)
        if let shadow {
            writer.append(shadow.doorbells.rawValue)
            writer.append(shadow.eventIndexes.rawValue)
        }
        features.save(to: &writer)
        events.save(to: &writer)
        errorLog.save(to: &writer)
        health.save(to: &writer)
        writer.append(UInt16(changedNamespaces.count))
        for namespace in changedNamespaces { writer.append(namespace) }
    }

    /// Takes over registers, queues, features, events and logs.
    public func loadState(from reader: inout StateReader) throws(MigrationError) {
        let configuration = ControllerConfiguration(rawValue: try reader.next(UInt32.self))
        let status = ControllerStatus(rawValue: try reader.next(UInt32.self))
        let interruptMask = try reader.next(UInt32.self)
        let adminAttributes = AdminQueueAttributes(rawValue: try reader.next(UInt32.self))
        let adminSubmissionAddress = try reader.next(UInt64.self)
        let adminCompletionAddress = try reader.next(UInt64.self)
        guard configuration.rawValue & ~ControllerConfiguration.writableMask == 0,
            adminAttributes.rawValue & ~AdminQueueAttributes.writableMask == 0,
            // RDY, CFS and SHST, and a ready controller is one that is enabled.
            status.rawValue & ~0xf == 0, configuration.isEnabled || !status.isReady,
            !status.isReady || configuration.pageSizeExponent <= capabilities.maximumPageSizeExponent
        else { throw .malformed }
        let pageRules = PRPRules(pageSizeExponent: configuration.pageSizeExponent)
        let queues = try SavedQueues(&reader, settings, pageRules, isReady: status.isReady)
        var shadow: ShadowDoorbells?
        if try reader.nextFlag() {
            guard settings.hasDoorbellBuffers, status.isReady else { throw .malformed }
            let doorbells = try reader.next(UInt64.self)
            let eventIndexes = try reader.next(UInt64.self)
            guard pageRules.isValidFurther(doorbells), pageRules.isValidFurther(eventIndexes) else {
                throw .malformed
            }
            shadow = ShadowDoorbells(doorbells: IOVA(doorbells), eventIndexes: IOVA(eventIndexes))
        }
        let features = try FeatureValues(&reader, settings)
        let events = try EventState(&reader)
        let errorLog = try ErrorLog(&reader)
        let health = try Health(&reader)
        let changed = try changedNamespaces(&reader)
        try reader.finish()

        self.configuration = configuration
        self.status = status
        self.interruptMask = interruptMask
        self.adminAttributes = adminAttributes
        self.adminSubmissionAddress = adminSubmissionAddress
        self.adminCompletionAddress = adminCompletionAddress
        self.pageRules = pageRules
        completionQueues = queues.completion
        submissionQueues = queues.submission
        self.shadow = shadow
        self.features = features
        self.events = events
        self.errorLog = errorLog
        self.health = health
        changedNamespaces = changed
    }

    private func changedNamespaces(_ reader: inout StateReader) throws(MigrationError) -> [UInt32] {
        var list: [UInt32] = []
        for _ in 0..<(try reader.next(UInt16.self)) {
            let identifier = try reader.next(UInt32.self)
            guard identifier > list.last ?? 0, identifier <= UInt32(settings.namespaceLimit) else {
                throw .malformed
            }
            list.append(identifier)
        }
        return list
    }
}
