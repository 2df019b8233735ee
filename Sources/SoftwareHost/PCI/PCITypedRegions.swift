import DeviceModel
import LinuxSystem
import VFIOABI

/// The regions of a device beyond those of PCI (kernel.md D.3).
extension PCIBusDriver {
    /// How many regions there are. With the device's lock held.
    var regionCount: UInt32 {
        PCIRegion.count + UInt32(function.typedRegions.count) + (historicMigration == nil ? 0 : 1)
    }

    /// Whether a number is that of the registers of migration by version 1: the last, where there are such. With the
    /// device's lock held.
    private func isHistoricMigration(_ index: UInt64) -> Bool {
        historicMigration != nil && index == UInt64(regionCount - 1)
    }

    /// - Throws: `EINVAL` for a number behind the last.
    func describeTypedRegion(_ index: UInt32, _ offset: UInt64) throws(Errno) -> RegionDescription {
        if lock.withLock({ isHistoricMigration(UInt64(index)) }) { return describeHistoricMigration(offset) }
        let region = try typedRegion(UInt64(index))
        var description = RegionDescription(
            flags: RegionFlags.read.rawValue, size: UInt64(region.contents.count), offset: offset)
        description.type = (region.type.rawValue, region.subtype.rawValue)
        return description
    }

    private func typedRegion(_ index: UInt64) throws(Errno) -> TypedRegion {
        let first = UInt64(PCIRegion.count)
        guard index >= first, index - first < UInt64(function.typedRegions.count) else { throw .invalid }
        return function.typedRegions[Int(index - first)]
    }

    /// As much as lies in the region. With the device's lock held.
    func readTypedRegion(
        _ index: UInt64, _ position: UInt64, _ bytes: inout MutableRawSpan
    ) throws(Errno) -> Int {
        if isHistoricMigration(index) { return try readHistoricMigration(position, &bytes) }
        let contents = try typedRegion(index).contents
        guard position < UInt64(contents.count) else { throw .invalid }
        let start = Int(position)
        let count = min(bytes.byteCount, contents.count - start)
        for done in 0..<count {
            bytes.storeBytes(of: contents[start + done], toByteOffset: done, as: UInt8.self)
        }
        return count
    }

    /// With the device's lock held.
    /// - Throws: `EINVAL` for a region that can't be written, wherever the bytes would go.
    func writeTypedRegion(_ index: UInt64, _ position: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        guard isHistoricMigration(index) else { throw .invalid }
        return try writeHistoricMigration(position, bytes)
    }

    /// The address of Intel's operation region is the user's to keep: a guest's firmware writes it.
    func showOperationRegion() {
        guard function.typedRegions.contains(where: { $0.isIntelOperationRegion }) else { return }
        view.becomeIntelGraphics()
    }
}
