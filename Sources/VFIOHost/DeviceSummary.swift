/// What every bus tells of a device without opening it: what opening it needs.
///
/// PCI functions have more to tell: ``DeviceRecord``.
public struct DeviceSummary: Sendable {
    /// What it is called.
    public var id: DeviceID
    /// The driver that it is bound to.
    public var driver: DriverRecord?
    /// Its IOMMU group; nil where there is no IOMMU.
    public var group: Int?
    /// Whether the group has no IOMMU behind it (`noiommu-…`).
    public var isUnprotected: Bool
    /// Whether the kernel's processor carries out its DMA; see ``DeviceRecord/isMediated``.
    public var isMediated: Bool
    /// The number of its node `/dev/vfio/devices/vfio<number>`, where it has one.
    public var deviceNode: Int?
    /// What the machine's firmware says about it: for devices on the platform and the AMBA bus that a VFIO driver has.
    public var firmware: FirmwareRecord?

    /// Describes a device.
    public init(
        _ id: DeviceID, driver: DriverRecord? = nil, group: Int? = nil, isUnprotected: Bool = false,
        isMediated: Bool = false, deviceNode: Int? = nil
    ) {
        self.id = id
        self.driver = driver
        self.group = group
        self.isUnprotected = isUnprotected
        self.isMediated = isMediated
        self.deviceNode = deviceNode
    }
}

extension DeviceRecord {
    /// What opening it needs.
    public var summary: DeviceSummary {
        DeviceSummary(
            DeviceID(address), driver: driver, group: group, isUnprotected: isUnprotected,
            isMediated: isMediated,
            deviceNode: deviceNode)
    }
}

extension Inventory {
    /// What opening a device needs; nil for one that isn't there.
    public func summary(of id: DeviceID) -> DeviceSummary? {
        if let address = id.address { return device(at: address)?.summary }
        return otherDevices.first { $0.id == id }
    }

    /// The members of a group that keep it from being used: those bound to a driver that wants the device's
    /// DMA for itself. Members without a driver, bound to a VFIO driver, to `pci-stub` or to `pcieport` don't.
    public func blockers(ofGroup number: Int) -> [DeviceSummary] {
        (devices.lazy.filter { $0.group == number }.map { $0.summary }
            + otherDevices.lazy.filter { $0.group == number })
            .filter { $0.driver?.letsGroupBeUsed == false }
    }
}

// Comparing texts needs Unicode's tables, which Embedded Swift would have to carry along.
#if !hasFeature(Embedded)
    extension DeviceSummary: Equatable {}
#endif
