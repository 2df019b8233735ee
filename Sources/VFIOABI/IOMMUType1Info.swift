/// What `IOMMUType1Info` holds.
public struct IOMMUInfoFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_IOMMU_INFO_PGSIZES`: `pageSizes` is filled in.
    @inlinable public static var pageSizes: IOMMUInfoFlags { IOMMUInfoFlags(rawValue: 1 << 0) }

    /// `VFIO_IOMMU_INFO_CAPS`: the answer has capabilities.
    @inlinable public static var caps: IOMMUInfoFlags { IOMMUInfoFlags(rawValue: 1 << 1) }
}

/// `vfio_iommu_type1_info`: the answer to `Request.iommuGetInfo`. A capability chain may follow; its
/// identifiers are `IOMMUCapabilityID`.
public struct IOMMUType1Info: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: what is filled in.
    public var flags: IOMMUInfoFlags
    /// `iova_pgsizes`: the page sizes: bit n stands for 2^n bytes; the lowest is the unit of alignment.
    public var pageSizes: UInt64
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
        flags: IOMMUInfoFlags = [],
        pageSizes: UInt64 = 0,
        capabilityOffset: UInt32 = 0,
        padding: UInt32 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.pageSizes = pageSizes
        self.capabilityOffset = capabilityOffset
        self.padding = padding
    }
}

/// The identifiers in the capability chain of `IOMMUType1Info`.
public struct IOMMUCapabilityID: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt16

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// `VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE`: `Type1IOVARangeCapability`.
    @inlinable public static var iovaRange: IOMMUCapabilityID { IOMMUCapabilityID(rawValue: 1) }

    /// `VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION`: `Type1MigrationCapability`.
    @inlinable public static var migration: IOMMUCapabilityID { IOMMUCapabilityID(rawValue: 2) }

    /// `VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL`: `Type1DMAAvailableCapability`.
    @inlinable public static var dmaAvailable: IOMMUCapabilityID { IOMMUCapabilityID(rawValue: 3) }
}

/// `vfio_iova_range`: a range of IOVAs that can be mapped.
public struct Type1IOVARange: ABIValue, Equatable {
    /// `start`: the first IOVA.
    public var start: UInt64
    /// `end`: the last IOVA, inclusive.
    public var end: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        start: UInt64 = 0,
        end: UInt64 = 0
    ) {
        self.start = start
        self.end = end
    }
}

/// `vfio_iommu_type1_info_cap_iova_range`: capability `IOMMUCapabilityID.iovaRange`. `rangeCount` records of
/// `Type1IOVARange` follow it.
public struct Type1IOVARangeCapability: ABIValue, Equatable {
    /// `header`: the capability's header.
    public var header: CapabilityHeader
    /// `nr_iovas`: the number of ranges that follow.
    public var rangeCount: UInt32
    /// `reserved`: zero.
    public var reserved: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        header: CapabilityHeader = CapabilityHeader(),
        rangeCount: UInt32 = 0,
        reserved: UInt32 = 0
    ) {
        self.header = header
        self.rangeCount = rangeCount
        self.reserved = reserved
    }
}

/// `vfio_iommu_type1_info_cap_migration`: capability `IOMMUCapabilityID.migration`: dirty tracking.
public struct Type1MigrationCapability: ABIValue, Equatable {
    /// `header`: the capability's header.
    public var header: CapabilityHeader
    /// `flags`: zero; no flags are defined.
    public var flags: UInt32
    /// The room that C leaves before the next field.
    @usableFromInline var padding: UInt32
    /// `pgsize_bitmap`: the page sizes that a dirty bitmap can have: bit n stands for 2^n bytes.
    public var pageSizes: UInt64
    /// `max_dirty_bitmap_size`: the largest bitmap in bytes.
    public var maxDirtyBitmapSize: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        header: CapabilityHeader = CapabilityHeader(),
        flags: UInt32 = 0,
        pageSizes: UInt64 = 0,
        maxDirtyBitmapSize: UInt64 = 0
    ) {
        self.header = header
        self.flags = flags
        self.padding = 0
        self.pageSizes = pageSizes
        self.maxDirtyBitmapSize = maxDirtyBitmapSize
    }
}

/// `vfio_iommu_type1_info_dma_avail`: capability `IOMMUCapabilityID.dmaAvailable`: how many more mappings
/// the container takes.
public struct Type1DMAAvailableCapability: ABIValue, Equatable {
    /// `header`: the capability's header.
    public var header: CapabilityHeader
    /// `avail`: mappings still free.
    public var available: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        header: CapabilityHeader = CapabilityHeader(),
        available: UInt32 = 0
    ) {
        self.header = header
        self.available = available
    }
}
