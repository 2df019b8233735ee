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
        case .bus: perform(.bus)
        case .deviceSpecific, .firmware, .cxlBus: break
        }
        restore(saved)
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
