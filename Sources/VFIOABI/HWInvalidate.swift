/// What the records of `HWPTInvalidate` are.
public struct HWPTInvalidateDataType: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_HWPT_INVALIDATE_DATA_VTD_S1`: `HWPTVTDStage1Invalidate`.
    @inlinable public static var vtdStage1: HWPTInvalidateDataType { HWPTInvalidateDataType(rawValue: 0) }

    /// `IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3`: `VIOMMUARMSMMUv3Invalidate`.
    @inlinable public static var armSMMUv3: HWPTInvalidateDataType { HWPTInvalidateDataType(rawValue: 1) }
}

/// `iommu_hwpt_invalidate`: the argument of `Request.hwptInvalidate`: forgets cached translations of a
/// nested page table or a virtual IOMMU.
public struct HWPTInvalidate: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `hwpt_id`: the page table or the virtual IOMMU.
    public var hwptID: UInt32
    /// `data_uptr`: the process's address of the records.
    public var dataAddress: UInt64
    /// `data_type`: what they are.
    public var dataType: HWPTInvalidateDataType
    /// `entry_len`: the bytes of one record.
    public var entryLength: UInt32
    /// `entry_num`: how many; in the answer how many were done.
    public var entryCount: UInt32
    /// `__reserved`: zero.
    public var reserved: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 32 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        hwptID: UInt32 = 0,
        dataAddress: UInt64 = 0,
        dataType: HWPTInvalidateDataType = HWPTInvalidateDataType(rawValue: 0),
        entryLength: UInt32 = 0,
        entryCount: UInt32 = 0,
        reserved: UInt32 = 0
    ) {
        self.size = size
        self.hwptID = hwptID
        self.dataAddress = dataAddress
        self.dataType = dataType
        self.entryLength = entryLength
        self.entryCount = entryCount
        self.reserved = reserved
    }
}

/// How much VT-d forgets.
public struct HWPTVTDInvalidateFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_VTD_INV_FLAGS_LEAF`: only the lowest level.
    @inlinable public static var leaf: HWPTVTDInvalidateFlags { HWPTVTDInvalidateFlags(rawValue: 1 << 0) }
}

/// `iommu_hwpt_vtd_s1_invalidate`: a range to forget in a VT-d first-stage page table.
public struct HWPTVTDStage1Invalidate: ABIValue, Equatable {
    /// `addr`: the first address; a multiple of 4 KiB.
    public var address: UInt64
    /// `npages`: pages of 4 KiB; all ones for everything.
    public var pageCount: UInt64
    /// `flags`: how much.
    public var flags: HWPTVTDInvalidateFlags
    /// `__reserved`: zero.
    public var reserved: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        address: UInt64 = 0,
        pageCount: UInt64 = 0,
        flags: HWPTVTDInvalidateFlags = [],
        reserved: UInt32 = 0
    ) {
        self.address = address
        self.pageCount = pageCount
        self.flags = flags
        self.reserved = reserved
    }
}

/// `iommu_viommu_arm_smmuv3_invalidate`: an invalidation command of the SMMUv3.
public struct VIOMMUARMSMMUv3Invalidate: ABIValue, Equatable {
    /// `cmd`: the command's two words.
    public var command: InlineArray<2, UInt64>

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        command: InlineArray<2, UInt64> = InlineArray<2, UInt64>(repeating: 0)
    ) {
        self.command = command
    }

    /// Compares field by field.
    public static func == (left: Self, right: Self) -> Bool {
        sameElements(left.command, right.command)
    }
}
