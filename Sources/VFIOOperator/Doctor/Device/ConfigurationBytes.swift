/// What could be read of a function's configuration space: 64 bytes without privilege, 256 or 4096 with it.
struct ConfigurationBytes {
    let bytes: [UInt8]

    func load8(_ offset: Int) -> UInt8? { bytes.indices.contains(offset) ? bytes[offset] : nil }

    func load16(_ offset: Int) -> UInt16? {
        guard let low = load8(offset), let high = load8(offset + 1) else { return nil }
        return UInt16(low) | UInt16(high) << 8
    }

    func load32(_ offset: Int) -> UInt32? {
        guard let low = load16(offset), let high = load16(offset + 2) else { return nil }
        return UInt32(low) | UInt32(high) << 16
    }

    /// Whether more than the header could be read.
    var isWhole: Bool { bytes.count >= 256 }

    /// Whether every byte is all ones, as reads of something that doesn't answer are.
    var isAllOnes: Bool { !bytes.isEmpty && bytes.allSatisfy { $0 == 0xff } }

    /// Where a capability begins; nil if there is none that could be read. A chain that loops ends.
    func capability(_ id: UInt8) -> Int? {
        guard let status = load16(0x06), status & 0x10 != 0, var place = load8(0x34) else { return nil }
        for _ in 0..<48 {
            let offset = Int(place & 0xfc)
            guard offset >= 0x40, let found = load8(offset), let next = load8(offset + 1) else { return nil }
            if found == id { return offset }
            place = next
        }
        return nil
    }

    /// Where an extended capability begins; nil if there is none that could be read.
    func extendedCapability(_ id: UInt16) -> Int? {
        var offset = 0x100
        for _ in 0..<960 {
            guard offset >= 0x100, let header = load32(offset), header != 0, header != .max else {
                return nil
            }
            if header & 0xffff == UInt32(id) { return offset }
            offset = Int(header >> 20) & 0xffc
        }
        return nil
    }
}
