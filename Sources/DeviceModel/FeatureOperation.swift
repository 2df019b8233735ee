import LinuxSystem
import VFIOABI

/// The operations of a device feature.
package struct FeatureOperation: OptionSet, Sendable {
    package let rawValue: UInt32
    /// Wraps bits.
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    /// `VFIO_DEVICE_FEATURE_GET`
    package static let get = FeatureOperation(rawValue: 1)
    /// `VFIO_DEVICE_FEATURE_SET`
    package static let set = FeatureOperation(rawValue: 2)

    /// What a request's flags ask for, besides a probe.
    package init(_ flags: FeatureFlags) {
        self = []
        if flags.contains(.get) { insert(.get) }
        if flags.contains(.set) { insert(.set) }
    }
}

extension FeatureOperation {
    /// Checks the operation of a feature (Linux's `vfio_check_feature`).
    /// - Parameters:
    ///   - possible: what the feature takes; most take only SET.
    ///   - room: how much of the user's structure is left for data, in bytes.
    ///   - byteCount: how much the feature takes.
    /// - Returns: whether it is to be carried out, and not only probed.
    /// - Throws: `EINVAL`
    package func isWanted(
        of possible: FeatureOperation = .set, _ isProbe: Bool, _ room: UInt32, needs byteCount: UInt32
    ) throws(Errno) -> Bool {
        guard isSubset(of: possible) else { throw .invalid }
        if isProbe { return false }
        guard !isEmpty, room >= byteCount else { throw .invalid }
        return true
    }
}
