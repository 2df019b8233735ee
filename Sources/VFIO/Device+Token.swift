import LinuxSystem
import VFIOABI
import VFIOHost

extension Device {
    /// Says what the users of this physical function's virtual functions have to show from now on, and its own next
    /// user while one of them is in use: `VFIO_DEVICE_FEATURE_PCI_VF_TOKEN`. Who doesn't know it can't open a virtual
    /// function, whose traffic the physical function's user could watch.
    /// - Throws: ``VFIOError/Code/notSupported`` for a device that has no virtual functions.
    public func setToken(_ token: DeviceUUID) throws(VFIOError) {
        var payload = TokenPayload(low: token.words[0], high: token.words[1])
        do throws(Errno) {
            try carryOut(.pciVFToken, .set, &payload)
        } catch {
            var failure = VFIOError(
                operation: "set the token of its virtual functions", object: name, errno: error)
            if error == .noSuchRequest {
                failure.code = .notSupported
                failure.cause = "the device has no virtual functions"
            }
            throw failure
        }
    }
}

/// The payload of the feature: 16 bytes.
private struct TokenPayload: ABIValue {
    var low: UInt64
    var high: UInt64
}
