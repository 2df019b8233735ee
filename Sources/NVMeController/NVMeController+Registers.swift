import DeviceModel
import NVMe

extension NVMeController {
    /// The version the controller follows, in VS and in Identify.
    static let version = Version.v1_4

    /// The 32-bit register at a multiple of four; 0 where none is. Doorbells read as 0.
    func registerValue(_ offset: UInt64) -> UInt32 {
        switch offset {
        case RegisterOffset.capabilities: UInt32(truncatingIfNeeded: capabilities.rawValue)
        case RegisterOffset.capabilities + 4: UInt32(truncatingIfNeeded: capabilities.rawValue >> 32)
        case RegisterOffset.version: NVMeController.version.rawValue
        case RegisterOffset.interruptMaskSet, RegisterOffset.interruptMaskClear: interruptMask
        case RegisterOffset.configuration: configuration.rawValue
        case RegisterOffset.status: status.rawValue
        case RegisterOffset.adminQueueAttributes: adminAttributes.rawValue
        case RegisterOffset.adminSubmissionQueue: UInt32(truncatingIfNeeded: adminSubmissionAddress)
        case RegisterOffset.adminSubmissionQueue + 4: UInt32(truncatingIfNeeded: adminSubmissionAddress >> 32)
        case RegisterOffset.adminCompletionQueue: UInt32(truncatingIfNeeded: adminCompletionAddress)
        case RegisterOffset.adminCompletionQueue + 4: UInt32(truncatingIfNeeded: adminCompletionAddress >> 32)
        default: 0
        }
    }

    /// Writes the 32-bit register at a multiple of four.
    func setRegister(_ offset: UInt64, _ value: UInt32) {
        if offset >= RegisterOffset.doorbells {
            ringDoorbell(offset, value)
            return
        }
        switch offset {
        case RegisterOffset.interruptMaskSet:
            interruptMask |= value
            updateLine()
        case RegisterOffset.interruptMaskClear:
            interruptMask &= ~value
            updateLine()
        case RegisterOffset.configuration:
            setConfiguration(value)
        // The admin queue's registers belong to the controller while it is enabled.
        case RegisterOffset.adminQueueAttributes where !configuration.isEnabled:
            adminAttributes.rawValue = value & AdminQueueAttributes.writableMask
        case RegisterOffset.adminSubmissionQueue where !configuration.isEnabled:
            adminSubmissionAddress = adminSubmissionAddress & ~0xffff_ffff | UInt64(value)
        case RegisterOffset.adminSubmissionQueue + 4 where !configuration.isEnabled:
            adminSubmissionAddress = adminSubmissionAddress & 0xffff_ffff | UInt64(value) << 32
        case RegisterOffset.adminCompletionQueue where !configuration.isEnabled:
            adminCompletionAddress = adminCompletionAddress & ~0xffff_ffff | UInt64(value)
        case RegisterOffset.adminCompletionQueue + 4 where !configuration.isEnabled:
            adminCompletionAddress = adminCompletionAddress & 0xffff_ffff | UInt64(value) << 32
        default:
            break
        }
    }

    private func setConfiguration(_ value: UInt32) {
        let old = configuration
        var new = ControllerConfiguration(rawValue: value & ControllerConfiguration.writableMask)
        if old.isEnabled && new.isEnabled {
            // CSS, MPS and AMS may only change while the controller is disabled.
            new.commandSet = old.commandSet
            new.pageSizeExponent = old.pageSizeExponent
            new.arbitrationMechanism = old.arbitrationMechanism
        }
        configuration = new
        if new.isEnabled && !old.isEnabled {
            start()
        } else if !new.isEnabled && old.isEnabled {
            stop()
            status = ControllerStatus(rawValue: 0)
        }
        switch new.shutdownNotification {
        case .normal, .abrupt: if status.shutdown == .normal { shutDown() }
        case .none, .reserved: break
        }
    }

    /// CC.EN from 0 to 1: takes up the admin queues, or says by CSTS.CFS that it can't.
    private func start() {
        status = ControllerStatus(rawValue: 0)
        let page = UInt64(configuration.pageSize)
        let isAligned = (adminSubmissionAddress | adminCompletionAddress) & (page - 1) == 0
        guard configuration.pageSizeExponent >= capabilities.minimumPageSizeExponent,
            configuration.pageSizeExponent <= capabilities.maximumPageSizeExponent,
            configuration.commandSet == 0, configuration.arbitrationMechanism == 0,
            adminAttributes.submissionEntries >= 2, adminAttributes.completionEntries >= 2, isAligned
        else {
            fail()
            return
        }
        pageRules = PRPRules(pageSizeExponent: configuration.pageSizeExponent)
        let completion = CompletionQueue(
            id: 0, address: adminCompletionAddress, entries: adminAttributes.completionEntries, vector: 0)
        completionQueues[0] = completion
        submissionQueues[0] = SubmissionQueue(
            id: 0, address: adminSubmissionAddress, entries: adminAttributes.submissionEntries,
            completions: completion)
        completion.submissionQueueCount = 1
        status.isReady = true
    }

    /// The end of a working time: queues, parked commands and features are forgotten, nothing is completed.
    func stop() {
        for index in submissionQueues.indices { submissionQueues[index] = nil }
        for index in completionQueues.indices { completionQueues[index] = nil }
        shadow = nil
        events = EventState()
        features = FeatureValues(settings)
        interruptMask = 0
        updateLine()
    }

    /// CC.SHN: everything written becomes safe; after that the controller takes no commands until it is reset.
    private func shutDown() {
        if synchronizeAll() != .success { status.isFatal = true }
        status.shutdown = .complete
    }

    /// CSTS.CFS: something is wrong that no completion can tell. Only a reset helps.
    func fail() { status.isFatal = true }

    /// Whether the controller is one that takes commands, and doorbells.
    var isWorking: Bool { status.isReady && !status.isFatal && status.shutdown == .normal }

    /// Whether commands are taken now: memory is reached for nothing else.
    var takesCommands: Bool { isWorking && !isFrozen && !sparesPeers }

    /// Drives the interrupt line, for drivers that use no messages: it is up while a queue that interrupts, and
    /// isn't masked, has completions that haven't been taken.
    func updateLine() {
        var waiting: UInt32 = 0
        if !function.isMessageSignalled {
            for case let queue? in completionQueues where queue.vector >= 0 && queue.head != queue.tail {
                waiting |= 1 << UInt32(min(queue.vector, 31))
            }
        }
        let asserted = waiting & ~interruptMask != 0
        if asserted != function.isLineAsserted { function.setLine(asserted) }
    }
}
