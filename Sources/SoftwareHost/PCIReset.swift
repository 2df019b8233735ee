import DeviceModel
import LinuxSystem

/// Resetting the device. All of it with the device lock held, unless said otherwise.
extension PCIBusDriver {
    /// Resets and puts back what a kernel puts back: the registers it knows, and the interrupts in use. What the
    /// user sees of configuration space isn't touched, and mappings show the BARs again afterwards.
    func reset(by method: PCIResetMethod) {
        typealias ID = PCICapabilityShape.Standard
        showMappings(false)
        setPowerState(0)
        let saved = PCISavedState(configuration)
        // Before it is reset a device is silenced: no DMA, no answers, no line.
        configuration.write(
            UInt32(PCIConfiguration.Command.interruptDisable), at: PCIConfiguration.Register.command, width: 2
        )
        switch method {
        case .functionLevel:
            guard let at = configuration.capability(ID.express) else { break }
            perform(
                configuration.store(configuration.value(at: at + 8, width: 2) | 0x8000, at: at + 8, width: 2))
        case .advancedFeatures:
            guard let at = configuration.capability(ID.advancedFeatures) else { break }
            perform(configuration.store(1, at: at + 4, width: 1))
        case .power:
            guard let at = configuration.capability(ID.powerManagement) else { break }
            let control = configuration.value(at: at + 4, width: 2) & 0x7ffc
            perform(configuration.store(control | 3, at: at + 4, width: 2))
            perform(configuration.store(control, at: at + 4, width: 2))
        case .bus: model.performReset(.bus)
        case .deviceSpecific, .firmware, .cxlBus: break
        }
        restore(saved)
        updateMemory()
    }

    /// Puts registers back, and the messages in use with them.
    func restore(_ saved: PCISavedState) {
        saved.restore(to: configuration)
        restoreMessages()
    }

    /// Does the reset that a write to configuration space asked for.
    func perform(_ asked: ResetKind?) {
        if let asked { model.performReset(asked) }
    }

    /// Changes the power state, as a kernel does: states that don't exist are refused, and what leaving D3hot
    /// loses is put back.
    func setPowerState(_ state: UInt32) {
        guard let at = configuration.capability(PCICapabilityShape.Standard.powerManagement) else { return }
        let control = configuration.value(at: at + 4, width: 2)
        guard control & 3 != state else { return }
        // No function sleeps deeper than those that depend on it.
        guard state == 0 || virtualFunctionCount == 0 else { return }
        if state == 3 {
            savedForWake = PCISavedState(configuration)
            showMappings(false)
        }
        // PME_Status would be cleared by writing 1 to it.
        let asked = configuration.store(control & 0x7ffc | state, at: at + 4, width: 2)
        perform(asked)
        if asked != nil, let saved = savedForWake { restore(saved) }
        if configuration.powerState != 3 { savedForWake = nil }
        updateMemory()
    }

    /// `VFIO_DEVICE_RESET`. Takes the lock.
    /// - Throws: `EINVAL` if no reset worked when the device was opened; `ENOTTY` if there has been no way left
    ///   since; `EAGAIN` if somebody else is resetting the device.
    func resetOnRequest() throws(Errno) -> Int32 {
        lock.lock()
        defer { lock.unlock() }
        guard canReset else { throw .invalid }
        // Whatever comes of it, a user's D3hot ends.
        setPowerState(0)
        try tryReset()
        return 0
    }
}
