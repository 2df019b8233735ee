import DeviceModel
import LinuxSystem
import VFIOABI

/// The legacy windows of a VGA device, region 8 (kernel.md D.3, D.4).
extension PCIBusDriver {
    /// - Throws: `EINVAL` for a device without the region.
    func describeLegacyVGA(_ offset: UInt64) throws(Errno) -> RegionDescription {
        guard (lock.withLock { hasLegacyVGA }) else { throw .invalid }
        return RegionDescription(
            flags: RegionFlags([.read, .write]).rawValue, size: LegacyVGA.byteCount, offset: offset)
    }

    /// How much of an access lies in a window. With the device's lock held.
    /// - Throws: `EINVAL` outside all of them.
    func reachLegacyVGA(_ position: UInt64, _ byteCount: Int) throws(Errno) -> Int {
        guard hasLegacyVGA else { throw .invalid }
        return try LegacyVGA.reach(position, byteCount)
    }

    /// With the device's lock held.
    func readLegacyVGA(_ position: UInt64, _ bytes: inout MutableRawSpan) throws(Errno) -> Int {
        let count = try reachLegacyVGA(position, bytes.byteCount)
        var part = bytes._mutatingExtracting(0..<count)
        LegacyVGA.read(model, position, &part)
        return count
    }

    /// With the device's lock held.
    func writeLegacyVGA(_ position: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let count = try reachLegacyVGA(position, bytes.byteCount)
        LegacyVGA.write(model, position, bytes.extracting(0..<count))
        return count
    }
}
