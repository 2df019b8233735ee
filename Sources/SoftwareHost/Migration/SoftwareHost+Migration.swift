import DeviceModel
import LinuxSystem
import VFIOHost

extension SoftwareHost {
    /// Lets a device fail, once, on its way to another host, as hardware may: the request that sets its state ends with
    /// `EIO` when the device is to go the arc, and the device is left where the arc begins or in the state of error.
    /// - Throws: `ENODEV` for an address without a device; `ENOTTY` for a device that can't be moved.
    public func failNextMove(
        of address: PCIAddress, entering target: MigrationPhase, isFatal: Bool = true
    ) throws(Errno) {
        let bus = core.lock.withLock { core.devices.first { $0.address == address }?.bus }
        guard let bus else { throw .noDevice }
        guard let driver = bus.pci, driver.failMove(MigrationFailure(enteringNext: target, isFatal: isFatal))
        else { throw .noSuchRequest }
    }
}
