import LinuxSystem
import VFIOABI

/// A client's memory that the server reaches by messages only, and notes of what it asked for.
final class RemoteMemory {
    let start: UInt64
    var bytes: [UInt8]
    /// What was asked for: `read 0x1000 8`.
    private(set) var accesses: [String] = []
    /// What becomes of an answer before it is sent.
    var change: ([UInt8]) -> [UInt8] = { $0 }
    /// Refuses everything with this.
    var refusal: Errno?

    init(at start: UInt64, byteCount: Int) {
        self.start = start
        bytes = [UInt8](repeating: 0, count: byteCount)
    }

    func store(_ value: some ABIValue, at address: UInt64) {
        let new = RawClient.bytes(value)
        bytes.replaceSubrange(Int(address - start)..<Int(address - start) + new.count, with: new)
    }

    func load<T: ABIValue>(_ type: T.Type, at address: UInt64) -> T? {
        let all = bytes
        return T(all.span.bytes, at: Int(address - start))
    }

    /// The answer to a command of the server's.
    func answer(_ command: RawClient.Reply) -> [UInt8] {
        let header = command.header
        func refuse(_ errno: Errno) -> [UInt8] {
            change(
                RawClient.bytes(
                    UserMessageHeader(
                        id: header.id, command: header.command, flags: [.reply, .error],
                        error: UInt32(errno.rawValue))))
        }
        guard let access = command.value(UserDMAAccess.self),
            header.command == .dmaRead || header.command == .dmaWrite
        else { return refuse(.invalid) }
        let isRead = header.command == .dmaRead
        accesses.append("\(isRead ? "read" : "write") \(String(access.address, radix: 16)) \(access.count)")
        if let refusal { return refuse(refusal) }
        guard access.address >= start, access.count <= UInt64(bytes.count),
            access.address - start <= UInt64(bytes.count) - access.count
        else { return refuse(.badAddress) }
        let place = Int(access.address - start)..<Int(access.address - start + access.count)
        var body = RawClient.bytes(access)
        if isRead {
            body += bytes[place]
        } else {
            guard command.body.count == 16 + place.count else { return refuse(.invalid) }
            bytes.replaceSubrange(place, with: command.body[16...])
        }
        return change(RawClient.message(header.command, body, id: header.id, flags: .reply))
    }
}
