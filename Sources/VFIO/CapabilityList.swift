import VFIOABI

/// The capabilities behind an information structure, walked with bounds: every offset lies behind the structure
/// and inside the buffer, is a multiple of 4, and no capability comes twice.
struct CapabilityList {
    /// One capability: its number, its version and where its header begins.
    struct Entry {
        let id: UInt16
        let version: UInt16
        let offset: Int
    }

    let entries: [Entry]

    /// - Parameters:
    ///   - bytes: the answer, structure included.
    ///   - first: the structure's `cap_offset`; 0 for no capabilities.
    ///   - size: the structure's size.
    /// - Returns: nil if the chain loops, or leads anywhere else than forward or into the buffer.
    init?(in bytes: [UInt8], from first: UInt32, after size: Int) {
        var entries: [Entry] = []
        var offset = Int(first)
        var lowest = size
        while offset != 0 {
            // Going forward only makes a loop impossible; every host builds its chains in order.
            guard offset >= lowest, offset % 4 == 0,
                let header = bytes.get(CapabilityHeader.self, at: offset)
            else { return nil }
            entries.append(Entry(id: header.id, version: header.version, offset: offset))
            lowest = offset + CapabilityHeader.byteCount
            offset = Int(header.next)
        }
        self.entries = entries
    }
}
