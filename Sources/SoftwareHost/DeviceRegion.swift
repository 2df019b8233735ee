import LinuxSystem
import VFIOABI

extension DeviceFile {
    /// VFIO_DEVICE_GET_REGION_INFO: what the driver tells, in the form of the uAPI (kernel.md A.7).
    func getRegionInfo(_ address: HostAddress) throws(Errno) {
        var info = try UserMemory.load(RegionInfo(), from: address)
        guard info.argsz >= UInt32(RegionInfo.minimumSize) else { throw .invalid }
        let region = try bus.regionInfo(index: info.index)
        info.flags = RegionFlags(rawValue: region.flags)
        info.size = region.size
        info.offset = region.offset
        var chain = CapabilityChain(behind: RegionInfo.byteCount)
        if let type = region.type {
            chain.add(
                RegionTypeCapability(
                    header: CapabilityHeader(id: RegionCapabilityID.type.rawValue, version: 1),
                    type: RegionType(rawValue: type.type),
                    subtype: RegionSubtype(rawValue: type.subtype)))
        }
        if !region.sparseAreas.isEmpty {
            chain.add(
                SparseMmapCapability(
                    header: CapabilityHeader(id: RegionCapabilityID.sparseMmap.rawValue, version: 1),
                    areaCount: UInt32(truncatingIfNeeded: region.sparseAreas.count)))
            for area in region.sparseAreas {
                chain.extend(SparseMmapArea(offset: area.offset, size: area.size))
            }
        }
        if region.isMSIXMappable {
            chain.add(CapabilityHeader(id: RegionCapabilityID.msixMappable.rawValue, version: 1))
        }
        if !chain.isEmpty { info.flags.insert(.caps) }
        info.capabilityOffset = try chain.copyOut(to: address, argsz: &info.argsz)
        try UserMemory.store(info, to: address)
    }
}
