import LinuxSystem

/// Sixteen bytes that are written as a UUID, 8-4-4-4-12: what mediated devices are called by, and what the users of a
/// physical function and of its virtual functions show each other (`vf_token`).
public struct DeviceUUID: Sendable {
    /// The bytes, in the order of memory and of the text.
    package let words: InlineArray<2, UInt64>

    package init(words: InlineArray<2, UInt64>) { self.words = words }

    /// One that nobody knows.
    /// - Throws: what the system's source of random numbers has.
    public static func random() throws(Errno) -> DeviceUUID {
        DeviceUUID(words: [try RandomNumber.bits64(), try RandomNumber.bits64()])
    }

    /// How many characters the text has.
    public static let textLength = 36

    /// Reads the text, in small or capital letters; nil for any other text.
    public init?(_ text: some StringProtocol) { self.init(text.utf8) }

    /// Reads the text's characters, as bytes; nil if these are others.
    public init?(_ text: some Collection<UInt8>) {
        guard text.count == Self.textLength else { return nil }
        var words: InlineArray<2, UInt64> = [0, 0]
        var digits = 0
        for (index, byte) in text.enumerated() {
            let digit: UInt8
            switch (index, byte) {
            case (8, UInt8(ascii: "-")), (13, UInt8(ascii: "-")), (18, UInt8(ascii: "-")),
                (23, UInt8(ascii: "-")):
                continue
            case (8, _), (13, _), (18, _), (23, _): return nil
            case (_, UInt8(ascii: "0")...UInt8(ascii: "9")): digit = byte - UInt8(ascii: "0")
            case (_, UInt8(ascii: "a")...UInt8(ascii: "f")): digit = byte - UInt8(ascii: "a") + 10
            case (_, UInt8(ascii: "A")...UInt8(ascii: "F")): digit = byte - UInt8(ascii: "A") + 10
            default: return nil
            }
            // The first digit of a byte is its upper half; bytes fill a word from below.
            let shift = UInt64(digits / 2 % 8 * 8 + (digits % 2 == 0 ? 4 : 0))
            words[digits / 16] |= UInt64(digit) << shift
            digits += 1
        }
        self.words = words
    }
}

extension DeviceUUID: Hashable {
    /// Compares the bytes.
    public static func == (a: Self, b: Self) -> Bool { a.words[0] == b.words[0] && a.words[1] == b.words[1] }

    /// Feeds the bytes.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(words[0])
        hasher.combine(words[1])
    }
}

extension DeviceUUID: CustomStringConvertible {
    /// The text, in small letters, as the kernel writes it.
    public var description: String {
        var text = ""
        for index in 0..<16 {
            if index == 4 || index == 6 || index == 8 || index == 10 { text += "-" }
            text += hexadecimal(
                UInt8(truncatingIfNeeded: words[index / 8] >> UInt64(index % 8 * 8)), digits: 2)
        }
        return text
    }
}
