import LinuxSystem
import VFIOABI
import VFIOHost

extension DeviceFile {
    /// VFIO_DEVICE_GET_REGION_INFO: what the driver tells, in the form of the uAPI (kernel.md A.7).
    func getRegionInfo(_ address: HostAddress) throws(Errno) {
        var info = try UserMemory.load(RegionInfo(), from: address)
        guard info.argsz >= UInt32(RegionInfo.minimumSize) else { throw .invalid }
        let region = try bus.regionInfo(index: info.index)
        info.flags = RegionFlags(rawValue: region.flags)
        info.size = region.size
        info.offset = region.offset
        let areas = region.sparseAreas.map { SparseMmapArea(offset: $0.offset, size: $0.size) }
        var chain = CapabilityBuilder<RegionInfo>()
        do throws(CapabilityBuilderError) {
            if let type = region.type {
                try chain.appendType(
                    RegionType(rawValue: type.type), RegionSubtype(rawValue: type.subtype))
            }
            if !areas.isEmpty { try chain.appendSparseMmap(areas.span) }
            if region.isMSIXMappable { try chain.appendMSIXMappable() }
        } catch {
            throw .noMemory
        }
        // Without capabilities Linux gives `cap_offset` back as it came.
        if chain.isEmpty {
            try UserMemory.store(info, to: address)
        } else {
            try chain.copyOut(info, to: address)
        }
    }
}
