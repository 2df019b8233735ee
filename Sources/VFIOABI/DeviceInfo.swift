/// What `DeviceInfo` says about a device.
public struct DeviceFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_DEVICE_FLAGS_RESET`: `Request.deviceReset` works.
    @inlinable public static var reset: DeviceFlags { DeviceFlags(rawValue: 1 << 0) }

    /// `VFIO_DEVICE_FLAGS_PCI`: a PCI device.
    @inlinable public static var pci: DeviceFlags { DeviceFlags(rawValue: 1 << 1) }

    /// `VFIO_DEVICE_FLAGS_PLATFORM`: a platform device.
    @inlinable public static var platform: DeviceFlags { DeviceFlags(rawValue: 1 << 2) }

    /// `VFIO_DEVICE_FLAGS_AMBA`: an AMBA device.
    @inlinable public static var amba: DeviceFlags { DeviceFlags(rawValue: 1 << 3) }

    /// `VFIO_DEVICE_FLAGS_CCW`: an s390 channel device.
    @inlinable public static var ccw: DeviceFlags { DeviceFlags(rawValue: 1 << 4) }

    /// `VFIO_DEVICE_FLAGS_AP`: an s390 cryptographic adapter.
    @inlinable public static var ap: DeviceFlags { DeviceFlags(rawValue: 1 << 5) }

    /// `VFIO_DEVICE_FLAGS_FSL_MC`: an object of Freescale's management complex.
    @inlinable public static var fslMC: DeviceFlags { DeviceFlags(rawValue: 1 << 6) }

    /// `VFIO_DEVICE_FLAGS_CAPS`: the answer has capabilities.
    @inlinable public static var caps: DeviceFlags { DeviceFlags(rawValue: 1 << 7) }

    /// `VFIO_DEVICE_FLAGS_CDX`: a CDX device.
    @inlinable public static var cdx: DeviceFlags { DeviceFlags(rawValue: 1 << 8) }
}

/// `vfio_device_info`: the answer to `Request.deviceGetInfo`. A capability chain may follow; its identifiers
/// are `DeviceCapabilityID`.
public struct DeviceInfo: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: what is true of the device.
    public var flags: DeviceFlags
    /// `num_regions`: the number of regions; indices are 0 to one less.
    public var regionCount: UInt32
    /// `num_irqs`: the number of interrupt indices.
    public var irqCount: UInt32
    /// `cap_offset`: where the capability chain starts, 0 where there is none or where it did not fit.
    public var capabilityOffset: UInt32
    /// `pad`: not used.
    public var padding: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 16 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: DeviceFlags = [],
        regionCount: UInt32 = 0,
        irqCount: UInt32 = 0,
        capabilityOffset: UInt32 = 0,
        padding: UInt32 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.regionCount = regionCount
        self.irqCount = irqCount
        self.capabilityOffset = capabilityOffset
        self.padding = padding
    }
}

/// The identifiers in the capability chain of `DeviceInfo`.
public struct DeviceCapabilityID: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt16

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// `VFIO_DEVICE_INFO_CAP_ZPCI_BASE`: `ZPCIBaseCapability`.
    @inlinable public static var zpciBase: DeviceCapabilityID { DeviceCapabilityID(rawValue: 1) }

    /// `VFIO_DEVICE_INFO_CAP_ZPCI_GROUP`: `ZPCIGroupCapability`.
    @inlinable public static var zpciGroup: DeviceCapabilityID { DeviceCapabilityID(rawValue: 2) }

    /// `VFIO_DEVICE_INFO_CAP_ZPCI_UTIL`: `ZPCIUtilityCapability`.
    @inlinable public static var zpciUtility: DeviceCapabilityID { DeviceCapabilityID(rawValue: 3) }

    /// `VFIO_DEVICE_INFO_CAP_ZPCI_PFIP`: `ZPCIPFIPCapability`.
    @inlinable public static var zpciPFIP: DeviceCapabilityID { DeviceCapabilityID(rawValue: 4) }

    /// `VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP`: `PCIAtomicCompletionCapability`.
    @inlinable public static var pciAtomicCompletion: DeviceCapabilityID { DeviceCapabilityID(rawValue: 5) }
}

/// Which atomic operations the path to memory completes.
public struct PCIAtomicFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_PCI_ATOMIC_COMP32`: 32-bit ones.
    @inlinable public static var completes32: PCIAtomicFlags { PCIAtomicFlags(rawValue: 1 << 0) }

    /// `VFIO_PCI_ATOMIC_COMP64`: 64-bit ones.
    @inlinable public static var completes64: PCIAtomicFlags { PCIAtomicFlags(rawValue: 1 << 1) }

    /// `VFIO_PCI_ATOMIC_COMP128`: 128-bit compare-and-swap.
    @inlinable public static var completes128: PCIAtomicFlags { PCIAtomicFlags(rawValue: 1 << 2) }
}

/// `vfio_device_info_cap_pci_atomic_comp`: capability `DeviceCapabilityID.pciAtomicCompletion`: PCI atomic
/// operations that host memory completes.
public struct PCIAtomicCompletionCapability: ABIValue, Equatable {
    /// `header`: the capability's header.
    public var header: CapabilityHeader
    /// `flags`: the widths.
    public var flags: PCIAtomicFlags
    /// `reserved`: zero.
    public var reserved: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        header: CapabilityHeader = CapabilityHeader(),
        flags: PCIAtomicFlags = [],
        reserved: UInt32 = 0
    ) {
        self.header = header
        self.flags = flags
        self.reserved = reserved
    }
}
