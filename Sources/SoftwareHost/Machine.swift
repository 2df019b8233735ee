import DeviceModel
import IOVASpace
import VFIOHost

/// A machine in plain values: what a ``SoftwareHost`` is made from.
///
/// Written in code with the builder of `SoftwareHost/init(_:)`, or filled field by field, e.g. from a file.
/// Nothing is checked until a host is made from it; see ``MachineError``.
public struct MachineDescription {
    /// The IOMMU, and what else the kernel was told about DMA.
    public var iommu = IOMMU()
    /// The IOMMU groups and the devices in them.
    public var groups: [IOMMUGroup] = []
    /// Devices that no IOMMU stands behind, and that hence belong to no group.
    public var ungroupedDevices: [PCIDevice] = []
    /// What the program may do on this machine.
    public var process = ProcessRights()
    /// Nodes in /dev that are missing or may not be opened, although the machine would have them.
    public var nodes: [NodePermission] = []
    /// Whether `/dev/vfio/vfio` exists.
    public var hasContainers = true
    /// Whether `/dev/iommu` exists; never on a machine with ``IOMMU/Kind/spapr(_:)``.
    public var hasIOMMUFD = true
    /// Whether devices have nodes of their own, `/dev/vfio/devices/vfio<number>` (`CONFIG_VFIO_DEVICE_CDEV`);
    /// never on a machine with ``IOMMU/Kind/spapr(_:)``.
    public var hasDeviceNodes = true
    /// What mediated devices can be made of while the machine runs; the names are different.
    public var mediatedParents: [any MediatedParent] = []
    /// The mediated devices that there are from the start.
    public var mediatedDevices: [MediatedDeviceName] = []
    /// The parameters of the kernel's modules.
    public var parameters = ModuleParameters()
    /// What is to go wrong.
    public var faults = FaultPlan()
    /// Who is told of memory that devices wrote.
    public var memoryWriteObserver: (any MemoryWriteObserver)?
    /// A file that what devices do is counted in, for others to look into (``MachineStatistics/init(readingFile:)``); made
    /// if it isn't there. Nil counts in memory alone.
    public var counterFile: String?
    /// How often the program is asked to release a device while somebody wants to take it from its driver, in
    /// milliseconds; at least 1. Linux asks every ten seconds.
    public var releaseRequestMilliseconds = 10_000

    /// A machine with an IOMMU and no devices.
    public init() {}
}

/// The IOMMU of a machine.
public struct IOMMU: Sendable, Equatable {
    /// The kinds of IOMMUs.
    public enum Kind: Sendable, Equatable {
        /// One that Linux's type1 driver serves: VT-d, AMD-Vi, SMMU.
        case type1
        /// One of a POWER machine: DMA windows instead of an aperture. Of what else describes an IOMMU nothing
        /// counts for it.
        case spapr(SPAPRIOMMU)
        /// None at all. Devices are in no group.
        case none
    }

    /// Sizes of IOMMU pages, one bit each: bit 12 is 4 KiB. The lowest one is the unit of mappings.
    public struct PageSizes: OptionSet, Sendable {
        /// The bits, as `iova_pgsizes` in `struct vfio_iommu_type1_info` has them.
        public let rawValue: UInt64
        /// Wraps bits.
        public init(rawValue: UInt64) { self.rawValue = rawValue }
        /// 4 KiB
        public static let kib4 = PageSizes(rawValue: 1 << 12)
        /// 16 KiB
        public static let kib16 = PageSizes(rawValue: 1 << 14)
        /// 64 KiB
        public static let kib64 = PageSizes(rawValue: 1 << 16)
        /// 2 MiB
        public static let mib2 = PageSizes(rawValue: 1 << 21)
        /// 1 GiB
        public static let gib1 = PageSizes(rawValue: 1 << 30)
    }

    /// Its kind.
    public var kind: Kind
    /// What there is to know of a POWER machine's; nil for any other.
    public var spapr: SPAPRIOMMU? {
        if case .spapr(let own) = kind { return own }
        return nil
    }
    /// The page sizes that it has.
    public var pageSizes: PageSizes
    /// The addresses that it translates.
    public var apertures: [IOVARange]
    /// Addresses that can't be mapped, for every group.
    public var reserved: [ReservedRange]
    /// Whether one device's interrupts can't be forged by another: interrupt remapping.
    public var hasIsolatedMSI: Bool
    /// Whether DMA is made coherent with the processor's caches.
    public var enforcesCoherency: Bool
    /// Whether the entries of its page tables can say which pages devices wrote. Only an iommufd makes use of it:
    /// with page tables of a user's own (`IOMMU_HWPT_ALLOC_DIRTY_TRACKING`).
    public var tracksDirtyPages: Bool
    /// Whether a guest's page tables can be put in front of a user's, in the format of VT-d's first stage. Only an
    /// iommufd makes use of it (`IOMMU_HWPT_ALLOC_NEST_PARENT`).
    public var nestsPageTables: Bool

    /// The window that x86 keeps for interrupt messages.
    public static var x86MessageWindow: ReservedRange {
        ReservedRange(0xfee0_0000...0xfeef_ffff, .messageWindow)
    }

    /// An IOMMU; by default one as in a PC with VT-d and 48-bit addresses.
    public init(
        _ kind: Kind = .type1, pageSizes: PageSizes = [.kib4, .mib2, .gib1],
        apertures: [ClosedRange<UInt64>] = [0...0xffff_ffff_ffff],
        reserved: [ReservedRange] = [IOMMU.x86MessageWindow], hasIsolatedMSI: Bool = true,
        enforcesCoherency: Bool = true, tracksDirtyPages: Bool = false,
        nestsPageTables: Bool = false
    ) {
        self.kind = kind
        self.pageSizes = pageSizes
        self.apertures = apertures.map { IOVARange($0) }
        self.reserved = reserved
        self.hasIsolatedMSI = hasIsolatedMSI
        self.enforcesCoherency = enforcesCoherency
        self.tracksDirtyPages = tracksDirtyPages
        self.nestsPageTables = nestsPageTables
    }
}

/// Addresses that an IOMMU or the firmware keeps for itself (`reserved_regions` in sysfs).
public struct ReservedRange: Sendable, Equatable {
    /// Why they are reserved.
    public enum Kind: Sendable, Equatable {
        /// The firmware wants them mapped one to one ("direct").
        case direct
        /// The same, but nothing happens if they aren't ("direct-relaxable"): users may map them.
        case relaxable
        /// Can't be mapped ("reserved").
        case reserved
        /// Writes there are interrupts ("msi").
        case messageWindow
    }

    /// The addresses.
    public var range: IOVARange
    /// Why they are reserved.
    public var kind: Kind

    /// A reserved range.
    public init(_ range: ClosedRange<UInt64>, _ kind: Kind = .reserved) {
        self.range = IOVARange(range)
        self.kind = kind
    }
}

/// An IOMMU group: devices that the IOMMU can't tell apart.
public struct IOMMUGroup {
    /// Its number, as in `/dev/vfio/<number>`.
    public var number: Int
    /// Its members that are PCI functions.
    public var devices: [PCIDevice]
    /// Its members on other buses.
    public var otherDevices: [BusDevice]
    /// Addresses that can't be mapped for this group, besides the IOMMU's own.
    public var reserved: [ReservedRange]
    /// Whether there is no IOMMU behind it, and none needed: its members are devices whose DMA is carried out
    /// by the kernel's processor, as those of Linux's mediated devices (`VFIO_EMULATED_IOMMU`). See
    /// ``EmulatedDMA``.
    public var isEmulated: Bool
    /// Whether it is behind an IOMMU that can note writes, though the machine's others may not be:
    /// ``IOMMU/tracksDirtyPages``.
    public var tracksDirtyPages: Bool
    /// Whether it is behind an IOMMU that can put guests' page tables in front of others, though the machine's others
    /// may not be: ``IOMMU/nestsPageTables``.
    public var nestsPageTables = false

    /// A group.
    public init(
        _ number: Int, devices: [PCIDevice] = [], otherDevices: [BusDevice] = [],
        reserved: [ReservedRange] = [], isEmulated: Bool = false,
        tracksDirtyPages: Bool = false
    ) {
        self.number = number
        self.devices = devices
        self.otherDevices = otherDevices
        self.reserved = reserved
        self.isEmulated = isEmulated
        self.tracksDirtyPages = tracksDirtyPages
    }
}

/// A device of the machine: one in software that can be used, or one that is only there.
public struct PCIDevice {
    /// Where it sits; nil if the text that it was given isn't an address (``addressText``).
    public var address: PCIAddress?
    /// The address as it was given.
    public var addressText: String
    /// Who answers its registers; nil for a device that is only there.
    public var model: (any DeviceModel)?
    /// Who it says it is.
    public var identity: PCIIdentity
    /// The driver that it is bound to; nil for none.
    public var driver: String?
    /// What the machine around it adds to what is told of it.
    public var surroundings = PCISurroundings()
    /// Who uses the kernel's services for devices that pin and copy memory themselves, often the model; nil for
    /// a device that doesn't. Called only while the device is open in a container.
    public var dmaClient: (any EmulatedDMAClient)?

    /// A device in software, bound to `vfio-pci` unless something else is said.
    ///
    /// Bound to a variant of that, such as `software-vfio-pci`, a model that can be moved to another host can be (kernel.md
    /// E), and the pages that it writes are logged.
    public init(_ model: any DeviceModel, at address: PCIAddress, driver: String? = "vfio-pci") {
        self.address = address
        addressText = ""
        self.model = model
        identity = model.function.identity
        self.driver = driver
    }

    /// A device in software at an address such as "0000:01:00.0".
    public init(_ model: any DeviceModel, at address: String, driver: String? = "vfio-pci") {
        self.address = PCIAddress(address)
        addressText = address
        self.model = model
        identity = model.function.identity
        self.driver = driver
    }

    /// A device that is only there: it has an identity and perhaps a driver, and can't be used through VFIO.
    public init(bystander identity: PCIIdentity, at address: PCIAddress, driver: String? = nil) {
        self.address = address
        addressText = ""
        self.identity = identity
        self.driver = driver
    }

    /// A bridge between PCI buses, at an address such as "0000:00:1c.0". The kernel keeps it for itself, but other
    /// members of its group can be used.
    public init(bridgeAt address: String) {
        self.init(
            bystander: PCIIdentity(vendor: 0x1234, device: 0x000c, classCode: 0x06_0400), at: address,
            driver: "pcieport")
    }

    /// A device that is only there, at an address such as "0000:01:00.0".
    public init(bystander identity: PCIIdentity, at address: String, driver: String? = nil) {
        self.address = PCIAddress(address)
        addressText = address
        self.identity = identity
        self.driver = driver
    }
}

/// What the program may do on the machine: the rights that a kernel would look up.
public struct ProcessRights: Sendable, Equatable {
    /// How many bytes it may lock for DMA (`RLIMIT_MEMLOCK`); nil for no limit.
    public var lockedMemoryLimit: UInt64?
    /// Whether it may go beyond that limit (`CAP_IPC_LOCK`).
    public var mayExceedLockedMemory: Bool
    /// Whether it may use devices without an IOMMU (`CAP_SYS_RAWIO`).
    public var mayUseUnprotectedGroups: Bool

    /// Rights; by default no limit, and none of the capabilities missing.
    public init(
        lockedMemoryLimit: UInt64? = nil, mayExceedLockedMemory: Bool = false,
        mayUseUnprotectedGroups: Bool = true
    ) {
        self.lockedMemoryLimit = lockedMemoryLimit
        self.mayExceedLockedMemory = mayExceedLockedMemory
        self.mayUseUnprotectedGroups = mayUseUnprotectedGroups
    }
}

/// A node that can't be opened, although the machine would have it.
public struct NodePermission: Sendable, Equatable {
    /// What happens to whoever opens it.
    public enum Obstacle: Sendable, Equatable {
        /// It isn't there: `ENOENT`.
        case missing
        /// Its permissions forbid it: `EACCES`.
        case denied
    }

    /// The node.
    public var node: Node
    /// What is in the way.
    public var obstacle: Obstacle

    /// Puts something in the way of whoever opens a node.
    public init(_ node: Node, _ obstacle: Obstacle) {
        self.node = node
        self.obstacle = obstacle
    }
}

extension IOVARange {
    /// The addresses of a closed range.
    init(_ range: ClosedRange<UInt64>) {
        // A closed range's bounds are in order, so this range exists; the fallback is never taken.
        self = IOVARange(first: IOVA(range.lowerBound), last: IOVA(range.upperBound)) ?? .all
    }
}
