import LinuxSystem
import VFIOABI

/// What a message of the protocol says, as one line for people.
///
/// ```
/// REGION_WRITE #7 region=BAR0 offset=0x14 count=4 data=0x00000001
/// DMA_MAP #8 argsz=32 flags=READ|WRITE iova=0x0-0x7fffffff offset=0x0 fds=1
/// DMA_MAP #8 error=EEXIST(17)
/// ```
///
/// Any bytes can be described: what is too short, too long or unknown is shown as such, and no line has more than
/// ``mostBytes`` bytes, nor anything in it but printable characters.
public struct MessageDescription: Sendable, Equatable, CustomStringConvertible {
    /// One thing that a message says.
    public struct Field: Sendable, Equatable {
        /// The protocol's word for it ("offset"); "fds" for how many descriptors come along, "noreply" for a command
        /// whose sender wants no answer, "body" for bytes that have no meaning here.
        public let name: String
        /// Its value, in words where there are some.
        public let value: String

        /// Makes a field.
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// The message's header.
    public let header: UserMessageHeader
    /// What follows it, in the order in which it is shown.
    public private(set) var fields: [Field] = []

    /// The most bytes that a line has, in UTF-8.
    public static let mostBytes = 1024

    /// Describes a message.
    /// - Parameters:
    ///   - header: its header.
    ///   - body: what follows the header; nothing of one that was too long.
    ///   - descriptorCount: how many descriptors came or go along.
    ///   - isOversized: whether the body was longer than what is taken.
    public init(
        _ header: UserMessageHeader, body: RawSpan, descriptorCount: Int = 0, isOversized: Bool = false
    ) {
        self.header = header
        if isOversized {
            add("oversized", "\(header.messageSize)")
        } else if header.flags.contains(.error) {
            addRest(body, from: 0)
        } else if header.isCommand {
            addCommand(body)
        } else if header.isReply {
            addReply(body)
        } else {
            addRest(body, from: 0)
        }
        if descriptorCount > 0 { add("fds", "\(descriptorCount)") }
        if header.flags.contains(.noReply) { add("noreply", "") }
        let unknown = header.flags.rawValue & ~0x3f
        if unknown != 0 { add("header_flags", MessageWords.hexadecimal(UInt64(header.flags.rawValue))) }
    }

    /// Describes a message that is all of some bytes.
    /// - Returns: nil where they are no whole header.
    public init?(_ message: RawSpan, descriptorCount: Int = 0) {
        guard let header = UserMessageHeader(message) else { return nil }
        self.init(
            header, body: message.extracting(UserMessageHeader.size..<message.byteCount),
            descriptorCount: descriptorCount)
    }

    /// The command's name ("REGION_READ"), or its number where it has none ("command 99").
    public var command: String { header.command.name.map { "\($0)" } ?? "command \(header.command.rawValue)" }

    /// The errno of a reply that tells of a failure; nil for any other message.
    public var errno: Errno? {
        guard header.isReply, header.flags.contains(.error) else { return nil }
        return Errno(rawValue: Int32(clamping: header.error))
    }

    /// The line: the command, the id, what kind of message it is, and the fields.
    public var description: String {
        var line = "\(command) #\(header.id)"
        if header.flags.contains(.error) {
            line += " error=\(MessageWords.errno(header.error))"
        } else if header.isReply {
            line += " reply"
        } else if !header.isCommand {
            line += " type=\(header.flags.rawValue & UserMessageFlags.typeMask.rawValue)"
        }
        for field in fields {
            let text = field.value.isEmpty ? " \(field.name)" : " \(field.name)=\(field.value)"
            guard line.utf8.count + text.utf8.count <= Self.mostBytes - 4 else { return line + " …" }
            line += text
        }
        return line
    }

    // MARK: fields

    mutating func add(_ name: String, _ value: String) { fields.append(Field(name, value)) }

    mutating func add(_ name: String, _ value: some BinaryInteger) { add(name, "\(value)") }

    mutating func add(_ name: String, hexadecimal value: UInt64) {
        add(name, MessageWords.hexadecimal(value))
    }

    /// Bytes that belong there.
    mutating func addData(_ body: RawSpan, from start: Int) {
        guard body.byteCount > start else { return }
        add("data", MessageWords.data(body.extracting(start..<body.byteCount)))
        if body.byteCount - start > MessageWords.mostBytes { add("bytes", body.byteCount - start) }
    }

    /// Bytes that don't mean anything here.
    mutating func addRest(_ body: RawSpan, from start: Int) {
        guard body.byteCount > start else { return }
        add("body", MessageWords.bytes(body.extracting(start..<body.byteCount)))
        add("bytes", body.byteCount - start)
    }

    /// Reads a message's fixed part; says so where it is too short.
    mutating func load<T: ABIValue>(_ type: T.Type, _ body: RawSpan, at offset: Int = 0) -> T? {
        if let value = T(body, at: offset) { return value }
        add("short", "\(max(0, body.byteCount - offset))/\(T.byteCount)")
        addRest(body, from: min(offset, body.byteCount))
        return nil
    }

    /// How many records of a list are shown.
    static let mostRecords = 4

    /// A list of records, of which the first few are shown.
    mutating func addList(_ name: String, _ items: [String], of count: Int) {
        guard count > 0 else { return }
        add(name, items.joined(separator: ",") + (items.count < count ? ",…" : ""))
    }
}
