import DeviceModel
import LinuxSystem

/// Tells the program that uses a device when its server has gone: by the eventfd that the program set up for the
/// device's errors (index 3, `VFIO_PCI_ERR_IRQ_INDEX`). As after an error that a bus reports, the device has to be
/// reset and started anew; here by a server that has come back.
final class LossNotice: @unchecked Sendable {
    // SAFETY: `event` is only touched with `lock` held.
    private let lock = Lock()
    private var event: PCITrigger?

    /// The eventfd; nil for a program that doesn't want to know.
    func set(_ new: PCITrigger?) { lock.withLock { event = new } }

    /// A connection was lost.
    func signal() { lock.withLock { event }?.signal() }
}
