import DeviceModel
import LinuxSystem
import VFIOHost

/// A device of a machine that isn't a PCI function: of the platform, of another bus, or mediated.
///
/// Made with one of the initialisers of the buses; put into an ``IOMMUGroup``.
public struct BusDevice {
    /// What it is called.
    public var id: DeviceID
    /// The driver that it is bound to; nil for none.
    public var driver: String?
    /// Who uses the kernel's services for devices that pin and copy memory themselves; see ``PCIDevice/dmaClient``.
    public var dmaClient: (any EmulatedDMAClient)?
    /// What the machine's firmware says about it; on the platform and the AMBA bus.
    public var firmware: FirmwareRecord?
    /// The VFIO driver that there is for it; nil for a device that is only there.
    let vfioDriver: String?
    /// Makes that driver's side of it.
    let makeDriver: (DeviceFaults) throws(Errno) -> any BusDriver

    /// A device that is only there: it has a name and perhaps a driver, and can't be used through VFIO.
    public init(bystander id: DeviceID, driver: String? = nil) {
        self.id = id
        self.driver = driver
        vfioDriver = nil
        makeDriver = { (_) throws(Errno) in throw .noDevice }
    }

    /// A device that there is a VFIO driver for.
    init(
        _ id: DeviceID, driver: String?, vfioDriver: String,
        _ makeDriver: @escaping (DeviceFaults) throws(Errno) -> any BusDriver
    ) {
        self.id = id
        self.driver = driver
        self.vfioDriver = vfioDriver
        self.makeDriver = makeDriver
    }

    /// What a driver of a name is for this device.
    func record(of driver: String) -> DriverRecord {
        let isOwn = vfioDriver.map { $0.utf8.elementsEqual(driver.utf8) } ?? false
        return DriverRecord(named: driver, isVFIO: isOwn, letsGroupBeUsed: isOwn)
    }
}
