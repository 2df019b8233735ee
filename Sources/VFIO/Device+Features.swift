import LinuxSystem
import VFIOABI
import VFIOHost

extension Device {
    /// Whether the device has a feature, for these operations: `VFIO_DEVICE_FEATURE` with
    /// `VFIO_DEVICE_FEATURE_PROBE`.
    /// - Throws: what the host says but that there is no such feature.
    public func has(_ feature: Feature, _ operation: FeatureFlags) throws(VFIOError) -> Bool {
        var request = DeviceFeature(flags: FeatureFlags(feature, operation.union(.probe)))
        do throws(Errno) {
            try handle.send(.deviceFeature, &request)
            return true
        } catch {
            switch error {
            case .noSuchRequest, .invalid: return false
            default:
                throw VFIOError(
                    operation: "ask for feature \(feature.rawValue)", object: name, errno: error)
            }
        }
    }

    /// Sends a feature with its data, which the host may change.
    func carryOut<T: ABIValue>(
        _ feature: Feature, _ operation: FeatureFlags, _ payload: inout T
    ) throws(Errno) {
        var request = DeviceFeatureRequest(feature, operation, payload)
        // Some features answer with the data also where they fail.
        defer { payload = request.payload }
        try handle.send(.deviceFeature, &request)
    }
}
