import LinuxSystem
import VFIOABI

/// The device features of vfio-pci itself (kernel.md D.11): low power.
extension PCIPassthrough {
    /// Carries out a feature after `argsz` and `flags` were checked. Takes the lock.
    /// - Parameters:
    ///   - payload: the address of the data, `room` bytes long.
    /// - Returns: whether it is one of them.
    package func lowPowerFeature(
        _ feature: Feature, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Bool {
        switch feature {
        case .lowPowerEntry:
            guard try operation.isWanted(isProbe, room, needs: 0) else { return true }
            try allowSleep(tellingWakeUp: nil)
        case .lowPowerEntryWithWakeup:
            let entry = LowPowerEntryWithWakeup()
            guard try operation.isWanted(isProbe, room, needs: UInt32(MemoryLayout.size(ofValue: entry)))
            else { return true }
            let number = try UserMemory.load(entry, from: payload).wakeupEventFD
            guard number >= 0 else { throw .invalid }
            try allowSleep(tellingWakeUp: PCITrigger(number))
        case .lowPowerExit:
            guard try operation.isWanted(isProbe, room, needs: 0) else { return true }
            lock.lock()
            defer { lock.unlock() }
            try forbidSleep()
        default: return false
        }
        return true
    }

    private func allowSleep(tellingWakeUp trigger: PCITrigger?) throws(Errno) {
        guard (lock.withLock { enterLowPower(tellingWakeUp: trigger) }) else { throw .invalid }
    }
}
