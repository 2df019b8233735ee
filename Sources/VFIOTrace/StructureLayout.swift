import VFIOABI

/// A structure of the uAPI, field by field, as C names them: for showing it, and for finding in it what differs from
/// run to run.
///
/// Layouts are written as text: `name/width`, a letter for what kind of number it is, and for flags the words of the
/// bits from bit 0 on. Fields follow one another without gaps, as the uAPI's structures do.
public struct StructureLayout: Sendable {
    /// What a field holds.
    public enum Kind: Character, Sendable {
        /// A number to be shown in decimal.
        case number = "n"
        /// A number to be shown in hexadecimal.
        case bits = "x"
        /// A set of flags.
        case flags = "f"
        /// A descriptor that is given, -1 for none.
        case descriptor = "d"
        /// A descriptor that is answered, -1 for none.
        case newDescriptor = "D"
        /// The id of an object of an iommufd that is given.
        case object = "o"
        /// The id of an object that is answered.
        case newObject = "O"
        /// The address of memory that a device is given, as long as the next field called `size` or `length` says.
        case memory = "a"
        /// The address of a buffer of the caller.
        case pointer = "p"
        /// Nothing; shown where it isn't 0.
        case reserved = "r"
    }

    /// One field.
    public struct Field: Sendable {
        /// What C calls it.
        public let name: String
        /// Where it is, in bytes.
        public let offset: Int
        /// 1, 2, 4 or 8 bytes.
        public let width: Int
        /// What it holds.
        public let kind: Kind
        /// The words of flags, by bit; empty where a bit has none.
        public let words: [String]
    }

    /// What C calls it.
    public let name: String
    /// In order of their places.
    public let fields: [Field]

    /// Reads the text of a layout.
    init(_ name: String, _ text: String) {
        self.name = name
        var fields: [Field] = []
        var offset = 0
        for word in text.split(separator: " ") {
            let parts = word.split(separator: "=", maxSplits: 1)
            let place = parts[0].split(separator: "/")
            let width = place[1].first?.wholeNumberValue ?? 0
            let kind = place[1].dropFirst().first.flatMap { Kind(rawValue: $0) } ?? .number
            let words =
                parts.count > 1 ? parts[1].split(separator: ",", omittingEmptySubsequences: false) : []
            fields.append(
                Field(
                    name: String(place[0]), offset: offset, width: width, kind: kind,
                    words: words.map { String($0) }))
            offset += width
        }
        self.fields = fields
    }

    /// The structure that a request takes; nil where it takes none.
    public static func of(_ name: RequestName) -> StructureLayout? { byRequest["\(name.word)"] }

    /// All structures that are known, by what C calls them.
    public static let all: [String: StructureLayout] = {
        var all: [String: StructureLayout] = [:]
        for (name, text) in texts { all[name] = StructureLayout(name, text) }
        return all
    }()

    private static let byRequest: [String: StructureLayout] = {
        var layouts: [String: StructureLayout] = [:]
        for (request, name) in structures { layouts[request] = all[name] }
        return layouts
    }()
}
