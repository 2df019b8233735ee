/// How a page table is made.
public struct HWPTAllocFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_HWPT_ALLOC_NEST_PARENT`: other page tables can be nested in it.
    @inlinable public static var nestParent: HWPTAllocFlags { HWPTAllocFlags(rawValue: 1 << 0) }

    /// `IOMMU_HWPT_ALLOC_DIRTY_TRACKING`: it can track dirty pages.
    @inlinable public static var dirtyTracking: HWPTAllocFlags { HWPTAllocFlags(rawValue: 1 << 1) }

    /// `IOMMU_HWPT_FAULT_ID_VALID`: `faultID` is given.
    @inlinable public static var faultIDValid: HWPTAllocFlags { HWPTAllocFlags(rawValue: 1 << 2) }

    /// `IOMMU_HWPT_ALLOC_PASID`: it can be attached to a process address space number.
    @inlinable public static var pasid: HWPTAllocFlags { HWPTAllocFlags(rawValue: 1 << 3) }
}

/// What an IOMMU wants to know to make a page table.
public struct HWPTDataType: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_HWPT_DATA_NONE`: nothing.
    @inlinable public static var none: HWPTDataType { HWPTDataType(rawValue: 0) }

    /// `IOMMU_HWPT_DATA_VTD_S1`: `HWPTVTDStage1`.
    @inlinable public static var vtdStage1: HWPTDataType { HWPTDataType(rawValue: 1) }

    /// `IOMMU_HWPT_DATA_ARM_SMMUV3`: `HWPTARMSMMUv3`.
    @inlinable public static var armSMMUv3: HWPTDataType { HWPTDataType(rawValue: 2) }

    /// `IOMMU_HWPT_DATA_AMD_GUEST`: `HWPTAMDGuest`.
    @inlinable public static var amdGuest: HWPTDataType { HWPTDataType(rawValue: 3) }
}

/// `iommu_hwpt_alloc`: the argument of `Request.hwptAlloc`: makes a page table.
public struct HWPTAlloc: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `flags`: how.
    public var flags: HWPTAllocFlags
    /// `dev_id`: the device that it is for.
    public var deviceID: UInt32
    /// `pt_id`: what it is made from: an address space, a page table or a virtual IOMMU.
    public var pageTableID: UInt32
    /// `out_hwpt_id`: answer: the new object's number.
    public var hwptID: UInt32
    /// `__reserved`: zero.
    public var reserved: UInt32
    /// `data_type`: what `dataAddress` points to.
    public var dataType: HWPTDataType
    /// `data_len`: its bytes.
    public var dataLength: UInt32
    /// `data_uptr`: the process's address of it.
    public var dataAddress: UInt64
    /// `fault_id`: the fault queue.
    public var faultID: UInt32
    /// `__reserved2`: zero.
    public var reserved2: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 24 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: HWPTAllocFlags = [],
        deviceID: UInt32 = 0,
        pageTableID: UInt32 = 0,
        hwptID: UInt32 = 0,
        reserved: UInt32 = 0,
        dataType: HWPTDataType = HWPTDataType(rawValue: 0),
        dataLength: UInt32 = 0,
        dataAddress: UInt64 = 0,
        faultID: UInt32 = 0,
        reserved2: UInt32 = 0
    ) {
        self.size = size
        self.flags = flags
        self.deviceID = deviceID
        self.pageTableID = pageTableID
        self.hwptID = hwptID
        self.reserved = reserved
        self.dataType = dataType
        self.dataLength = dataLength
        self.dataAddress = dataAddress
        self.faultID = faultID
        self.reserved2 = reserved2
    }
}

/// How a VT-d first-stage page table is walked.
public struct HWPTVTDStage1Flags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt64

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// `IOMMU_VTD_S1_SRE`: requests for supervisor pages are allowed.
    @inlinable public static var supervisorRequests: HWPTVTDStage1Flags {
        HWPTVTDStage1Flags(rawValue: 1 << 0)
    }

    /// `IOMMU_VTD_S1_EAFE`: the extended accessed flag is kept.
    @inlinable public static var extendedAccessFlag: HWPTVTDStage1Flags {
        HWPTVTDStage1Flags(rawValue: 1 << 1)
    }

    /// `IOMMU_VTD_S1_WPE`: write protection holds for supervisors too.
    @inlinable public static var writeProtect: HWPTVTDStage1Flags { HWPTVTDStage1Flags(rawValue: 1 << 2) }
}

/// `iommu_hwpt_vtd_s1`: a VT-d first-stage page table.
public struct HWPTVTDStage1: ABIValue, Equatable {
    /// `flags`: how it is walked.
    public var flags: HWPTVTDStage1Flags
    /// `pgtbl_addr`: its guest-physical address.
    public var pageTableAddress: UInt64
    /// `addr_width`: bits of an address.
    public var addressWidth: UInt32
    /// `__reserved`: zero.
    public var reserved: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        flags: HWPTVTDStage1Flags = [],
        pageTableAddress: UInt64 = 0,
        addressWidth: UInt32 = 0,
        reserved: UInt32 = 0
    ) {
        self.flags = flags
        self.pageTableAddress = pageTableAddress
        self.addressWidth = addressWidth
        self.reserved = reserved
    }
}

/// `iommu_hwpt_arm_smmuv3`: an SMMUv3 first-stage page table.
public struct HWPTARMSMMUv3: ABIValue, Equatable {
    /// `ste`: the first two words of the guest's stream table entry.
    public var streamTableEntry: InlineArray<2, UInt64>

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        streamTableEntry: InlineArray<2, UInt64> = InlineArray<2, UInt64>(repeating: 0)
    ) {
        self.streamTableEntry = streamTableEntry
    }

    /// Compares field by field.
    public static func == (left: Self, right: Self) -> Bool {
        sameElements(left.streamTableEntry, right.streamTableEntry)
    }
}

/// `iommu_hwpt_amd_guest`: an AMD guest page table.
public struct HWPTAMDGuest: ABIValue, Equatable {
    /// `dte`: the guest's device table entry.
    public var deviceTableEntry: InlineArray<4, UInt64>

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        deviceTableEntry: InlineArray<4, UInt64> = InlineArray<4, UInt64>(repeating: 0)
    ) {
        self.deviceTableEntry = deviceTableEntry
    }

    /// Compares field by field.
    public static func == (left: Self, right: Self) -> Bool {
        sameElements(left.deviceTableEntry, right.deviceTableEntry)
    }
}

/// What `HWPTSetDirtyTracking` does; no bit stops.
public struct HWPTDirtyTrackingFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_HWPT_DIRTY_TRACKING_ENABLE`: start to track.
    @inlinable public static var enable: HWPTDirtyTrackingFlags { HWPTDirtyTrackingFlags(rawValue: 1 << 0) }
}

/// `iommu_hwpt_set_dirty_tracking`: the argument of `Request.hwptSetDirtyTracking`.
public struct HWPTSetDirtyTracking: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `flags`: what to do.
    public var flags: HWPTDirtyTrackingFlags
    /// `hwpt_id`: the page table.
    public var hwptID: UInt32
    /// `__reserved`: zero.
    public var reserved: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 16 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: HWPTDirtyTrackingFlags = [],
        hwptID: UInt32 = 0,
        reserved: UInt32 = 0
    ) {
        self.size = size
        self.flags = flags
        self.hwptID = hwptID
        self.reserved = reserved
    }
}

/// How `HWPTGetDirtyBitmap` reads.
public struct HWPTGetDirtyBitmapFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR`: leave the pages dirty.
    @inlinable public static var noClear: HWPTGetDirtyBitmapFlags {
        HWPTGetDirtyBitmapFlags(rawValue: 1 << 0)
    }
}

/// `iommu_hwpt_get_dirty_bitmap`: the argument of `Request.hwptGetDirtyBitmap`. Bits are set, never cleared.
public struct HWPTGetDirtyBitmap: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `hwpt_id`: the page table.
    public var hwptID: UInt32
    /// `flags`: how.
    public var flags: HWPTGetDirtyBitmapFlags
    /// `__reserved`: zero.
    public var reserved: UInt32
    /// `iova`: the first IOVA.
    public var iova: UInt64
    /// `length`: bytes.
    public var length: UInt64
    /// `page_size`: the bytes that one bit stands for.
    public var pageSize: UInt64
    /// `data`: the process's address of the bitmap, an array of 64-bit words.
    public var data: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 48 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        hwptID: UInt32 = 0,
        flags: HWPTGetDirtyBitmapFlags = [],
        reserved: UInt32 = 0,
        iova: UInt64 = 0,
        length: UInt64 = 0,
        pageSize: UInt64 = 0,
        data: UInt64 = 0
    ) {
        self.size = size
        self.hwptID = hwptID
        self.flags = flags
        self.reserved = reserved
        self.iova = iova
        self.length = length
        self.pageSize = pageSize
        self.data = data
    }
}
