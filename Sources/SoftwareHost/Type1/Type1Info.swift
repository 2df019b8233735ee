import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

extension Type1 {
    /// VFIO_IOMMU_GET_INFO (kernel.md B.3): page sizes, and three capabilities.
    func getInfo(_ address: HostAddress) throws(Errno) {
        let least = IOMMUType1Info.minimumSize
        var info = try UserMemory.load(IOMMUType1Info(), from: address, count: least)
        guard info.argsz >= UInt32(least) else { throw .invalid }
        var chain = CapabilityBuilder<IOMMUType1Info>()
        try exclusively { () throws(Errno) in
            info.flags = .pageSizes
            info.pageSizes = pageSizes
            let ranges = usable.map { Type1IOVARange(start: $0.first.rawValue, end: $0.last.rawValue) }
            do throws(CapabilityBuilderError) {
                try chain.appendMigration(
                    pageSizes: unit, maxDirtyBitmapSize: Bitmap.mostByteCount)
                try chain.appendDMAAvailable(available)
                if !ranges.isEmpty { try chain.appendIOVARanges(ranges.span) }
            } catch {
                throw .noMemory
            }
        }
        try chain.copyOut(info, to: address)
    }
}
