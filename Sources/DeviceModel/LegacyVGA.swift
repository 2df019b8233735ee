import LinuxSystem

/// The legacy windows of a VGA device, region 8 (kernel.md D.3, D.4): ports and frame buffer at the addresses that
/// every VGA device has answered since the PC of 1987.
package enum LegacyVGA {
    /// Up to where the region reaches.
    package static let byteCount: UInt64 = 0xc0000

    /// The windows of memory and ports that are answered.
    private static func window(at position: UInt64) -> Range<UInt64>? {
        switch position {
        case 0xa0000..<0xc0000: 0xa0000..<0xc0000
        case 0x3b0..<0x3bc: 0x3b0..<0x3bc
        case 0x3c0..<0x3e0: 0x3c0..<0x3e0
        default: nil
        }
    }

    /// How much of an access lies in a window.
    /// - Throws: `EINVAL` outside all of them.
    package static func reach(_ position: UInt64, _ byteCount: Int) throws(Errno) -> Int {
        guard let window = window(at: position) else { throw .invalid }
        return Int(min(UInt64(byteCount), window.upperBound - position))
    }

    /// Reads from a window, all of it within.
    package static func read(
        _ model: any DeviceModel, _ position: UInt64, _ bytes: inout MutableRawSpan
    ) {
        var done = 0
        while done < bytes.byteCount {
            let at = position + UInt64(done)
            let width = NaturalAccess.width(at: at, UInt64(bytes.byteCount - done))
            let value = model.readLegacyVGA(UInt32(truncatingIfNeeded: at), width: width)
            bytes.storeUnit(value, width, at: done)
            done += width
        }
    }

    /// Writes to a window, all of it within.
    package static func write(_ model: any DeviceModel, _ position: UInt64, _ bytes: RawSpan) {
        var done = 0
        while done < bytes.byteCount {
            let at = position + UInt64(done)
            let width = NaturalAccess.width(at: at, UInt64(bytes.byteCount - done))
            let value = bytes.loadUnit(width, at: done)
            model.writeLegacyVGA(UInt32(truncatingIfNeeded: at), width: width, value: value)
            done += width
        }
    }
}
