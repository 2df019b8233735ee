import LinuxSystem
import VFIOABI
import VFIOHost

extension Device {
    /// Lets a device that isn't a PCI function start transactions, or forbids it: `VFIO_DEVICE_FEATURE_BUS_MASTER`. A PCI
    /// function has a bit for that in its configuration space (``setBusMaster(_:)``).
    /// - Throws: ``VFIOError/Code/notSupported`` for a device that always may.
    func setBusMasterFeature(_ on: Bool) throws(VFIOError) {
        var payload = BusMasterFeature(operation: on ? .set : .clear)
        do throws(Errno) {
            try carryOut(.busMaster, .set, &payload)
        } catch {
            throw VFIOError(
                operation: (on ? "let" : "forbid") + " the device start transactions", object: name,
                errno: error, code: error == .noSuchRequest ? .notSupported : .refused,
                cause: error == .noSuchRequest ? "it has no switch for that" : nil)
        }
    }
}
