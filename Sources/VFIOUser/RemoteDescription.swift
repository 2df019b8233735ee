import VFIOABI

/// What a server's device is, as far as programs rely on it.
struct RemoteDescription: Equatable {
    let info: UserDeviceInfo
    /// For each region its length, and what may be done with it.
    private(set) var regions: [RegionInfo] = []
    /// For each interrupt index how many there are, and of what kind.
    private(set) var interrupts: [IRQInfo] = []
    /// The first 64 bytes of configuration space, without what the device's user changes.
    let vendor: UInt16
    let device: UInt16
    let subsystemVendor: UInt16
    let subsystem: UInt16
    let classAndRevision: UInt32

    /// The most regions and interrupt indices that a server may have; vfio-pci has 9 and 5.
    private static let mostIndices = 64

    init(_ client: Client) throws(ClientFailure) {
        info = try client.deviceInfo()
        guard info.flags.contains(.pci), info.regionCount >= PCIRegion.count,
            info.regionCount <= Self.mostIndices, info.irqCount >= PCIInterrupt.count,
            info.irqCount <= Self.mostIndices
        else { throw .malformed(.deviceGetInfo) }
        for index in 0..<info.regionCount {
            let region = try client.region(index)
            // What lies beyond can't be told in a handle's offset.
            guard region.info.size <= PCIRegionOffset.mask + 1 else {
                throw .malformed(.deviceGetRegionInfo)
            }
            var known = region.info
            known.argsz = UInt32(RegionInfo.byteCount)
            known.capabilityOffset = 0
            known.offset = UInt64(index) << PCIRegionOffset.shift
            known.flags.remove(.caps)
            if region.areas.isEmpty { known.flags.remove(.mmap) }
            regions.append(known)
        }
        // As long as PCI says; nothing else can be taken apart.
        let byteCount = regions[Int(PCIRegion.config.rawValue)].size
        guard byteCount == 256 || byteCount == 4096 else { throw .malformed(.deviceGetRegionInfo) }
        for index in 0..<info.irqCount { interrupts.append(try client.interrupt(index)) }
        var bytes = [UInt8](repeating: 0, count: 64)
        var span = bytes.mutableSpan
        // SAFETY: any bytes are UInt8s.
        var raw = unsafe span.mutableBytes
        try client.read(region: PCIRegion.config.rawValue, at: 0, into: &raw)
        func word(_ at: Int) -> UInt16 { UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8 }
        vendor = word(0)
        device = word(2)
        classAndRevision = UInt32(word(8)) | UInt32(word(10)) << 16
        subsystemVendor = word(0x2c)
        subsystem = word(0x2e)
    }
}
