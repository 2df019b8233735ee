import IOVASpace
import LinuxSystem
import NVMe
import Synchronization
import VFIO

// From a device that may be in any state to a controller that takes commands, and back (NVMe Base 2.0, 3.5 and
// 3.6). The lock is held in all of this, but in `init` and `deinit` parts, where nobody else is there.

extension ControllerCore {
    /// How long the controller may take to become ready or not ready.
    static func readyTime(
        _ registers: ControllerRegisters, _ capabilities: ControllerCapabilities
    ) throws(NVMeError) -> Int {
        var milliseconds = capabilities.timeoutMilliseconds
        // CAP.CRMS (NVMe 2.0): CRTO tells the times, which may be longer than CAP.TO can say.
        if (capabilities.rawValue >> 59) & 3 != 0 {
            let times = try registers.load32(RegisterOffset.readyTimeouts, "enable")
            milliseconds = max(milliseconds, 500 * Int(max(times & 0xffff, times >> 16)))
        }
        // A zero is told by some; nothing real is faster than this.
        return max(milliseconds, 1000)
    }

    /// Stops the controller whatever state it is in; resets the device if it doesn't listen.
    static func stop(
        _ registers: ControllerRegisters, _ capabilities: ControllerCapabilities, _ device: Device
    ) throws(NVMeError) {
        let milliseconds = try readyTime(registers, capabilities)
        do throws(NVMeError) {
            try registers.disable(milliseconds: milliseconds, "disable")
        } catch {
            guard case .timedOut = error.reason, device.canReset else { throw error }
            try throughVFIO("reset", registers.name) { () throws(VFIOError) in
                try device.reset()
                try device.setMemoryEnabled(true)
            }
            try registers.disable(milliseconds: milliseconds, "disable")
        }
    }

    /// Brings a stopped controller to where it takes commands.
    func start(_ operation: StaticString) throws(NVMeError) {
        try throughVFIO(operation, name) { () throws(VFIOError) in try device.setBusMaster(true) }
        // Running from here on as far as the admin queue goes; a failure half-way stops it again.
        do throws(NVMeError) {
            try enable()
            state = .running
            if interrupts == nil {
                interrupts = try InterruptSource.enable(
                    on: device, options.interrupts, wanted: 1 + max(1, options.queuePairCount))
            }
            try identifyAll()
            try askForQueues()
            try askForEvents()
            if options.usesShadowDoorbells, identity.supportsDoorbellBuffer { try shareDoorbells() }
        } catch {
            stopNow()
            throw error
        }
    }

    private func enable() throws(NVMeError) {
        let operation: StaticString = "enable"
        admin.reset()
        let shape = admin.shape
        try registers.store32(
            RegisterOffset.adminQueueAttributes,
            AdminQueueAttributes(
                submissionEntries: shape.entryCount, completionEntries: shape.entryCount
            ).rawValue, operation)
        try registers.store64(
            RegisterOffset.adminSubmissionQueue, adminMemory.iova.rawValue, operation)
        try registers.store64(
            RegisterOffset.adminCompletionQueue,
            adminMemory.iova.rawValue + UInt64(shape.completionOffset), operation)
        var configuration = ControllerConfiguration(rawValue: 0)
        if capabilities.supportsNVMCommandSet || capabilities.commandSets == 0 {
            // A controller that tells no command set at all is one from before there were several.
            configuration.commandSet = 0
        } else if capabilities.supportsCommandSetProfiles {
            configuration.commandSet = 6
        } else {
            throw failure(.unsupported(.nvmCommandSet), "\(operation)")
        }
        configuration.pageSizeExponent = pageExponent
        configuration.submissionEntrySizeExponent = SubmissionEntry.sizeExponent
        configuration.completionEntrySizeExponent = CompletionEntry.sizeExponent
        configuration.isEnabled = true
        // The queue memory was zeroed; the controller may look at it from here on.
        Fence.beforeDoorbell()
        try registers.setConfiguration(configuration, operation)
        let name = name
        try registers.wait(
            milliseconds: try Self.readyTime(registers, capabilities), operation
        ) { (status) throws(NVMeError) in
            if status.isFatal { throw NVMeError(.controllerFatal, "\(operation)", on: name) }
            return status.isReady
        }
    }

    /// Asks for I/O queues and takes note of how many there are.
    private func askForQueues() throws(NVMeError) {
        let wanted = min(65535, max(1, options.queuePairCount))
        let answer = try execute(
            .setFeatures(
                .numberOfQueues, value: QueueCounts(submission: wanted, completion: wanted).rawValue),
            "ask for I/O queues")
        let counts = QueueCounts(rawValue: answer.result)
        // The controller may grant more than was asked for; more than that isn't used.
        let granted = min(wanted, counts.submission, counts.completion)
        usedQueues = [true] + Array(repeating: false, count: granted)
    }

    /// Gives the controller the memory for shadow doorbells.
    private func shareDoorbells() throws(NVMeError) {
        adminMemory.window.zero(at: shadowOffset, byteCount: 2 * rules.pageSize)
        let iova = adminMemory.iova.rawValue + UInt64(shadowOffset)
        do throws(NVMeError) {
            _ = try execute(
                .doorbellBufferConfig(shadow: iova, eventIndexes: iova + UInt64(rules.pageSize)),
                "share doorbells")
            usesShadowDoorbells = true
        } catch {
            // An offer that isn't kept costs speed only.
            guard error.status != nil else { throw error }
        }
    }

    /// Stops the controller at once, without telling it to save anything: after a failure. No DMA after that.
    func stopNow() {
        guard state != .closed else { return }
        state = .stopped
        forgetQueues()
        do throws(NVMeError) {
            try Self.stop(registers, capabilities, device)
        } catch {
            // A controller that can't be reached may still write to memory; without bus mastering it can't.
            // Should this fail, too, the device is gone.
            try? device.setBusMaster(false)
        }
    }

    /// After the controller has lost its queues: all that is in flight is lost, too.
    private func forgetQueues() {
        epoch.add(1, ordering: .sequentiallyConsistent)
        while admin.cancelNext() != nil {}
        usesShadowDoorbells = false
    }

    /// Stops the controller and starts it again.
    func restart(_ operation: StaticString, throughDevice: Bool) throws(NVMeError) {
        guard state != .closed else { throw failure(.closed, "\(operation)") }
        state = .stopped
        forgetQueues()
        if throughDevice {
            try throughVFIO(operation, name) { () throws(VFIOError) in
                try device.reset()
                try device.setMemoryEnabled(true)
            }
        }
        try Self.stop(registers, capabilities, device)
        try start(operation)
    }

    /// Tells the controller to bring everything to a safe place, waits until it has, and stops it.
    func shutDown(_ operation: StaticString) throws(NVMeError) {
        guard state != .closed else { return }
        let wasRunning = state == .running
        state = .closed
        defer {
            forgetQueues()
            interrupts = nil
        }
        do throws(NVMeError) {
            if wasRunning {
                var configuration = try registers.configuration(operation)
                guard configuration.rawValue != .max else { throw failure(.deviceGone, "\(operation)") }
                configuration.shutdownNotification = .normal
                try registers.setConfiguration(configuration, operation)
                // RTD3E tells microseconds; controllers that don't tell get what is usual.
                let told = Int(identity.entryLatency / 1000)
                try registers.wait(milliseconds: max(5000, told), operation) { (status) throws(NVMeError) in
                    status.shutdown == .complete
                }
            }
            try Self.stop(registers, capabilities, device)
            try throughVFIO(operation, name) { () throws(VFIOError) in try device.setBusMaster(false) }
        } catch {
            // No DMA into memory that is about to be freed, whatever went wrong.
            try? Self.stop(registers, capabilities, device)
            try? device.setBusMaster(false)
            throw error
        }
    }
}
