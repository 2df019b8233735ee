import DeviceModel
import LinuxSystem
import VFIOABI

/// The legacy windows of a VGA device, region 8 (kernel.md D.3, D.4): ports and frame buffer at the addresses that
/// every VGA device has answered since the PC of 1987.
extension PCIBusDriver {
    /// Up to where the region reaches.
    static let legacyVGAByteCount: UInt64 = 0xc0000

    /// The windows of memory and ports that are answered.
    private static func window(at position: UInt64) -> Range<UInt64>? {
        switch position {
        case 0xa0000..<0xc0000: 0xa0000..<0xc0000
        case 0x3b0..<0x3bc: 0x3b0..<0x3bc
        case 0x3c0..<0x3e0: 0x3c0..<0x3e0
        default: nil
        }
    }

    /// - Throws: `EINVAL` for a device without the region.
    func describeLegacyVGA(_ offset: UInt64) throws(Errno) -> RegionDescription {
        guard (lock.withLock { hasLegacyVGA }) else { throw .invalid }
        return RegionDescription(
            flags: RegionFlags([.read, .write]).rawValue, size: Self.legacyVGAByteCount, offset: offset)
    }

    /// How much of an access lies in a window. With the device's lock held.
    /// - Throws: `EINVAL` outside all of them.
    func reachLegacyVGA(_ position: UInt64, _ byteCount: Int) throws(Errno) -> Int {
        guard hasLegacyVGA, let window = Self.window(at: position) else { throw .invalid }
        return Int(min(UInt64(byteCount), window.upperBound - position))
    }

    /// The width of the next access: aligned, and 4 bytes at most.
    private func width(at position: UInt64, _ left: Int) -> Int {
        if left >= 4 && position % 4 == 0 { return 4 }
        return left >= 2 && position % 2 == 0 ? 2 : 1
    }

    /// With the device's lock held.
    func readLegacyVGA(_ position: UInt64, _ bytes: inout MutableRawSpan) throws(Errno) -> Int {
        let count = try reachLegacyVGA(position, bytes.byteCount)
        var done = 0
        while done < count {
            let at = position + UInt64(done)
            let width = width(at: at, count - done)
            bytes.storeUnit(
                model.readLegacyVGA(UInt32(truncatingIfNeeded: at), width: width), width, at: done)
            done += width
        }
        return count
    }

    /// With the device's lock held.
    func writeLegacyVGA(_ position: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let count = try reachLegacyVGA(position, bytes.byteCount)
        var done = 0
        while done < count {
            let at = position + UInt64(done)
            let width = width(at: at, count - done)
            model.writeLegacyVGA(
                UInt32(truncatingIfNeeded: at), width: width, value: bytes.loadUnit(width, at: done))
            done += width
        }
        return count
    }
}
