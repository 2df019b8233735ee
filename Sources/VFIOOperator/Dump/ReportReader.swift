import JSONText
import PCIDecoder

/// Why a file isn't a dump.
public struct DumpError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong, and where.
    public let description: String

    /// Says what is wrong.
    init(_ description: String) { self.description = description }
}

/// One object of a dump: what is there must be of its kind, what isn't known is passed over.
struct ReportReader {
    let value: JSON
    let place: String

    /// - Throws: where it isn't an object.
    init(_ value: JSON, _ place: String) throws(DumpError) {
        guard case .object = value else { throw DumpError("\(place) isn't an object") }
        self.value = value
        self.place = place
    }

    /// A text; control characters don't come through.
    func text(_ name: String) throws(DumpError) -> String? {
        switch value[name] {
        case nil, .null: return nil
        case .string(let text): return Self.harmless(text)
        default: throw DumpError("\"\(name)\" of \(place) isn't a text")
        }
    }

    func texts(_ name: String) throws(DumpError) -> [String] {
        var texts: [String] = []
        for item in try list(name) ?? [] {
            guard case .string(let text) = item else {
                throw DumpError("\"\(name)\" of \(place) isn't a list of texts")
            }
            texts.append(Self.harmless(text))
        }
        return texts
    }

    func flag(_ name: String) throws(DumpError) -> Bool? {
        switch value[name] {
        case nil, .null: return nil
        case .bool(let flag): return flag
        default: throw DumpError("\"\(name)\" of \(place) is neither true nor false")
        }
    }

    /// A whole number that isn't negative.
    func unsigned(_ name: String) throws(DumpError) -> UInt64? {
        switch value[name] {
        case nil, .null: return nil
        case .some(let value):
            guard let number = Self.unsigned(value) else {
                throw DumpError("\"\(name)\" of \(place) isn't a whole number, or is negative")
            }
            return number
        }
    }

    /// A whole number of any type, inside its range.
    func number<T: FixedWidthInteger>(_ name: String, _ type: T.Type = T.self) throws(DumpError) -> T? {
        if case .integer(let number)? = value[name], number < 0, T.isSigned, let small = T(exactly: number) {
            return small
        }
        guard let number = try unsigned(name) else { return nil }
        guard let small = T(exactly: number) else { throw DumpError("\"\(name)\" of \(place) is too large") }
        return small
    }

    /// A number in hexadecimal, written as a text, with or without 0x.
    func hexadecimal<T: FixedWidthInteger & UnsignedInteger>(
        _ name: String, _ type: T.Type = T.self
    ) throws(DumpError) -> T? {
        guard let text = try text(name) else { return nil }
        let bytes = text.utf8
        let digits =
            bytes.starts(with: "0x".utf8) ? text[bytes.index(bytes.startIndex, offsetBy: 2)...] : text[...]
        // A sign isn't a digit, though the initialiser takes it.
        guard digits.utf8.first != UInt8(ascii: "+"), digits.utf8.first != UInt8(ascii: "-"),
            let number = T(digits, radix: 16)
        else {
            throw DumpError("\"\(name)\" of \(place) isn't a number in hexadecimal of \(T.bitWidth) bits")
        }
        return number
    }

    /// The values of a list; nil where there is none.
    func list(_ name: String) throws(DumpError) -> [JSON]? {
        switch value[name] {
        case nil, .null: return nil
        case .array(let items): return items
        default: throw DumpError("\"\(name)\" of \(place) isn't a list")
        }
    }

    /// The objects of a list.
    func objects(_ name: String) throws(DumpError) -> [ReportReader]? {
        guard let items = try list(name) else { return nil }
        var readers: [ReportReader] = []
        for (index, item) in items.enumerated() {
            readers.append(try ReportReader(item, "\(name)[\(index)]"))
        }
        return readers
    }

    /// An object.
    func object(_ name: String) throws(DumpError) -> ReportReader? {
        guard let value = value[name] else { return nil }
        if case .null = value { return nil }
        return try ReportReader(value, "\"\(name)\"")
    }

    /// A value that must be there.
    func required<T>(_ value: T?, _ name: String) throws(DumpError) -> T {
        guard let value else { throw DumpError("\(place) has no \"\(name)\"") }
        return value
    }

    static func unsigned(_ value: JSON) -> UInt64? {
        switch value {
        case .integer(let number): UInt64(exactly: number)
        case .number(let text):
            text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
                ? UInt64(text) : nil
        default: nil
        }
    }

    /// The text without what would move a terminal's cursor.
    static func harmless(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            result.append(scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value) ? "?" : scalar)
        }
        return String(result)
    }
}
