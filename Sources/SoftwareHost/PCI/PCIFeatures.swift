import DeviceModel
import LinuxSystem
import VFIOABI

/// The device features of vfio-pci (kernel.md D.11).
extension PCIBusDriver {
    func feature(
        _ id: UInt32, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32 {
        let feature = Feature(rawValue: UInt16(truncatingIfNeeded: id))
        if try lowPowerFeature(feature, operation, isProbe: isProbe, payload: payload, room: room) {
            return 0
        }
        if let answer = try migrationFeature(
            feature, operation, isProbe: isProbe, payload: payload, room: room)
        {
            return answer
        }
        // The only feature of migration that a device without it refuses in this way.
        throw feature == .migrationPrecopyInfoV2 ? .invalid : .noSuchRequest
    }

    func forbidSleep() { leaveLowPower() }
}
