import IOVASpace
import LinuxSystem
import VFIOABI

extension Type1 {
    /// VFIO_IOMMU_GET_INFO (kernel.md B.3): page sizes, and three capabilities.
    func getInfo(_ address: HostAddress) throws(Errno) {
        let least = IOMMUType1Info.minimumSize
        var info = try UserMemory.load(IOMMUType1Info(), from: address, count: least)
        guard info.argsz >= UInt32(least) else { throw .invalid }
        let size = IOMMUType1Info.byteCount
        let room = min(Int(info.argsz), size)
        var chain = CapabilityChain(behind: size)
        try exclusively { () throws(Errno) in
            info.flags = [.pageSizes, .caps]
            info.pageSizes = pageSizes
            chain.add(
                Type1MigrationCapability(
                    header: CapabilityHeader(id: IOMMUCapabilityID.migration.rawValue, version: 1),
                    pageSizes: unit, maxDirtyBitmapSize: DirtyTarget.mostByteCount))
            chain.add(
                Type1DMAAvailableCapability(
                    header: CapabilityHeader(id: IOMMUCapabilityID.dmaAvailable.rawValue, version: 1),
                    available: available))
            addRanges(to: &chain)
        }
        info.capabilityOffset = try chain.copyOut(to: address, argsz: &info.argsz)
        try UserMemory.store(info, to: address, count: room)
    }

    private func addRanges(to chain: inout CapabilityChain) {
        guard !usable.isEmpty else { return }
        chain.add(
            Type1IOVARangeCapability(
                header: CapabilityHeader(id: IOMMUCapabilityID.iovaRange.rawValue, version: 1),
                rangeCount: UInt32(truncatingIfNeeded: usable.count)))
        for range in usable {
            chain.extend(Type1IOVARange(start: range.first.rawValue, end: range.last.rawValue))
        }
    }
}
