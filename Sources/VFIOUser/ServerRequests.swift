import LinuxSystem
import VFIOABI

/// What a client does when its server asks for memory: carries the command out and puts the answer together.
struct ServerRequests: ~Copyable {
    private var writer: MessageWriter
    private let mappings: ClientMappings
    private let transferByteCount: Int

    /// - Parameter mappings: what the server may reach.
    /// - Throws: `ENOMEM`.
    init(_ mappings: ClientMappings, _ limits: Limits) throws(Errno) {
        writer = try MessageWriter(limit: limits.messageByteCount)
        self.mappings = mappings
        transferByteCount = limits.transferByteCount
    }

    /// The answer to the last command.
    var answer: RawSpan {
        @_lifetime(borrow self)
        get { writer.bytes }
    }

    /// Carries out a command.
    /// - Returns: whether an answer is to be sent.
    mutating func carryOut(_ message: Message, _ body: RawSpan) -> Bool {
        let header = message.header
        do throws(Errno) {
            guard header.isCommand else { throw .invalid }
            guard !message.isOversized else { throw .tooBig }
            try carryOut(header, body)
        } catch {
            writer.refuse(header, error)
        }
        if header.flags.contains(.noReply) { return false }
        writer.finish()
        return true
    }

    private mutating func carryOut(_ header: UserMessageHeader, _ body: RawSpan) throws(Errno) {
        switch header.command {
        case .dmaRead:
            guard let access = UserDMAAccess(body), access.count > 0,
                access.count <= UInt64(transferByteCount)
            else { throw .invalid }
            writer.beginReply(to: header)
            writer.append(access)
            let mappings = mappings
            try writer.append(Int(access.count)) { (bytes) throws(Errno) in
                try mappings.read(at: access.address, into: &bytes)
            }
        case .dmaWrite:
            guard let access = UserDMAAccess(body), access.count > 0,
                access.count == UInt64(body.byteCount - UserDMAAccess.byteCount)
            else { throw .invalid }
            try mappings.write(
                body.extracting(UserDMAAccess.byteCount..<body.byteCount), at: access.address)
            writer.beginReply(to: header)
            writer.append(access)
        default: throw .notSupported
        }
    }
}
