/// Where a field lies in its register, and how its value reads.
package struct FieldLayout: Sendable {
    let name: String
    let bits: ClosedRange<Int>
    /// The words for a value; nil where the number says it all, an empty text where it says nothing.
    let meaning: @Sendable (UInt64) -> String?

    /// One bit whose name says what it means.
    package static func flag(_ bit: Int, _ name: String) -> FieldLayout {
        FieldLayout(name: name, bits: bit...bit) { _ in nil }
    }

    /// Bits that are flags, from one on; those without a name are reserved.
    package static func flags(_ first: Int, _ names: [String]) -> [FieldLayout] {
        names.enumerated().compactMap { $1.isEmpty ? nil : .flag(first + $0, $1) }
    }

    /// A number.
    package static func number(_ bits: ClosedRange<Int>, _ name: String) -> FieldLayout {
        FieldLayout(name: name, bits: bits) { _ in nil }
    }

    /// A number, its meaning made from it.
    package static func value(
        _ bits: ClosedRange<Int>, _ name: String, _ meaning: @escaping @Sendable (UInt64) -> String?
    ) -> FieldLayout {
        FieldLayout(name: name, bits: bits, meaning: meaning)
    }

    /// A choice: words by value, "reserved" for those beyond and those without words.
    package static func choice(_ bits: ClosedRange<Int>, _ name: String, _ words: [String]) -> FieldLayout {
        FieldLayout(name: name, bits: bits) {
            let word = $0 < UInt64(words.count) ? words[Int($0)] : ""
            return word.isEmpty ? "reserved (\($0))" : word
        }
    }

    /// A set: the words of the bits that are set; nothing is said where none is.
    package static func set(_ bits: ClosedRange<Int>, _ name: String, _ words: [String]) -> FieldLayout {
        FieldLayout(name: name, bits: bits) { value in
            words.indices.filter { value >> UInt64($0) & 1 != 0 }.map { words[$0] }.joined(separator: " ")
        }
    }

    /// The field in a register's value.
    package func field(of value: UInt64, offset: Int, byteCount: Int) -> ConfigurationField {
        let mask: UInt64 = bits.count >= 64 ? .max : 1 << UInt64(bits.count) - 1
        let own = value >> UInt64(bits.lowerBound) & mask
        return ConfigurationField(
            name, offset: offset, byteCount: byteCount, bits: bits, value: own, meaning: meaning(own))
    }
}

/// Words that several capabilities share.
enum Wording {
    /// "512 bytes", "4 KiB", "16 MiB": a power of two.
    static func size(_ exponent: UInt64) -> String {
        let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        guard exponent < 64 else { return "2^\(exponent) bytes" }
        return "\(1 << (exponent % 10)) \(units[Int(exponent / 10)])"
    }

    /// A payload or a read request: 128 bytes and up.
    static func payload(_ value: UInt64) -> String? { value > 5 ? "reserved (\(value))" : size(7 + value) }

    /// The speed of a link, by its number.
    static func speed(_ value: UInt64) -> String? {
        let speeds = ["none", "2.5 GT/s", "5 GT/s", "8 GT/s", "16 GT/s", "32 GT/s", "64 GT/s", "128 GT/s"]
        return value < UInt64(speeds.count) ? speeds[Int(value)] : "reserved (\(value))"
    }

    /// The width of a link.
    static func width(_ value: UInt64) -> String? { "x\(value)" }

    /// A function by its number on the bus: "01:00.0".
    static func requester(_ value: UInt64) -> String? {
        hex(value >> 8 & 0xff, digits: 2) + ":" + hex(value >> 3 & 0x1f, digits: 2) + ".\(value & 7)"
    }

    /// A number of watts with a scale of 1, 1/10, 1/100, 1/1000.
    static func watts(_ value: UInt64, scale: UInt64) -> String {
        let divisor: UInt64 = [1, 10, 100, 1000][Int(scale & 3)]
        let digits = [0, 1, 2, 3][Int(scale & 3)]
        if digits == 0 { return "\(value) W" }
        let rest = String(value % divisor)
        return "\(value / divisor)." + String(repeating: "0", count: digits - rest.utf8.count) + rest + " W"
    }

    /// Nanoseconds in the largest unit that leaves no fraction.
    static func nanoseconds(_ value: UInt64) -> String {
        if value == 0 { return "0 ns" }
        if value % 1_000_000_000 == 0 { return "\(value / 1_000_000_000) s" }
        if value % 1_000_000 == 0 { return "\(value / 1_000_000) ms" }
        if value % 1_000 == 0 { return "\(value / 1_000) µs" }
        return "\(value) ns"
    }

    /// Bytes in hexadecimal, with spaces.
    static func bytes(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { hex($0, digits: 2) }.joined(separator: " ")
    }
}
