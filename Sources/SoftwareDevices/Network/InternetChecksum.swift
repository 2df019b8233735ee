import LinuxSystem

/// The checksum of the Internet protocols (RFC 1071).
enum InternetChecksum {
    /// The sum of a window's 16-bit words in one's complement, the first byte of each the higher one; an odd byte at
    /// the end counts as if a zero followed.
    static func sum(_ window: MemoryWindow, _ range: Range<Int>) -> UInt16 {
        // Sums of swapped words are swapped sums.
        var total: UInt64 = 0
        var place = range.lowerBound
        while range.upperBound - place >= 8 {
            let word = window.load64(place)
            total &+= (word & 0xffff_ffff) &+ word >> 32
            place += 8
        }
        while range.upperBound - place >= 2 {
            total &+= UInt64(window.load16(place))
            place += 2
        }
        if place < range.upperBound { total &+= UInt64(window.load8(place)) }
        return fold(total).byteSwapped
    }

    /// Adds the carries until 16 bits are left.
    static func fold(_ sum: UInt64) -> UInt16 {
        var sum = sum
        while sum > 0xffff { sum = (sum & 0xffff) &+ sum >> 16 }
        return UInt16(truncatingIfNeeded: sum)
    }

    /// The sum that stands for the addresses, the protocol and the length (RFC 9293, 3.1; RFC 8200, 8.1).
    static func pseudoHeader(
        _ window: MemoryWindow, addresses: Range<Int>, protocol number: UInt8, byteCount: Int
    )
        -> UInt64
    {
        UInt64(sum(window, addresses)) &+ UInt64(number) &+ UInt64(byteCount & 0xffff)
            &+ UInt64(byteCount >> 16)
    }
}

extension MemoryWindow {
    /// Loads 16 bits, the higher byte first.
    func loadNetwork16(_ offset: Int) -> UInt16 { load16(offset).byteSwapped }
    /// Stores 16 bits, the higher byte first.
    func storeNetwork16(_ offset: Int, _ value: UInt16) { store16(offset, value.byteSwapped) }
}
