import VFIOABI
import VFIOHost

/// What a host tells of a region, without mapping it: `VFIO_DEVICE_GET_REGION_INFO` with its capabilities.
public struct RegionLayout: Sendable, Equatable {
    /// Its length in bytes; 0 if the device has no such region.
    public let byteCount: UInt64
    /// What can be done with it.
    public let flags: RegionFlags
    /// The parts that can be mapped, in bytes from its start, where not all of it can
    /// (`VFIO_REGION_INFO_CAP_SPARSE_MMAP`); nil where the host names none.
    public let sparseAreas: [Range<UInt64>]?
    /// Whether the MSI-X table may be mapped with the rest (`VFIO_REGION_INFO_CAP_MSIX_MAPPABLE`).
    public let isMSIXMappable: Bool
    /// What it is, for device-specific regions (`VFIO_REGION_INFO_CAP_TYPE`).
    public let kind: Region.Kind?
    /// The bytes of the MSI-X table, if it lies here.
    public let msixTable: Range<UInt64>?
}

extension Device {
    /// What the host tells of a region. Nothing is mapped.
    /// - Throws: ``VFIOError/Code/notSupported`` where the host knows no region of this number; what else it says.
    public func layout(of index: RegionIndex) throws(VFIOError) -> RegionLayout {
        let description = try RegionDescription(handle, index, of: name, called: title(of: index))
        return RegionLayout(
            byteCount: description.area.byteCount, flags: description.area.flags,
            // Each lies inside the region, or ends with its last page: the sum doesn't overflow.
            sparseAreas: description.sparseAreas?.map { $0.offset..<$0.offset + $0.size },
            isMSIXMappable: description.isMSIXMappable, kind: description.kind,
            msixTable: msixTable?.region == index ? msixTable?.bytes : nil)
    }
}
