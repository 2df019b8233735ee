import JSONText
import PCIDecoder
import VFIO

/// What was read at one place.
public struct RegisterReading: Sendable {
    /// The version of the JSON document.
    public static let version = 1

    /// The device's name.
    public var device: String
    /// The region as places name it: "bar0".
    public var region: String
    /// Where the first word is, in bytes from the region's beginning.
    public var offset: UInt64
    /// How many bytes each word has.
    public var width: Int
    /// The words.
    public var values: [UInt64]
    /// Who showed them: "vfio", or "sysfs" for a device that isn't open.
    public var source: String
    /// The register there, where one with a name begins there and all of it was read.
    public var register: NamedRegister?
    /// The register with its fields, where these are known.
    public var decoded: ConfigurationField?
    /// Whether the words are all ones and the configuration space is too: the device doesn't answer.
    public var isCertainlyGone: Bool

    /// Whether every bit is one: what is read of a device that doesn't answer, and of some registers.
    public var isAllOnes: Bool { values.allSatisfy { $0 == DeviceRegisters.ones(width) } }

    /// For programs: words in hexadecimal without prefix.
    public var json: JSON {
        .of([
            ("region", .string(region)), ("offset", .unsigned(offset)), ("width", .count(width)),
            ("register", register.map { .string($0.name) }), ("source", .string(source)),
            ("values", .array(values.map { .hexadecimal($0, digits: 2 * width) })),
            ("isAllOnes", isAllOnes ? .bool(true) : nil), ("answers", isCertainlyGone ? .bool(false) : nil),
            ("decoded", decoded?.json),
        ])
    }
}

/// What became of one writing.
public struct RegisterChange: Sendable {
    /// What was there before; nil where that wasn't read.
    public var before: RegisterReading?
    /// What is there afterwards; nil where that wasn't read.
    public var after: RegisterReading?
    /// The region as places name it: "bar0".
    public var region: String
    /// Where the word is, in bytes from the region's beginning.
    public var offset: UInt64
    /// How many bytes it has.
    public var width: Int
    /// What was written, or would have been.
    public var written: UInt64
    /// The register there, where it has a name.
    public var register: NamedRegister?
    /// Why it wasn't read; nil where it was.
    public var unread: String?
    /// Whether it was written.
    public var isDone: Bool

    /// For programs: words in hexadecimal without prefix.
    public var json: JSON {
        .of([
            ("region", .string(region)), ("offset", .unsigned(offset)), ("width", .count(width)),
            ("register", register.map { .string($0.name) }),
            ("before", before?.values.first.map { .hexadecimal($0, digits: 2 * width) }),
            ("written", .hexadecimal(written, digits: 2 * width)),
            ("after", after?.values.first.map { .hexadecimal($0, digits: 2 * width) }),
            ("unread", unread.map { .string($0) }), ("isDone", .bool(isDone)),
            ("decoded", (after ?? before)?.decoded?.json),
        ])
    }
}
