import PCIDecoder
import VFIOHost

/// Everything that can be told of one device: what the machine says about it, and what it says itself once it is
/// open. It is written to files and read back, so that somebody else can look at it.
public struct DeviceReport: Sendable, Equatable {
    /// The version of the JSON document; a higher one keeps what this one means.
    public static let version = 2

    /// Its address, or its name on another bus.
    public var name: String
    /// Its bus, as its folder in `/sys/bus` is called; "pci" where a file doesn't say.
    public var bus: String
    /// Who answered: "linux", "soft", "user"; "lspci" for a text of lspci's.
    public var host: String
    /// What the machine tells of it without opening it.
    public var facts = Facts()
    /// What it told once it was open; nil if it wasn't opened.
    public var opened: Opened?
    /// Its configuration space, as far as it could be read; nil if none of it could, or it has none.
    public var configuration: Configuration?
    /// What couldn't be told, and why.
    public var missing: [Missing] = []

    /// A report of which nothing is known yet.
    public init(name: String, bus: String, host: String) {
        self.name = name
        self.bus = bus
        self.host = host
    }

    /// Something that couldn't be told.
    public struct Missing: Sendable, Equatable {
        /// What: "regions", "hot reset", …
        public var part: String
        /// Why.
        public var reason: String

        /// Says what is missing.
        public init(_ part: String, _ reason: String) {
            self.part = part
            self.reason = reason
        }
    }

    /// The bytes of a configuration space.
    public struct Configuration: Sendable, Equatable {
        /// The bytes from offset 0 on; at most 4096.
        public var bytes: [UInt8]
        /// Who showed them: "vfio" (what a guest would see: BARs, interrupts and power are the host's own), "sysfs"
        /// (what the device itself says), or "file".
        public var source: String

        /// States bytes.
        public init(bytes: [UInt8], source: String) {
            self.bytes = bytes
            self.source = source
        }

        /// The bytes taken apart.
        public var decoded: DecodedConfiguration { DecodedConfiguration(decoding: bytes) }
    }

    /// What the machine tells of a device without opening it. What isn't known is nil.
    public struct Facts: Sendable, Equatable {
        /// Vendor ID (sysfs `vendor`).
        public var vendor: UInt16?
        /// Device ID (sysfs `device`).
        public var device: UInt16?
        /// Subsystem Vendor ID (sysfs `subsystem_vendor`).
        public var subsystemVendor: UInt16?
        /// Subsystem ID (sysfs `subsystem_device`).
        public var subsystem: UInt16?
        /// Base class, sub-class and programming interface (sysfs `class`).
        public var classCode: UInt32?
        /// Revision ID (sysfs `revision`).
        public var revision: UInt8?
        /// What `pci.ids` calls its vendor.
        public var vendorName: String?
        /// What `pci.ids` calls the device.
        public var deviceName: String?
        /// What `pci.ids` calls its subsystem.
        public var subsystemName: String?
        /// The driver that it is bound to (sysfs `driver`); nil for none.
        public var driver: String?
        /// The only driver that may be bound to it (sysfs `driver_override`).
        public var driverOverride: String?
        /// Its IOMMU group.
        public var group: Int?
        /// The group's other members, each with its driver.
        public var groupMembers: [Member] = []
        /// How the kernel uses the IOMMU for the group (sysfs `type` of the group).
        public var domainType: String?
        /// The addresses that the group can't use for DMA (sysfs `reserved_regions` of the group).
        public var reservedRegions: [ReservedRegion] = []
        /// The number of its node `/dev/vfio/devices/vfio<number>`.
        public var deviceNode: Int?
        /// The NUMA node that it is near to.
        public var numaNode: Int?
        /// Who has it or its group open, as far as that can be seen: "qemu (process 12, descriptor 5)".
        public var holders: [String] = []
        /// How it can be reset, in the order in which the ways are tried (sysfs `reset_method`).
        public var resetMethods: [String] = []
        /// The function that it is a virtual function of (sysfs `physfn`).
        public var physicalFunction: String?

        /// Nothing is known.
        public init() {}

        /// Fills in the names that aren't known yet.
        public mutating func name(by names: PCINames) {
            guard let vendor, let device else { return }
            vendorName = vendorName ?? names.vendor(vendor)
            deviceName = deviceName ?? names.device(device, of: vendor)
            guard let subsystemVendor, let subsystem else { return }
            subsystemName =
                subsystemName
                ?? names.subsystem(subsystem, of: subsystemVendor, on: device, of: vendor)
        }
    }

    /// Another member of the device's group.
    public struct Member: Sendable, Equatable {
        /// Its name.
        public var name: String
        /// The driver that it is bound to; nil for none.
        public var driver: String?
        /// Whether that keeps the group from being used.
        public var blocks: Bool

        /// Describes a member.
        public init(name: String, driver: String?, blocks: Bool) {
            self.name = name
            self.driver = driver
            self.blocks = blocks
        }
    }
}
