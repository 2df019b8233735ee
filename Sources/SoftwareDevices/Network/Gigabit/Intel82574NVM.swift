/// The 64 words of configuration that an 82574 has in non-volatile memory.
struct Intel82574NVM {
    private(set) var words = [UInt16](repeating: 0, count: count)

    /// How many words there are.
    static let count = 64
    /// The sum of all words, by which drivers know that they are whole.
    static let sum: UInt16 = 0xbaba

    init(_ address: MACAddress) {
        for index in 0..<3 {
            words[index] = UInt16(address[2 * index]) | UInt16(address[2 * index + 1]) << 8
        }
        // Image version 1.8; no firmware behind it (words 5 and 0x0f of the datasheet's chapter 6).
        words[0x05] = 0x1080
        words[0x08] = 0xffff
        words[0x09] = 0xffff
        words[0x0b] = 0x0000
        words[0x0c] = 0x8086
        words[0x0d] = 0x10d3
        words[0x0e] = 0x8086
        words[0x3f] = Self.sum &- words.reduce(0, &+)
    }

    /// EERD: reads the word that its bits 15:2 name.
    func answer(toRead register: UInt32) -> UInt32 {
        guard register & 1 != 0 else { return register }
        let index = Int(register >> 2 & 0x3fff)
        let word = index < Self.count ? words[index] : 0xffff
        return UInt32(word) << 16 | register & 0xfffc | 2
    }

    /// EEWR: writes a word.
    mutating func answer(toWrite register: UInt32) -> UInt32 {
        guard register & 1 != 0 else { return register }
        let index = Int(register >> 2 & 0x3fff)
        if index < Self.count { words[index] = UInt16(truncatingIfNeeded: register >> 16) }
        return register & ~1 | 2
    }

    /// The hardware address in it.
    var address: MACAddress {
        var number: UInt64 = 0
        for index in 0..<3 {
            number = number << 16 | UInt64(words[index].byteSwapped)
        }
        return MACAddress(rawValue: number)
    }
}
