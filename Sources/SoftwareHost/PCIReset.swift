import DeviceModel
import LinuxSystem

/// The ways to reset a function, in the order in which they are tried (kernel.md D.9).
enum PCIResetMethod: Equatable {
    /// Function level reset by the PCI Express capability.
    case express
    /// Function level reset by the Advanced Features capability.
    case advancedFeatures
    /// To D3hot and back, where that loses the state.
    case power
    /// The bus that the function is alone on.
    case bus
}

/// Resetting the device. All of it with the device lock held, unless said otherwise.
extension PCIBusDriver {
    /// The first way that the function offers; nil if there is none.
    var resetMethod: PCIResetMethod? {
        typealias ID = PCICapabilityShape.Standard
        if let at = configuration.capability(ID.express),
            configuration.value(at: at + 4, width: 4) & 1 << 28 != 0
        {
            return .express
        }
        if let at = configuration.capability(ID.advancedFeatures),
            configuration.value(at: at + 3, width: 1) & 3 == 3
        {
            return .advancedFeatures
        }
        if let at = configuration.capability(ID.powerManagement),
            configuration.value(at: at + 4, width: 2) & 8 == 0
        {
            return .power
        }
        return isAloneOnBus ? .bus : nil
    }

    /// Resets by the first way that there is.
    /// - Returns: whether there is one.
    @discardableResult
    func resetFunction() -> Bool {
        guard let method = resetMethod else { return false }
        reset(by: method)
        return true
    }

    /// Resets and puts back what a kernel puts back: the registers it knows, and the interrupts in use.
    func reset(by method: PCIResetMethod) {
        typealias ID = PCICapabilityShape.Standard
        showMappings(false)
        setPowerState(0)
        let saved = PCISavedState(configuration)
        switch method {
        case .express:
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
    func resetOnRequest() throws(Errno) -> Int32 {
        lock.lock()
        defer { lock.unlock() }
        wake()
        guard canReset else { throw .invalid }
        guard resetFunction() else { throw .noSuchRequest }
        return 0
    }

    /// `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`: a function on the root bus has neither slot nor bus to reset.
    ///
    /// Below a bridge the answer names groups and handles, which only the core knows; it answers that itself.
    func describeHotReset(_ argument: HostAddress) throws(Errno) -> Int32 {
        let argsz = try UserMemory.load(InlineArray<3, UInt32>(repeating: 0), from: argument)[0]
        guard argsz >= 12 else { throw .invalid }
        throw isAloneOnBus ? .noSuchRequest : .noDevice
    }

    /// `VFIO_DEVICE_PCI_HOT_RESET` on a handle that was opened through its group; see
    /// ``describeHotReset(_:)``.
    func hotReset(_ argument: HostAddress) throws(Errno) -> Int32 {
        let words = try UserMemory.load(InlineArray<3, UInt32>(repeating: 0), from: argument)
        guard words[0] >= 12, words[1] == 0, words[2] != 0 else { throw .invalid }
        throw isAloneOnBus ? .noSuchRequest : .noDevice
    }
}
