/// Where a place in a region of a PCI device is in the device's descriptor.
///
/// vfio-pci puts region n at n · 2^40 (kernel.md D.3). That is its own affair, not the uAPI's: a user takes
/// `RegionInfo.offset`; this is for those who answer as vfio-pci does.
public struct PCIRegionOffset: Hashable, Sendable {
    /// The region.
    public var region: PCIRegion
    /// The place in it, in bytes, below 2^40.
    public var offset: UInt64

    /// The bits of a place in a region.
    @inlinable public static var shift: UInt64 { 40 }

    /// The mask of a place in a region, 2^40 − 1.
    @inlinable public static var mask: UInt64 { (1 << 40) - 1 }

    /// A place in a region.
    ///
    /// - Returns: nil where the place is not below 2^40, or the region's index not below 2^24.
    @inlinable
    public init?(_ region: PCIRegion, at offset: UInt64 = 0) {
        guard offset <= Self.mask, region.rawValue < 1 << 24 else { return nil }
        self.region = region
        self.offset = offset
    }

    /// Takes an offset in the device's descriptor apart; every number can be.
    @inlinable
    public init(fileOffset: UInt64) {
        self.region = PCIRegion(rawValue: UInt32(fileOffset >> Self.shift))
        self.offset = fileOffset & Self.mask
    }

    /// The offset in the device's descriptor.
    @inlinable public var fileOffset: UInt64 { UInt64(region.rawValue) << Self.shift | offset }
}
