import LinuxSystem

/// The devices and groups that a host knows: what sysfs tells on Linux (kernel.md H).
public struct Inventory: Sendable {
    /// The PCI devices, by address.
    public var devices: [DeviceRecord]
    /// The devices of other buses that VFIO can be asked for, or that are in an IOMMU group; by bus and name.
    public var otherDevices: [DeviceSummary]
    /// The IOMMU groups, by number.
    public var groups: [GroupRecord]
    /// Whether the node of containers, `/dev/vfio/vfio`, is there.
    public var hasContainers: Bool
    /// Whether `/dev/iommu` is there.
    public var hasIOMMUFD: Bool
    /// How much memory this process may lock for DMA, in bytes: `RLIMIT_MEMLOCK`, `UInt64.max` for no limit;
    /// nil where it isn't known.
    public var lockedMemoryLimit: UInt64?

    /// An inventory; sorts devices and groups.
    public init(
        devices: [DeviceRecord], otherDevices: [DeviceSummary] = [], groups: [GroupRecord],
        hasContainers: Bool,
        hasIOMMUFD: Bool
    ) {
        self.devices = devices.sortedCompactly { $0.address < $1.address }
        self.otherDevices = otherDevices.sortedCompactly { $0.id < $1.id }
        self.groups = groups.sortedCompactly { $0.number < $1.number }
        self.hasContainers = hasContainers
        self.hasIOMMUFD = hasIOMMUFD
    }

    /// The device at an address.
    public func device(at address: PCIAddress) -> DeviceRecord? { devices.first { $0.address == address } }

    /// The group with a number.
    public func group(_ number: Int) -> GroupRecord? { groups.first { $0.number == number } }
}

/// What is known of a PCI device without opening it.
public struct DeviceRecord: Sendable {
    /// Where it sits.
    public var address: PCIAddress
    /// Vendor ID.
    public var vendor: UInt16
    /// Device ID.
    public var device: UInt16
    /// Subsystem Vendor ID.
    public var subsystemVendor: UInt16
    /// Subsystem ID.
    public var subsystem: UInt16
    /// Base class, sub-class and programming interface.
    public var classCode: UInt32
    /// Revision ID.
    public var revision: UInt8
    /// The driver that it is bound to.
    public var driver: DriverRecord?
    /// Its IOMMU group; nil where there is no IOMMU.
    public var group: Int?
    /// Whether the group has no IOMMU behind it (`noiommu-…`).
    public var isUnprotected: Bool
    /// Whether the kernel's processor carries out its DMA, as for mediated devices: its driver pins memory as it needs
    /// it, and nothing that is mapped is pinned beforehand for it.
    public var isMediated = false
    /// The number of its node `/dev/vfio/devices/vfio<number>`, where it has one.
    public var deviceNode: Int?
    /// The NUMA node that it is near to; nil where that isn't known.
    public var numaNode: Int?
    /// How it can be reset, in the order in which the ways are tried ("flr", "pm", "bus", …).
    public var resetMethods: [String] = []
    /// Its resources: the BARs 0 to 5, the ROM and what follows, by position; absent ones are empty.
    public var resources: [ResourceRecord] = []
    /// The only driver that may be bound to it (`driver_override`), where that is restricted.
    public var driverOverride: String?
    /// The function that it is a virtual function of, where it is one.
    public var physicalFunction: PCIAddress?
    /// How many virtual functions it can have (`sriov_totalvfs`); 0 for none.
    public var totalVirtualFunctions = 0
    /// How many virtual functions it has now (`sriov_numvfs`).
    public var virtualFunctionCount = 0

    /// Describes a device.
    public init(
        address: PCIAddress, vendor: UInt16, device: UInt16, subsystemVendor: UInt16 = 0,
        subsystem: UInt16 = 0,
        classCode: UInt32 = 0, revision: UInt8 = 0, driver: DriverRecord? = nil, group: Int? = nil,
        isUnprotected: Bool = false, deviceNode: Int? = nil
    ) {
        self.address = address
        self.vendor = vendor
        self.device = device
        self.subsystemVendor = subsystemVendor
        self.subsystem = subsystem
        self.classCode = classCode
        self.revision = revision
        self.driver = driver
        self.group = group
        self.isUnprotected = isUnprotected
        self.deviceNode = deviceNode
    }
}

/// A driver that a device is bound to.
public struct DriverRecord: Sendable {
    /// Its name, e.g. "vfio-pci" or "nvme".
    public var name: String
    /// Whether devices bound to it can be opened through VFIO.
    public var isVFIO: Bool
    /// Whether a group can be used while this driver holds a member of it: drivers flagged
    /// `driver_managed_dma` (kernel.md A.12).
    public var letsGroupBeUsed: Bool

    /// The drivers of Linux for devices of other buses.
    private static let otherBuses = [
        "vfio-platform", "vfio-amba", "vfio-fsl-mc", "vfio-cdx", "vfio_ap", "vfio_ccw",
    ]

    /// Describes a driver.
    public init(named name: String, isVFIO: Bool, letsGroupBeUsed: Bool) {
        self.name = name
        self.isVFIO = isVFIO
        self.letsGroupBeUsed = letsGroupBeUsed
    }

    /// A driver, judged by its name: as Linux, with the VFIO drivers that it has.
    public init(named name: String) {
        self.name = name
        isVFIO =
            name.utf8.elementsEqual("vfio-pci".utf8) || name.utf8.hasSuffix("-vfio-pci")
            || name.utf8.hasSuffix("_vfio_pci")
            || Self.otherBuses.contains { $0.utf8.elementsEqual(name.utf8) }
        letsGroupBeUsed =
            isVFIO || name.utf8.elementsEqual("pci-stub".utf8) || name.utf8.elementsEqual("pcieport".utf8)
    }
}

extension String.UTF8View {
    func hasSuffix(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard self.count >= count else { return false }
        // SAFETY: a StaticString's text is a constant of that length.
        let wanted = unsafe UnsafeBufferPointer(start: text.utf8Start, count: count)
        return unsafe self.suffix(count).elementsEqual(wanted)
    }
}

/// One of a device's resources: an address range of the machine (a line of sysfs's `resource`).
public struct ResourceRecord: Sendable, Equatable {
    /// Its first address.
    public var first: UInt64
    /// Its last address.
    public var last: UInt64
    /// The kernel's `IORESOURCE_` flags: 0x100 port I/O, 0x200 memory, 0x2000 prefetchable, 0x100000 64-bit.
    public var flags: UInt64

    /// Describes a resource; one with all zeros is absent.
    public init(first: UInt64, last: UInt64, flags: UInt64) {
        self.first = first
        self.last = last
        self.flags = flags
    }

    /// Its length in bytes; 0 if it is absent.
    public var byteCount: UInt64 {
        if flags == 0 || last < first { return 0 }
        let (count, overflow) = (last - first).addingReportingOverflow(1)
        return overflow ? .max : count
    }
}

/// A range of I/O virtual addresses that an IOMMU group can't use (a line of sysfs's `reserved_regions`).
public struct ReservedRegion: Sendable {
    /// Its first address.
    public var first: UInt64
    /// Its last address.
    public var last: UInt64
    /// What it is for: "msi", "direct", "reserved", …
    public var kind: String

    /// Describes a reserved region.
    public init(first: UInt64, last: UInt64, kind: String) {
        self.first = first
        self.last = last
        self.kind = kind
    }
}

/// An IOMMU group: the devices that can't be told apart in their DMA.
public struct GroupRecord: Sendable {
    /// Its number.
    public var number: Int
    /// Its members that are PCI functions.
    public var devices: [PCIAddress]
    /// Its members on other buses.
    public var otherDevices: [DeviceID]
    /// Whether it has no IOMMU behind it.
    public var isUnprotected: Bool
    /// The I/O virtual addresses that its devices can't use.
    public var reservedRegions: [ReservedRegion] = []
    /// How the kernel uses the IOMMU for it ("DMA", "DMA-FQ", "identity", …), where that is known.
    public var domainType: String?

    /// Describes a group.
    public init(
        number: Int, devices: [PCIAddress], otherDevices: [DeviceID] = [], isUnprotected: Bool = false
    ) {
        self.number = number
        self.devices = devices
        self.otherDevices = otherDevices
        self.isUnprotected = isUnprotected
    }
}

/// Why an inventory can't be made.
public struct InventoryError: Error, Sendable {
    /// What couldn't be read.
    public let path: String
    /// The operating system's answer.
    public let errno: Errno

    /// Describes a failed reading.
    public init(path: String, errno: Errno) {
        self.path = path
        self.errno = errno
    }
}

// Comparing texts needs Unicode's tables, which Embedded Swift would have to carry along.
#if !hasFeature(Embedded)
    extension Inventory: Equatable {}
    extension DeviceRecord: Equatable {}
    extension DriverRecord: Equatable {}
    extension ReservedRegion: Equatable {}
    extension GroupRecord: Equatable {}
    extension InventoryError: Equatable {}
#endif
