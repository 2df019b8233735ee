/// The family of a device-specific region.
public struct RegionType: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_REGION_TYPE_PCI_VENDOR_TYPE`: the flag that says: the low 16 bits are a PCI vendor's number.
    @inlinable public static var pciVendor: RegionType { RegionType(rawValue: 1 << 31) }

    /// `VFIO_REGION_TYPE_PCI_VENDOR_MASK`: the bits that hold the vendor's number.
    @inlinable public static var pciVendorMask: RegionType { RegionType(rawValue: 0xFFFF) }

    /// `VFIO_REGION_TYPE_GFX`: graphics.
    @inlinable public static var graphics: RegionType { RegionType(rawValue: 1) }

    /// `VFIO_REGION_TYPE_CCW`: s390 channel devices.
    @inlinable public static var ccw: RegionType { RegionType(rawValue: 2) }

    /// `VFIO_REGION_TYPE_MIGRATION_DEPRECATED`: migration, version 1; gone from Linux since 5.18.
    @inlinable public static var migrationDeprecated: RegionType { RegionType(rawValue: 3) }

    /// The family of regions that a PCI vendor defines.
    @inlinable public init(pciVendor vendor: UInt16) { self.rawValue = 1 << 31 | UInt32(vendor) }

    /// The PCI vendor that defines the family; nil where it is a common one.
    @inlinable public var pciVendorID: UInt16? {
        rawValue >> 31 == 1 ? UInt16(truncatingIfNeeded: rawValue) : nil
    }
}

/// A device-specific region within its family; the numbers of different families overlap.
public struct RegionSubtype: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION`: Intel 8086: the operation region of integrated graphics.
    @inlinable public static var intelIGDOpRegion: RegionSubtype { RegionSubtype(rawValue: 1) }

    /// `VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG`: Intel 8086: the host bridge's configuration space.
    @inlinable public static var intelIGDHostConfiguration: RegionSubtype { RegionSubtype(rawValue: 2) }

    /// `VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG`: Intel 8086: the LPC bridge's configuration space.
    @inlinable public static var intelIGDLPCConfiguration: RegionSubtype { RegionSubtype(rawValue: 3) }

    /// `VFIO_REGION_SUBTYPE_NVIDIA_NVLINK2_RAM`: NVIDIA 10de: a GPU's memory over NVLink.
    @inlinable public static var nvidiaNVLink2RAM: RegionSubtype { RegionSubtype(rawValue: 1) }

    /// `VFIO_REGION_SUBTYPE_IBM_NVLINK2_ATSD`: IBM 1014: address translation shoot-down over NVLink.
    @inlinable public static var ibmNVLink2ATSD: RegionSubtype { RegionSubtype(rawValue: 1) }

    /// `VFIO_REGION_SUBTYPE_GFX_EDID`: graphics: `GFXEDIDRegion`.
    @inlinable public static var graphicsEDID: RegionSubtype { RegionSubtype(rawValue: 1) }

    /// `VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD`: channel devices: `CCWCommandRegion`.
    @inlinable public static var ccwAsyncCommand: RegionSubtype { RegionSubtype(rawValue: 1) }

    /// `VFIO_REGION_SUBTYPE_CCW_SCHIB`: channel devices: `CCWSCHIBRegion`.
    @inlinable public static var ccwSCHIB: RegionSubtype { RegionSubtype(rawValue: 2) }

    /// `VFIO_REGION_SUBTYPE_CCW_CRW`: channel devices: `CCWCRWRegion`.
    @inlinable public static var ccwCRW: RegionSubtype { RegionSubtype(rawValue: 3) }

    /// `VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED`: migration version 1: `LegacyMigrationInfo`.
    @inlinable public static var migrationDeprecated: RegionSubtype { RegionSubtype(rawValue: 1) }
}

/// `vfio_region_info_cap_type`: capability `RegionCapabilityID.type`: what a device-specific region is.
public struct RegionTypeCapability: ABIValue, Equatable {
    /// `header`: the capability's header.
    public var header: CapabilityHeader
    /// `type`: the family.
    public var type: RegionType
    /// `subtype`: the region within the family.
    public var subtype: RegionSubtype

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        header: CapabilityHeader = CapabilityHeader(),
        type: RegionType = RegionType(rawValue: 0),
        subtype: RegionSubtype = RegionSubtype(rawValue: 0)
    ) {
        self.header = header
        self.type = type
        self.subtype = subtype
    }
}

/// Whether a virtual monitor is plugged in.
public struct GFXLinkState: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_DEVICE_GFX_LINK_STATE_UP`: plugged in.
    @inlinable public static var up: GFXLinkState { GFXLinkState(rawValue: 1) }

    /// `VFIO_DEVICE_GFX_LINK_STATE_DOWN`: not plugged in.
    @inlinable public static var down: GFXLinkState { GFXLinkState(rawValue: 2) }
}

/// `vfio_region_gfx_edid`: the registers at the start of a graphics EDID region.
public struct GFXEDIDRegion: ABIValue, Equatable {
    /// `edid_offset`: where the EDID block starts in the region, in bytes; read only.
    public var edidOffset: UInt32
    /// `edid_max_size`: the most bytes that the block takes; read only.
    public var edidMaxSize: UInt32
    /// `edid_size`: the size of the block in bytes.
    public var edidSize: UInt32
    /// `max_xres`: the largest width in pixels; read only.
    public var maxXResolution: UInt32
    /// `max_yres`: the largest height in pixels; read only.
    public var maxYResolution: UInt32
    /// `link_state`: whether the monitor is plugged in.
    public var linkState: GFXLinkState

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        edidOffset: UInt32 = 0,
        edidMaxSize: UInt32 = 0,
        edidSize: UInt32 = 0,
        maxXResolution: UInt32 = 0,
        maxYResolution: UInt32 = 0,
        linkState: GFXLinkState = GFXLinkState(rawValue: 0)
    ) {
        self.edidOffset = edidOffset
        self.edidMaxSize = edidMaxSize
        self.edidSize = edidSize
        self.maxXResolution = maxXResolution
        self.maxYResolution = maxYResolution
        self.linkState = linkState
    }
}
