import JSONText

/// What a side says about itself when a connection begins: the `capabilities` of the version's JSON.
public struct Capabilities: Equatable, Sendable {
    /// `max_msg_fds`: how many descriptors it takes with one message; 1 unless it says so.
    public var descriptorsPerMessage = 1
    /// `max_data_xfer_size`: how many bytes of data it takes in one message; 1 MiB unless it says so.
    public var transferByteCount = 1 << 20
    /// `max_dma_maps`: how many DMA mappings it takes; 65535 unless it says so.
    public var mappingCount = 65_535
    /// `pgsizes`: the page sizes of its DMA mappings, a bit each; 4 KiB unless it says so.
    public var pageSizes: UInt64 = 4096
    /// `write_multiple`: whether it understands `UserCommand.regionWriteMulti`.
    public var writesMultiple = false
    /// `twin_socket.supported`: whether it understands a second socket for the server's commands.
    public var supportsTwinSocket = false
    /// `twin_socket.fd_index`: which of the version's descriptors is the second socket; nil without. Only a
    /// server says it.
    public var twinSocketIndex: Int?
    /// `migration`, as it is; nil without.
    public var migration: JSON?
    /// All that isn't known here, as it is.
    public var others: [JSON.Member] = []

    /// What a side has that says nothing.
    public init() {}

    /// What is wrong with what a side says.
    public enum Problem: Error, Equatable, Sendable {
        /// The text doesn't end with a NUL, or has one in the middle.
        case notTerminated
        /// The text isn't JSON.
        case json(JSONError)
        /// The value under this name is of the wrong kind or out of range; an empty name is the document itself.
        case value(String)
    }

    /// Reads the text that follows a version: JSON and a NUL. No text at all is as good as an empty object.
    public init(text: [UInt8]) throws(Problem) {
        guard let last = text.last else { return }
        guard last == 0, text.firstIndex(of: 0) == text.count - 1 else { throw .notTerminated }
        let document: JSON
        do throws(JSONError) { document = try JSON(Array(text.dropLast())) } catch { throw .json(error) }
        guard case .object = document else { throw .value("") }
        guard let capabilities = document["capabilities"] else { return }
        guard case .object(let members) = capabilities else { throw .value("capabilities") }
        for member in members { try take(member) }
    }

    private mutating func take(_ member: JSON.Member) throws(Problem) {
        switch member.name {
        case "max_msg_fds": descriptorsPerMessage = try Self.number(member, 0...1024)
        case "max_data_xfer_size": transferByteCount = try Self.number(member, 1...Int.max)
        case "max_dma_maps": mappingCount = try Self.number(member, 0...Int.max)
        case "pgsizes": pageSizes = UInt64(try Self.number(member, 0...Int.max))
        case "write_multiple": writesMultiple = try Self.flag(member.value, member.name)
        case "twin_socket":
            guard case .object = member.value else { throw .value(member.name) }
            if let supported = member.value["supported"] {
                supportsTwinSocket = try Self.flag(supported, "twin_socket.supported")
            }
            if let index = member.value["fd_index"] {
                let place = JSON.Member("twin_socket.fd_index", index)
                twinSocketIndex = try Self.number(place, 0...1023)
            }
        case "migration":
            guard case .object = member.value else { throw .value(member.name) }
            migration = member.value
        default: others.append(member)
        }
    }

    private static func number(_ member: JSON.Member, _ range: ClosedRange<Int>) throws(Problem) -> Int {
        guard case .integer(let number) = member.value, let number = Int(exactly: number),
            range.contains(number)
        else { throw .value(member.name) }
        return number
    }

    private static func flag(_ value: JSON, _ name: String) throws(Problem) -> Bool {
        guard case .bool(let flag) = value else { throw .value(name) }
        return flag
    }

    /// The text that follows a version: JSON and a NUL. Short: QEMU refuses an answer longer than its question,
    /// which has 214 bytes.
    public var text: [UInt8] {
        var members: [JSON.Member] = [
            JSON.Member("max_msg_fds", .integer(Int64(descriptorsPerMessage))),
            JSON.Member("max_data_xfer_size", .integer(Int64(transferByteCount))),
            JSON.Member("max_dma_maps", .integer(Int64(mappingCount))),
            JSON.Member("pgsizes", .integer(Int64(clamping: pageSizes))),
        ]
        if writesMultiple { members.append(JSON.Member("write_multiple", .bool(true))) }
        if supportsTwinSocket {
            var twin = [JSON.Member("supported", .bool(true))]
            if let twinSocketIndex {
                twin.append(JSON.Member("fd_index", .integer(Int64(twinSocketIndex))))
            }
            members.append(JSON.Member("twin_socket", .object(twin)))
        }
        if let migration { members.append(JSON.Member("migration", migration)) }
        members += others
        return Array(JSON.object([JSON.Member("capabilities", .object(members))]).text.utf8) + [0]
    }
}
