/// A named part of a configuration space: a register with its fields, or one field of a register.
///
/// Registers and fields are of one type, so that text, JSON and whoever reads one register show the same.
public struct ConfigurationField: Sendable, Equatable {
    /// The specification's name, e.g. "Device Control" or "Max Payload Size".
    public var name: String
    /// Where the register begins, in bytes from the start of the configuration space.
    public var offset: Int
    /// The length of the register in bytes.
    public var byteCount: Int
    /// The bits of the register that this is, lowest bit 0; all of them for the register itself.
    public var bits: ClosedRange<Int>
    /// The bits' value, shifted down; of a register longer than 8 bytes the first 8 bytes.
    public var value: UInt64
    /// What the value means ("256 bytes", "D3hot"); nil where the number or the bit says it all.
    public var meaning: String?
    /// The fields of a register, lowest bit first; bits that are reserved aren't among them.
    public var fields: [ConfigurationField]

    /// Names a part.
    public init(
        _ name: String, offset: Int, byteCount: Int, bits: ClosedRange<Int>, value: UInt64,
        meaning: String? = nil, fields: [ConfigurationField] = []
    ) {
        self.name = name
        self.offset = offset
        self.byteCount = byteCount
        self.bits = bits
        self.value = value
        self.meaning = meaning
        self.fields = fields
    }

    /// Whether it is a single bit that has no words of its own: its name says what it means when it is set.
    public var isFlag: Bool { bits.count == 1 && meaning == nil && fields.isEmpty }

    /// The value in hexadecimal with as many digits as the bits need: "0x10de".
    public var hexadecimal: String { "0x" + hex(value, digits: min(16, (bits.count + 3) / 4)) }

    /// What it says in one line: a register's flags that are set and its fields that say something, with commas
    /// between; empty where there is nothing but zeros.
    public var summary: String {
        if let meaning { return meaning }
        if fields.isEmpty { return isFlag ? (value == 0 ? "no" : "yes") : hexadecimal }
        var parts: [String] = []
        for field in fields {
            if let meaning = field.meaning {
                if !meaning.isEmpty { parts.append("\(field.name) \(meaning)") }
            } else if field.value != 0 {
                parts.append(field.isFlag ? field.name : "\(field.name) \(field.value)")
            }
        }
        return parts.joined(separator: ", ")
    }

    /// The part with a name among the fields; nil if there is none.
    public subscript(name: String) -> ConfigurationField? { fields.first { $0.name == name } }
}

/// A number in hexadecimal without a prefix, with at least as many digits.
func hex(_ value: some BinaryInteger, digits: Int = 1) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
}
