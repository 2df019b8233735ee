import JSONText
import PCIDecoder
import VFIOHost

extension JSON {
    /// An object of the members that have a value.
    static func of(_ members: [(String, JSON?)]) -> JSON {
        .object(members.compactMap { name, value in value.map { Member(name, $0) } })
    }

    /// A number of any size.
    static func unsigned(_ value: UInt64) -> JSON {
        Int64(exactly: value).map { .integer($0) } ?? .number(String(value))
    }

    /// A number.
    static func count(_ value: Int) -> JSON { .integer(Int64(value)) }

    /// A number in hexadecimal, as text.
    static func hexadecimal(_ value: some BinaryInteger, digits: Int, prefix: String = "") -> JSON {
        let text = String(value, radix: 16)
        return .string(prefix + String(repeating: "0", count: max(0, digits - text.utf8.count)) + text)
    }

    /// A list of texts.
    static func texts(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }
}

extension DecodedCapability {
    /// The capability for programs.
    var json: JSON {
        .of([
            ("offset", .count(offset)), ("id", .count(id)), ("version", version.map { .count($0) }),
            ("name", .string(name)), ("summary", summary.map { .string($0) }),
            ("problems", problems.isEmpty ? nil : .texts(problems)),
            ("registers", registers.isEmpty ? nil : .array(registers.map(\.json))),
        ])
    }
}

extension ConfigurationField {
    /// The register and its fields for programs: values in hexadecimal, bits as "high:low".
    public var json: JSON {
        .of([
            ("name", .string(name)), ("offset", .count(offset)), ("byteCount", .count(byteCount)),
            ("value", .string(hexadecimal)), ("meaning", words),
            ("fields", fields.isEmpty ? nil : .array(fields.map(\.fieldJSON))),
        ])
    }

    private var fieldJSON: JSON {
        .of([
            ("name", .string(name)),
            (
                "bits",
                .string(bits.count == 1 ? "\(bits.lowerBound)" : "\(bits.upperBound):\(bits.lowerBound)")
            ),
            ("value", .string(hexadecimal)), ("meaning", words),
        ])
    }

    private var words: JSON? {
        guard let meaning, !meaning.isEmpty else { return nil }
        return .string(meaning)
    }
}
