import FoundationEssentials

/// A JSON document as it is written, for files whose unknown keys must be complained about.
enum JSONValue: Decodable, Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case text(String)
    case list([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .text(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .list(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    /// What kind of value it is, in words.
    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "true or false"
        case .number: "a number"
        case .text: "text"
        case .list: "a list"
        case .object: "an object"
        }
    }
}

/// One object of a JSON file, read strictly: every key must be asked for, and what is wrong is said with the
/// place where it stands.
struct StrictObject {
    /// Where the object stands, e.g. "groups[0].devices[1]".
    let place: String
    private let members: [String: JSONValue]

    /// What is wrong with a file.
    struct Problem: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    /// Reads an object that may have the given keys only.
    init(_ value: JSONValue, at place: String, keys: [String]) throws(Problem) {
        guard case .object(let members) = value else {
            throw Problem(description: "\(Self.name(place)) must be an object, not \(value.kind)")
        }
        if let unknown = members.keys.filter({ !keys.contains($0) }).min() {
            throw Problem(
                description: "\(Self.name(place)) has an unknown key \"\(unknown)\"; known are "
                    + keys.map { "\"\($0)\"" }.joined(separator: ", "))
        }
        self.place = place
        self.members = members
    }

    private static func name(_ place: String) -> String { place.isEmpty ? "the file" : place }

    private func path(_ key: String) -> String { place.isEmpty ? key : "\(place).\(key)" }

    private func wrong(_ key: String, _ wanted: String, _ value: JSONValue) -> Problem {
        Problem(description: "\(path(key)) must be \(wanted), not \(value.kind)")
    }

    /// Says that a value can't be what it is.
    func problem(_ key: String, _ what: String) -> Problem { Problem(description: "\(path(key)) \(what)") }

    /// Whether a key is there.
    func has(_ key: String) -> Bool { members[key] != nil }

    /// The members of a list; empty if the key isn't there.
    func list(_ key: String) throws(Problem) -> [(value: JSONValue, place: String)] {
        guard let value = members[key] else { return [] }
        guard case .list(let items) = value else { throw wrong(key, "a list", value) }
        return items.enumerated().map { ($0.element, "\(path(key))[\($0.offset)]") }
    }

    /// An object; nil if the key isn't there.
    func object(_ key: String, keys: [String]) throws(Problem) -> StrictObject? {
        guard let value = members[key] else { return nil }
        return try StrictObject(value, at: path(key), keys: keys)
    }

    /// A text; nil if the key isn't there.
    func text(_ key: String) throws(Problem) -> String? {
        guard let value = members[key] else { return nil }
        guard case .text(let text) = value else { throw wrong(key, "text", value) }
        return text
    }

    /// A text that must be there.
    func requiredText(_ key: String) throws(Problem) -> String {
        guard let text = try text(key) else { throw Problem(description: "\(path(key)) is missing") }
        return text
    }

    /// True or false; nil if the key isn't there.
    func bool(_ key: String) throws(Problem) -> Bool? {
        guard let value = members[key] else { return nil }
        guard case .bool(let flag) = value else { throw wrong(key, "true or false", value) }
        return flag
    }

    /// A switch or a whole number as the kernel spells it ("Y", "N", "26"), or a text; nil if the key isn't
    /// there.
    func word(_ key: String) throws(Problem) -> String? {
        switch members[key] {
        case nil: nil
        case .bool(let flag): flag ? "Y" : "N"
        case .text(let text): text
        case .some: try size(key).map { "\($0)" }
        }
    }

    /// A whole number that isn't negative, as a number or as text ("0xfee00000", "4K", "2M"); nil if the key
    /// isn't there.
    func size(_ key: String) throws(Problem) -> UInt64? {
        guard let value = members[key] else { return nil }
        return try Self.size(value, at: path(key))
    }

    /// A number that must be there.
    func requiredSize(_ key: String) throws(Problem) -> UInt64 {
        guard let size = try size(key) else { throw Problem(description: "\(path(key)) is missing") }
        return size
    }

    /// A whole number that isn't negative.
    static func size(_ value: JSONValue, at place: String) throws(Problem) -> UInt64 {
        switch value {
        case .number(let number):
            guard let whole = UInt64(exactly: number) else {
                throw Problem(description: "\(place) must be a whole number that isn't negative")
            }
            return whole
        case .text(let text):
            guard let whole = ByteCount.parse(text) else {
                throw Problem(description: "\(place): \"\(text)\" isn't a number like 26, 0x1000, 4K or 2M")
            }
            return whole
        default: throw Problem(description: "\(place) must be a number, not \(value.kind)")
        }
    }
}

/// Numbers with units, as people write them.
enum ByteCount {
    /// Reads "4096", "0x1000", "4K", "2M", "1G" (powers of 1024). Nil for anything else, or too large a number.
    static func parse(_ text: String) -> UInt64? {
        var digits = Substring(text)
        if digits.hasPrefix("0x") || digits.hasPrefix("0X") { return UInt64(digits.dropFirst(2), radix: 16) }
        var shift: UInt64 = 0
        switch digits.last {
        case "K", "k": shift = 10
        case "M", "m": shift = 20
        case "G", "g": shift = 30
        case "T", "t": shift = 40
        default: break
        }
        if shift > 0 { digits.removeLast() }
        guard digits.first != "+", let value = UInt64(digits) else { return nil }
        let (product, overflow) = value.multipliedReportingOverflow(by: 1 << shift)
        return overflow ? nil : product
    }
}
