/// What `RegionInfo` says about a region.
public struct RegionFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_REGION_INFO_FLAG_READ`: it can be read.
    @inlinable public static var read: RegionFlags { RegionFlags(rawValue: 1 << 0) }

    /// `VFIO_REGION_INFO_FLAG_WRITE`: it can be written.
    @inlinable public static var write: RegionFlags { RegionFlags(rawValue: 1 << 1) }

    /// `VFIO_REGION_INFO_FLAG_MMAP`: it can be mapped, at least in parts.
    @inlinable public static var mmap: RegionFlags { RegionFlags(rawValue: 1 << 2) }

    /// `VFIO_REGION_INFO_FLAG_CAPS`: the answer has capabilities.
    @inlinable public static var caps: RegionFlags { RegionFlags(rawValue: 1 << 3) }
}

/// `vfio_region_info`: question and answer of `Request.deviceGetRegionInfo`. A capability chain may follow;
/// its identifiers are `RegionCapabilityID`.
public struct RegionInfo: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: what can be done with the region.
    public var flags: RegionFlags
    /// `index`: the region asked for.
    public var index: UInt32
    /// `cap_offset`: where the capability chain starts, 0 where there is none or where it did not fit.
    public var capabilityOffset: UInt32
    /// `size`: the region's size in bytes, 0 where there is no such region.
    public var size: UInt64
    /// `offset`: where the region starts in the device's descriptor, for reads, writes and mappings.
    public var offset: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 32 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: RegionFlags = [],
        index: UInt32 = 0,
        capabilityOffset: UInt32 = 0,
        size: UInt64 = 0,
        offset: UInt64 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.index = index
        self.capabilityOffset = capabilityOffset
        self.size = size
        self.offset = offset
    }
}

/// The identifiers in the capability chain of `RegionInfo`.
public struct RegionCapabilityID: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt16

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// `VFIO_REGION_INFO_CAP_SPARSE_MMAP`: `SparseMmapCapability`: only some areas can be mapped.
    @inlinable public static var sparseMmap: RegionCapabilityID { RegionCapabilityID(rawValue: 1) }

    /// `VFIO_REGION_INFO_CAP_TYPE`: `RegionTypeCapability`: what a device-specific region is.
    @inlinable public static var type: RegionCapabilityID { RegionCapabilityID(rawValue: 2) }

    /// `VFIO_REGION_INFO_CAP_MSIX_MAPPABLE`: a bare header: the area of the MSI-X table may be mapped with
    /// the rest.
    @inlinable public static var msixMappable: RegionCapabilityID { RegionCapabilityID(rawValue: 3) }

    /// `VFIO_REGION_INFO_CAP_NVLINK2_SSATGT`: `NVLink2SSATargetCapability`.
    @inlinable public static var nvlink2SSATarget: RegionCapabilityID { RegionCapabilityID(rawValue: 4) }

    /// `VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD`: `NVLink2LinkSpeedCapability`.
    @inlinable public static var nvlink2LinkSpeed: RegionCapabilityID { RegionCapabilityID(rawValue: 5) }
}

/// `vfio_region_sparse_mmap_area`: a part of a region that can be mapped.
public struct SparseMmapArea: ABIValue, Equatable {
    /// `offset`: where it starts in the region, in bytes.
    public var offset: UInt64
    /// `size`: its size in bytes.
    public var size: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        offset: UInt64 = 0,
        size: UInt64 = 0
    ) {
        self.offset = offset
        self.size = size
    }
}

/// `vfio_region_info_cap_sparse_mmap`: capability `RegionCapabilityID.sparseMmap`. `areaCount` records of
/// `SparseMmapArea` follow it.
public struct SparseMmapCapability: ABIValue, Equatable {
    /// `header`: the capability's header.
    public var header: CapabilityHeader
    /// `nr_areas`: the number of areas that follow.
    public var areaCount: UInt32
    /// `reserved`: zero.
    public var reserved: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        header: CapabilityHeader = CapabilityHeader(),
        areaCount: UInt32 = 0,
        reserved: UInt32 = 0
    ) {
        self.header = header
        self.areaCount = areaCount
        self.reserved = reserved
    }
}

/// `vfio_region_info_cap_nvlink2_ssatgt`: capability `RegionCapabilityID.nvlink2SSATarget`: the address by
/// which a GPU's memory is seen from NVLink.
public struct NVLink2SSATargetCapability: ABIValue, Equatable {
    /// `header`: the capability's header.
    public var header: CapabilityHeader
    /// `tgt`: the address.
    public var target: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        header: CapabilityHeader = CapabilityHeader(),
        target: UInt64 = 0
    ) {
        self.header = header
        self.target = target
    }
}

/// `vfio_region_info_cap_nvlink2_lnkspd`: capability `RegionCapabilityID.nvlink2LinkSpeed`.
public struct NVLink2LinkSpeedCapability: ABIValue, Equatable {
    /// `header`: the capability's header.
    public var header: CapabilityHeader
    /// `link_speed`: the speed's code.
    public var linkSpeed: UInt32
    /// `__pad`: zero.
    public var padding: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        header: CapabilityHeader = CapabilityHeader(),
        linkSpeed: UInt32 = 0,
        padding: UInt32 = 0
    ) {
        self.header = header
        self.linkSpeed = linkSpeed
        self.padding = padding
    }
}
