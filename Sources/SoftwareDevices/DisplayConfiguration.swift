import DeviceModel
import LinuxSystem

/// The configuration space of a mediated display: memory whose BARs can be written.
struct DisplayConfiguration {
    /// How many bytes Linux's sample displays have; one less than there should be.
    static let byteCount: UInt64 = 255

    private var bytes = [UInt8](repeating: 0, count: Int(byteCount))
    /// How long each BAR is, by its index.
    private let bars: [Int: UInt64]

    /// - Parameters:
    ///   - device: the Device ID and the Vendor ID below it.
    ///   - bars: how long each BAR is, by its index; all are memory below 4 GiB.
    ///   - prefetchable: the BAR whose reads have no side effects.
    init(device: UInt32, bars: [Int: UInt64], prefetchable: Int) {
        self.bars = bars
        bytes.put(device, at: 0)
        // It answers at ports and memory.
        bytes.put(3, at: 4)
        // A display controller of no standard kind, revision 1.
        bytes.put(0x0380_0001, at: 8)
        bytes.put(0x1100_1af4, at: 0x2c)
        bytes.put(8, at: 0x10 + 4 * prefetchable)
    }

    /// Adds the one capability: Vendor-Specific, with 32-bit words.
    mutating func addVendorCapability(at place: Int, _ words: [UInt32]) {
        bytes[6] |= 0x10
        bytes[0x34] = UInt8(place)
        bytes[place] = 0x09
        bytes[place + 2] = UInt8(4 + 4 * words.count)
        for (index, word) in words.enumerated() { bytes.put(word, at: place + 4 + 4 * index) }
    }

    /// Reads registers.
    func read(_ offset: UInt64, width: Int) -> UInt32 { bytes.get(at: offset, width: width) }

    /// Writes registers: only whole BARs take anything.
    mutating func write(_ offset: UInt64, _ value: UInt32) {
        guard offset >= 0x10, offset % 4 == 0, let byteCount = bars[Int(offset - 0x10) / 4] else { return }
        let kind = bytes.get(at: offset, width: 4) & 0xf
        let address = value == .max ? ~UInt32(truncatingIfNeeded: byteCount - 1) : value & ~0xf
        bytes.put(address | kind, at: Int(offset))
    }
}
