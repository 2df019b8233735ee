import JSONText
import LinuxSystem

extension JSON {
    /// What kind of value it is, in words.
    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "true or false"
        case .integer, .number: "a number"
        case .string: "text"
        case .array: "a list"
        case .object: "an object"
        }
    }
}

/// A text to be found among known words: `switch Word(text) { case "nvme": … }`. Compared byte by byte, which needs no
/// tables of Unicode's in Embedded Swift.
struct Word {
    let text: String

    init(_ text: String) { self.text = text }

    static func ~= (known: StaticString, word: Word) -> Bool {
        // SAFETY: a StaticString's text is a constant of that length.
        let bytes = unsafe UnsafeBufferPointer(start: known.utf8Start, count: known.utf8CodeUnitCount)
        return unsafe word.text.utf8.elementsEqual(bytes)
    }
}

/// One object of a JSON file, read strictly: every key must be asked for, and what is wrong is said with the
/// place where it stands.
public struct StrictObject {
    /// Where the object stands, e.g. "groups[0].devices[1]".
    let place: String
    private let members: [JSON.Member]

    /// What is wrong with a file.
    public struct Problem: Error, CustomStringConvertible {
        /// What is wrong, and where.
        public let description: String

        /// Says what is wrong.
        public init(description: String) { self.description = description }
    }

    /// Reads an object that may have the given keys only.
    init(_ value: JSON, at place: String, keys: [String]) throws(Problem) {
        guard case .object(let members) = value else {
            throw Problem(description: "\(Self.name(place)) must be an object, not \(value.kind)")
        }
        for member in members where !keys.contains(where: { $0.utf8.elementsEqual(member.name.utf8) }) {
            var known = ""
            for key in keys { known += (known.utf8.isEmpty ? "\"" : ", \"") + key + "\"" }
            throw Problem(
                description: "\(Self.name(place)) has an unknown key \"\(member.name)\"; known are \(known)")
        }
        self.place = place
        self.members = members
    }

    private subscript(_ key: String) -> JSON? {
        members.first { $0.name.utf8.elementsEqual(key.utf8) }?.value
    }

    private static func name(_ place: String) -> String { place.utf8.isEmpty ? "the file" : place }

    private func path(_ key: String) -> String { place.utf8.isEmpty ? key : "\(place).\(key)" }

    private func wrong(_ key: String, _ wanted: String, _ value: JSON) -> Problem {
        Problem(description: "\(path(key)) must be \(wanted), not \(value.kind)")
    }

    /// Says that a value can't be what it is.
    func problem(_ key: String, _ what: String) -> Problem { Problem(description: "\(path(key)) \(what)") }

    /// Whether a key is there.
    func has(_ key: String) -> Bool { self[key] != nil }

    /// The members of a list; empty if the key isn't there.
    func list(_ key: String) throws(Problem) -> [(value: JSON, place: String)] {
        guard let value = self[key] else { return [] }
        guard case .array(let items) = value else { throw wrong(key, "a list", value) }
        return items.enumerated().map { ($0.element, "\(path(key))[\($0.offset)]") }
    }

    /// An object; nil if the key isn't there.
    func object(_ key: String, keys: [String]) throws(Problem) -> StrictObject? {
        guard let value = self[key] else { return nil }
        return try StrictObject(value, at: path(key), keys: keys)
    }

    /// A text; nil if the key isn't there.
    func text(_ key: String) throws(Problem) -> String? {
        guard let value = self[key] else { return nil }
        guard case .string(let text) = value else { throw wrong(key, "text", value) }
        return text
    }

    /// A text that must be there.
    func requiredText(_ key: String) throws(Problem) -> String {
        guard let text = try text(key) else { throw Problem(description: "\(path(key)) is missing") }
        return text
    }

    /// True or false; nil if the key isn't there.
    func bool(_ key: String) throws(Problem) -> Bool? {
        guard let value = self[key] else { return nil }
        guard case .bool(let flag) = value else { throw wrong(key, "true or false", value) }
        return flag
    }

    /// A switch or a whole number as the kernel spells it ("Y", "N", "26"), or a text; nil if the key isn't
    /// there.
    func word(_ key: String) throws(Problem) -> String? {
        switch self[key] {
        case nil: nil
        case .bool(let flag): flag ? "Y" : "N"
        case .string(let text): text
        case .some: try size(key).map { "\($0)" }
        }
    }

    /// A whole number that isn't negative, as a number or as text ("0xfee00000", "4K", "2M"); nil if the key
    /// isn't there.
    func size(_ key: String) throws(Problem) -> UInt64? {
        guard let value = self[key] else { return nil }
        return try Self.size(value, at: path(key))
    }

    /// A number that must be there.
    func requiredSize(_ key: String) throws(Problem) -> UInt64 {
        guard let size = try size(key) else { throw Problem(description: "\(path(key)) is missing") }
        return size
    }

    /// A whole number that isn't negative.
    static func size(_ value: JSON, at place: String) throws(Problem) -> UInt64 {
        switch value {
        case .integer, .number:
            guard case .integer(let number) = value, let whole = UInt64(exactly: number) else {
                throw Problem(description: "\(place) must be a whole number that isn't negative")
            }
            return whole
        case .string(let text):
            guard let whole = ByteCount.parse(text) else {
                throw Problem(description: "\(place): \"\(text)\" isn't a number like 26, 0x1000, 4K or 2M")
            }
            return whole
        default: throw Problem(description: "\(place) must be a number, not \(value.kind)")
        }
    }
}

#if !hasFeature(Embedded)
    extension StrictObject.Problem: Equatable {}
#endif

/// Numbers with units, as people write them.
public enum ByteCount {
    /// Reads "4096", "0x1000", "4K", "2M", "1G" (powers of 1024). Nil for anything else, or too large a number.
    public static func parse(_ text: String) -> UInt64? {
        var digits = Array(text.utf8)
        var radix: UInt64 = 10
        var shift: UInt64 = 0
        if digits.count > 2, digits[0] == UInt8(ascii: "0"), digits[1] | 0x20 == UInt8(ascii: "x") {
            radix = 16
            digits.removeFirst(2)
        } else if let last = digits.last {
            switch last | 0x20 {
            case UInt8(ascii: "k"): shift = 10
            case UInt8(ascii: "m"): shift = 20
            case UInt8(ascii: "g"): shift = 30
            case UInt8(ascii: "t"): shift = 40
            default: break
            }
            if shift > 0 { digits.removeLast() }
        }
        guard !digits.isEmpty else { return nil }
        var value: UInt64 = 0
        for byte in digits {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: return nil
            }
            guard digit < radix else { return nil }
            let (product, tooLarge) = value.multipliedReportingOverflow(by: radix)
            let (sum, stillTooLarge) = product.addingReportingOverflow(UInt64(digit))
            if tooLarge || stillTooLarge { return nil }
            value = sum
        }
        let (product, overflow) = value.multipliedReportingOverflow(by: 1 << shift)
        return overflow ? nil : product
    }
}
