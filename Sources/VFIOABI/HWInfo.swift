/// What an IOMMU tells of itself.
public struct HWInfoType: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_HW_INFO_TYPE_NONE`: nothing.
    @inlinable public static var none: HWInfoType { HWInfoType(rawValue: 0) }

    /// `IOMMU_HW_INFO_TYPE_DEFAULT`: as an input: whatever the IOMMU tells by itself.
    @inlinable public static var `default`: HWInfoType { HWInfoType(rawValue: 0) }

    /// `IOMMU_HW_INFO_TYPE_INTEL_VTD`: `HWInfoVTD`.
    @inlinable public static var intelVTD: HWInfoType { HWInfoType(rawValue: 1) }

    /// `IOMMU_HW_INFO_TYPE_ARM_SMMUV3`: `HWInfoARMSMMUv3`.
    @inlinable public static var armSMMUv3: HWInfoType { HWInfoType(rawValue: 2) }

    /// `IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV`: `HWInfoTegra241CMDQV`.
    @inlinable public static var tegra241CMDQV: HWInfoType { HWInfoType(rawValue: 3) }

    /// `IOMMU_HW_INFO_TYPE_AMD`: `HWInfoAMD`.
    @inlinable public static var amd: HWInfoType { HWInfoType(rawValue: 4) }
}

/// What every IOMMU can be asked about.
public struct HWCapabilities: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt64

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// `IOMMU_HW_CAP_DIRTY_TRACKING`: page tables can track dirty pages.
    @inlinable public static var dirtyTracking: HWCapabilities { HWCapabilities(rawValue: 1 << 0) }

    /// `IOMMU_HW_CAP_PCI_PASID_EXEC`: the device may fetch code by process address space number.
    @inlinable public static var pciPASIDExecute: HWCapabilities { HWCapabilities(rawValue: 1 << 1) }

    /// `IOMMU_HW_CAP_PCI_PASID_PRIV`: the device may make privileged requests by process address space
    /// number.
    @inlinable public static var pciPASIDPrivileged: HWCapabilities { HWCapabilities(rawValue: 1 << 2) }

    /// `IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED`: the device cannot cache translations here.
    @inlinable public static var pciATSNotSupported: HWCapabilities { HWCapabilities(rawValue: 1 << 3) }
}

/// How `HWInfo` asks.
public struct HWInfoFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_HW_INFO_FLAG_INPUT_TYPE`: `inputType` says which information is wanted.
    @inlinable public static var inputType: HWInfoFlags { HWInfoFlags(rawValue: 1 << 0) }
}

/// `iommu_hw_info`: question and answer of `Request.iommufdGetHWInfo`. `inputType` and `outputType` are one
/// field, a union.
public struct HWInfo: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `flags`: how to ask.
    public var flags: HWInfoFlags
    /// `dev_id`: the device whose IOMMU is asked.
    public var deviceID: UInt32
    /// `data_len`: room for so many bytes; in the answer how many there are.
    public var dataLength: UInt32
    /// `data_uptr`: the process's address of the room.
    public var dataAddress: UInt64
    /// `in_data_type`: which information is wanted.
    public var inputType: HWInfoType
    /// `out_max_pasid_log2`: answer: bits of a process address space number, 0 for none.
    public var maxPASIDLog2: UInt8
    /// `__reserved`: zero.
    public var reserved: InlineArray<3, UInt8>
    /// `out_capabilities`: answer: what the IOMMU can do.
    public var capabilities: HWCapabilities

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 32 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: HWInfoFlags = [],
        deviceID: UInt32 = 0,
        dataLength: UInt32 = 0,
        dataAddress: UInt64 = 0,
        inputType: HWInfoType = HWInfoType(rawValue: 0),
        maxPASIDLog2: UInt8 = 0,
        reserved: InlineArray<3, UInt8> = InlineArray<3, UInt8>(repeating: 0),
        capabilities: HWCapabilities = []
    ) {
        self.size = size
        self.flags = flags
        self.deviceID = deviceID
        self.dataLength = dataLength
        self.dataAddress = dataAddress
        self.inputType = inputType
        self.maxPASIDLog2 = maxPASIDLog2
        self.reserved = reserved
        self.capabilities = capabilities
    }

    /// `out_data_type`: answer, in the same field as `inputType`: which information was given.
    @inlinable public var outputType: HWInfoType {
        get { inputType }
        set { inputType = newValue }
    }

    /// Compares field by field.
    public static func == (left: Self, right: Self) -> Bool {
        left.size == right.size
            && left.flags == right.flags
            && left.deviceID == right.deviceID
            && left.dataLength == right.dataLength
            && left.dataAddress == right.dataAddress
            && left.inputType == right.inputType
            && left.maxPASIDLog2 == right.maxPASIDLog2
            && sameElements(left.reserved, right.reserved)
            && left.capabilities == right.capabilities
    }
}

/// Faults of a VT-d IOMMU.
public struct HWInfoVTDFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17`: erratum 772415: no read-only mappings in a nesting parent.
    @inlinable public static var erratum772415SPR17: HWInfoVTDFlags { HWInfoVTDFlags(rawValue: 1 << 0) }
}

/// `iommu_hw_info_vtd`: what a VT-d IOMMU tells of itself.
public struct HWInfoVTD: ABIValue, Equatable {
    /// `flags`: its faults.
    public var flags: HWInfoVTDFlags
    /// `__reserved`: zero.
    public var reserved: UInt32
    /// `cap_reg`: its capability register.
    public var capabilityRegister: UInt64
    /// `ecap_reg`: its extended capability register.
    public var extendedCapabilityRegister: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        flags: HWInfoVTDFlags = [],
        reserved: UInt32 = 0,
        capabilityRegister: UInt64 = 0,
        extendedCapabilityRegister: UInt64 = 0
    ) {
        self.flags = flags
        self.reserved = reserved
        self.capabilityRegister = capabilityRegister
        self.extendedCapabilityRegister = extendedCapabilityRegister
    }
}

/// `iommu_hw_info_arm_smmuv3`: what an SMMUv3 tells of itself.
public struct HWInfoARMSMMUv3: ABIValue, Equatable {
    /// `flags`: zero.
    public var flags: UInt32
    /// `__reserved`: zero.
    public var reserved: UInt32
    /// `idr`: its identification registers 0 to 5.
    public var idr: InlineArray<6, UInt32>
    /// `iidr`: its implementation identification register.
    public var iidr: UInt32
    /// `aidr`: its architecture identification register.
    public var aidr: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        flags: UInt32 = 0,
        reserved: UInt32 = 0,
        idr: InlineArray<6, UInt32> = InlineArray<6, UInt32>(repeating: 0),
        iidr: UInt32 = 0,
        aidr: UInt32 = 0
    ) {
        self.flags = flags
        self.reserved = reserved
        self.idr = idr
        self.iidr = iidr
        self.aidr = aidr
    }

    /// Compares field by field.
    public static func == (left: Self, right: Self) -> Bool {
        left.flags == right.flags
            && left.reserved == right.reserved
            && sameElements(left.idr, right.idr)
            && left.iidr == right.iidr
            && left.aidr == right.aidr
    }
}

/// `iommu_hw_info_tegra241_cmdqv`: what the Tegra241's virtual command queues tell of themselves.
public struct HWInfoTegra241CMDQV: ABIValue, Equatable {
    /// `flags`: zero.
    public var flags: UInt32
    /// `version`: the version of the interface.
    public var version: UInt8
    /// `log2vcmdqs`: binary logarithm of the queues that one virtual interface has.
    public var log2VirtualCommandQueues: UInt8
    /// `log2vsids`: binary logarithm of the stream numbers that one virtual interface has.
    public var log2VirtualSIDs: UInt8
    /// `__reserved`: zero.
    public var reserved: UInt8

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        flags: UInt32 = 0,
        version: UInt8 = 0,
        log2VirtualCommandQueues: UInt8 = 0,
        log2VirtualSIDs: UInt8 = 0,
        reserved: UInt8 = 0
    ) {
        self.flags = flags
        self.version = version
        self.log2VirtualCommandQueues = log2VirtualCommandQueues
        self.log2VirtualSIDs = log2VirtualSIDs
        self.reserved = reserved
    }
}

/// `iommu_hw_info_amd`: what an AMD IOMMU tells of itself.
public struct HWInfoAMD: ABIValue, Equatable {
    /// `efr`: its extended feature register.
    public var efr: UInt64
    /// `efr2`: its second extended feature register.
    public var efr2: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        efr: UInt64 = 0,
        efr2: UInt64 = 0
    ) {
        self.efr = efr
        self.efr2 = efr2
    }
}
