import LinuxSystem
import VFIOABI

extension Device {
    /// Asks the host once more what the device is, `VFIO_DEVICE_GET_INFO`, and forgets the answer: the shortest way to
    /// it and back, for measurements.
    /// - Throws: what the host answers; nothing is changed either way.
    public func roundTrip() throws(VFIOError) {
        var answer = DeviceInfo()
        do throws(Errno) {
            try handle.send(.deviceGetInfo, &answer)
        } catch {
            throw VFIOError(operation: "ask what it is", object: name, errno: error)
        }
    }
}
