/// A hardware address of a network card: six bytes, the first one on the wire first.
public struct MACAddress: Sendable, Equatable, Hashable {
    /// The address as a number: its first byte is the highest of the 48 bits.
    public let rawValue: UInt64

    /// An address by its number, of which the low 48 bits count.
    public init(rawValue: UInt64) { self.rawValue = rawValue & 0xffff_ffff_ffff }

    /// Reads six pairs of hexadecimal digits with colons between them, e.g. "52:54:00:12:34:56".
    /// - Returns: nil for any other text.
    public init?(_ text: String) {
        var value: UInt64 = 0
        var place = 0
        for character in text.utf8 {
            if place % 3 == 2 {
                guard character == 0x3a, place < 17 else { return nil }
            } else {
                let digit: UInt8
                switch character {
                case 0x30...0x39: digit = character - 0x30
                case 0x41...0x46: digit = character - 0x41 + 10
                case 0x61...0x66: digit = character - 0x61 + 10
                default: return nil
                }
                value = value << 4 | UInt64(digit)
            }
            place += 1
        }
        guard place == 17 else { return nil }
        rawValue = value
    }

    /// An address of its own for each number, administered locally: 52:54:00 and the number's low 24 bits.
    public init(local number: UInt32) {
        rawValue = 0x5254_00 << 24 | UInt64(number & 0xff_ffff)
    }

    /// One of the six bytes, 0 for the first.
    public subscript(_ index: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: rawValue >> UInt64(8 * (5 - min(max(index, 0), 5))))
    }

    /// Whether it stands for several cards.
    public var isMulticast: Bool { self[0] & 1 != 0 }
    /// Whether it stands for all cards.
    public var isBroadcast: Bool { rawValue == 0xffff_ffff_ffff }
}
