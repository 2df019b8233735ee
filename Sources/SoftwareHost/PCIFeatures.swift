import DeviceModel
import LinuxSystem
import VFIOABI

/// The device features of vfio-pci (kernel.md D.11): low power.
extension PCIBusDriver {
    func feature(
        _ id: UInt32, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32 {
        switch Feature(rawValue: UInt16(truncatingIfNeeded: id)) {
        case .lowPowerEntry:
            guard try operation.isWanted(isProbe, room, needs: 0) else { return 0 }
            try allowSleep(tellingWakeUp: nil)
        case .lowPowerEntryWithWakeup:
            let entry = LowPowerEntryWithWakeup()
            guard try operation.isWanted(isProbe, room, needs: UInt32(MemoryLayout.size(ofValue: entry)))
            else { return 0 }
            let number = try UserMemory.load(entry, from: payload).wakeupEventFD
            guard number >= 0 else { throw .invalid }
            try allowSleep(tellingWakeUp: PCITrigger(number))
        case .lowPowerExit:
            guard try operation.isWanted(isProbe, room, needs: 0) else { return 0 }
            lock.lock()
            leaveLowPower()
            lock.unlock()
        // The only feature of migration that a device without it refuses in this way.
        case .migrationPrecopyInfoV2: throw .invalid
        default: throw .noSuchRequest
        }
        return 0
    }

    private func allowSleep(tellingWakeUp trigger: PCITrigger?) throws(Errno) {
        lock.lock()
        defer { lock.unlock() }
        try enterLowPower(tellingWakeUp: trigger)
    }
}

extension FeatureOperation {
    /// Checks the operation of a feature that takes only SET (Linux's `vfio_check_feature`).
    /// - Parameters:
    ///   - room: how much of the user's structure is left for data, in bytes.
    ///   - byteCount: how much the feature takes.
    /// - Returns: whether it is to be carried out, and not only probed.
    /// - Throws: `EINVAL`
    func isWanted(_ isProbe: Bool, _ room: UInt32, needs byteCount: UInt32) throws(Errno) -> Bool {
        guard isSubset(of: .set) else { throw .invalid }
        if isProbe { return false }
        guard self == .set, room >= byteCount else { throw .invalid }
        return true
    }
}
