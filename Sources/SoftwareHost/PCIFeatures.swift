import LinuxSystem

/// The device features of vfio-pci (kernel.md D.11): low power.
extension PCIBusDriver {
    private enum Feature {
        static let lowPowerEntry: UInt32 = 3
        static let lowPowerEntryWithWakeup: UInt32 = 4
        static let lowPowerExit: UInt32 = 5
    }

    func feature(
        _ id: UInt32, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32 {
        lock.lock()
        defer { lock.unlock() }
        wake()
        switch id {
        case Feature.lowPowerEntry:
            guard try isWanted(operation, isProbe, room, needs: 0) else { return 0 }
            guard case .off = lowPower else { throw .invalid }
            lowPower = .entered
            showMappings(false)
        case Feature.lowPowerEntryWithWakeup:
            guard try isWanted(operation, isProbe, room, needs: 8) else { return 0 }
            // An eventfd's number and a word that isn't looked at.
            let number = try UserMemory.load(InlineArray<2, Int32>(repeating: 0), from: payload)[0]
            guard number >= 0 else { throw .invalid }
            let trigger = try PCITrigger(number)
            guard case .off = lowPower else { throw .invalid }
            lowPower = .untilWoken(trigger)
            showMappings(false)
        case Feature.lowPowerExit:
            guard try isWanted(operation, isProbe, room, needs: 0) else { return 0 }
            lowPower = .off
            showMappings(mappingsAreShown)
        default: throw .noSuchRequest
        }
        return 0
    }

    /// Checks a feature that can only be SET.
    /// - Returns: whether it is to be carried out, and not only probed.
    private func isWanted(
        _ operation: FeatureOperation, _ isProbe: Bool, _ room: UInt32, needs byteCount: UInt32
    ) throws(Errno) -> Bool {
        guard operation.isSubset(of: .set) else { throw .invalid }
        if isProbe { return false }
        guard operation == .set, room >= byteCount else { throw .invalid }
        return true
    }

    /// Any access wakes a sleeping device; a user who asked for it is told, and sleep is over then. Here a
    /// device falls asleep at once. The device lock is held.
    @inline(__always)
    func wake() {
        if wakesOnAccess { endSleep() }
    }

    @inline(never)
    private func endSleep() {
        guard case .untilWoken(let trigger) = lowPower else { return }
        lowPower = .off
        trigger.signal()
        showMappings(mappingsAreShown)
    }
}
