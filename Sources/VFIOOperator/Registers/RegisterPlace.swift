import VFIO

/// Where a register is, as people write it: a region of a device and a spot in it.
///
/// | text | what it means |
/// |---|---|
/// | `bar0:0x14` | an offset in BAR 0, in bytes |
/// | `config:0x4`, `rom:0`, `vga:0x3c0` | the same for the other regions of a PCI function |
/// | `region3:0` | the same by the region's number, which devices of other buses have only |
/// | `config:PCIE.DEVCTL`, `bar0:CC` | a register by its name: ``RegisterMap`` has the names |
/// | `config:PCIE+0x8` | so many bytes after the beginning of what has a name |
public struct RegisterPlace: Sendable, Equatable {
    /// The region.
    public var region: RegionIndex
    /// Where in the region.
    public var spot: Spot
    /// Whether the region was named in PCI's words, which mean something else for a device of another bus.
    public var isNamedByPCI: Bool

    /// Where in a region something is.
    public enum Spot: Sendable, Equatable {
        /// So many bytes after its beginning.
        case offset(UInt64)
        /// So many bytes after the beginning of a register or capability with a name, which is as it was written.
        case name(String, plus: UInt64)
    }

    /// Names a place by numbers.
    public init(_ region: RegionIndex, offset: UInt64) {
        self.region = region
        spot = .offset(offset)
        isNamedByPCI = false
    }

    /// The longest name that is looked for, in bytes.
    static let longestName = 128

    /// Reads a place.
    /// - Throws: what is wrong with the text.
    public init(_ text: String) throws(RegisterNotationError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else {
            throw RegisterNotationError(
                "\"\(text)\" is no place of a register; one looks like bar0:0x14, config:COMMAND or region3:0"
            )
        }
        guard let (region, isNamedByPCI) = Self.region(parts[0]) else {
            throw RegisterNotationError(
                "\"\(text)\": there is no region \"\(parts[0])\"; regions are bar0 to bar5, rom, config, vga, and by "
                    + "number region0 and up")
        }
        self.region = region
        self.isNamedByPCI = isNamedByPCI
        guard let spot = Self.spot(parts[1]) else {
            throw RegisterNotationError(
                "\"\(text)\": \"\(parts[1])\" is neither an offset, such as 0x14 or 20, nor a register's name; "
                    + "vfio read DEVICE --list prints the names there are")
        }
        self.spot = spot
    }

    private static func region(_ text: Substring) -> (RegionIndex, isNamedByPCI: Bool)? {
        let word = text.lowercased()
        for (index, name) in pciNames.enumerated() where name == word {
            return (RegionIndex(rawValue: UInt32(index)), true)
        }
        let prefix = "region"
        guard word.hasPrefix(prefix) else { return nil }
        let digits = word.dropFirst(prefix.count)
        // The initialiser takes a sign.
        guard let first = digits.utf8.first, isDigit(first), let index = UInt32(digits) else { return nil }
        return (RegionIndex(rawValue: index), false)
    }

    /// The regions of a PCI function in the order of their numbers, as places name them.
    static let pciNames = ["bar0", "bar1", "bar2", "bar3", "bar4", "bar5", "rom", "config", "vga"]

    private static func spot(_ text: Substring) -> Spot? {
        guard let first = text.utf8.first, text.utf8.count <= longestName else { return nil }
        if isDigit(first) { return number(text).map { .offset($0) } }
        let parts = text.split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false)
        guard !parts[0].isEmpty, parts[0].utf8.allSatisfy(isOfName) else { return nil }
        guard parts.count == 2 else { return .name(String(text), plus: 0) }
        return number(parts[1]).map { .name(String(parts[0]), plus: $0) }
    }

    /// Reads a number as people write it: decimal, or hexadecimal after `0x`; nil for anything else.
    public static func number(_ text: some StringProtocol) -> UInt64? {
        guard let first = text.utf8.first, isDigit(first) else { return nil }
        let word = text.lowercased()
        guard word.hasPrefix("0x") else { return UInt64(word) }
        let digits = word.dropFirst(2)
        // A sign isn't a digit, though the initialiser takes it.
        guard digits.utf8.first != UInt8(ascii: "+"), digits.utf8.first != UInt8(ascii: "-") else {
            return nil
        }
        return UInt64(digits, radix: 16)
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private static func isOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "."),
            UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}

/// Why a text is no place of a register, or no value for one.
public struct RegisterNotationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong, and how it is written.
    public let description: String

    /// Says what is wrong.
    public init(_ description: String) { self.description = description }
}
