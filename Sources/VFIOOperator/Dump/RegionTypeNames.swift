import VFIOABI

extension DeviceReport.RegionType {
    /// What the uAPI calls it ("Intel IGD OpRegion", "graphics EDID"); nil for one that has no name here.
    public var words: String? {
        let family = VFIOABI.RegionType(rawValue: type)
        let kind = RegionSubtype(rawValue: subtype)
        switch (family.pciVendorID, family, kind) {
        case (0x8086, _, .intelIGDOpRegion): return "Intel IGD operation region"
        case (0x8086, _, .intelIGDHostConfiguration): return "Intel host bridge's configuration space"
        case (0x8086, _, .intelIGDLPCConfiguration): return "Intel LPC bridge's configuration space"
        case (0x10de, _, .nvidiaNVLink2RAM): return "NVIDIA memory over NVLink"
        case (0x1014, _, .ibmNVLink2ATSD): return "IBM address translation shoot-down"
        case (nil, .graphics, .graphicsEDID): return "graphics EDID"
        case (nil, .ccw, .ccwAsyncCommand): return "channel device's asynchronous commands"
        case (nil, .ccw, .ccwSCHIB): return "channel device's subchannel information"
        case (nil, .ccw, .ccwCRW): return "channel device's reports"
        case (nil, .migrationDeprecated, .migrationDeprecated): return "migration, version 1"
        default: return nil
        }
    }
}
