import LinuxSystem
import VFIOABI
import VFIOHost

extension Device {
    /// About how many bytes of state are still to come when the device is stopped:
    /// `VFIO_DEVICE_FEATURE_MIG_DATA_SIZE`.
    /// - Returns: nil where the host can't tell.
    public func migrationDataSize() throws(VFIOError) -> UInt64? {
        var answer = MigrationDataSize()
        do throws(Errno) {
            try carryOut(.migrationDataSize, .get, &answer)
            return answer.stopCopyLength
        } catch {
            if error == .noSuchRequest { return nil }
            throw VFIOError(operation: "ask for the size of its state", object: name, errno: error)
        }
    }

    /// Has ``MigrationData/precopyInfo()`` tell in its flags when the state's first part is to be sent anew:
    /// `VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2`. Holds until the device is closed.
    /// - Returns: whether the host does that; older ones of Linux don't.
    public func enablePrecopyFlags() throws(VFIOError) -> Bool {
        var request = DeviceFeature(flags: FeatureFlags(.migrationPrecopyInfoV2, .set))
        do throws(Errno) {
            try handle.send(.deviceFeature, &request)
            return true
        } catch {
            if error == .noSuchRequest || error == .invalid { return false }
            throw VFIOError(operation: "ask for flags of its pre-copy state", object: name, errno: error)
        }
    }
}
