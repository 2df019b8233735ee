import LinuxSystem
import VFIOABI

/// Puts one message together, in fixed memory.
public struct MessageWriter: ~Copyable {
    private var store: ByteStore
    /// How many bytes the message has so far.
    public private(set) var byteCount = 0

    /// A writer for messages of up to `limit` bytes, header included.
    /// - Throws: `ENOMEM`.
    public init(limit: Int) throws(Errno) {
        store = try ByteStore(byteCount: max(limit, 64))
    }

    /// The most bytes that can still be appended.
    public var room: Int { store.byteCount - byteCount }

    /// Begins a message anew, with this header; its size is filled in by ``finish()``.
    public mutating func begin(_ header: UserMessageHeader) {
        byteCount = 0
        append(header)
    }

    /// Begins anew with bytes that are a whole message.
    mutating func restart(with message: RawSpan) {
        byteCount = 0
        append(message)
    }

    /// Begins the answer to a command.
    @inline(__always)
    public mutating func beginReply(to header: UserMessageHeader) {
        begin(UserMessageHeader(id: header.id, command: header.command, flags: .reply))
    }

    /// Makes the message the refusal of a command: a bare header with the errno.
    public mutating func refuse(_ header: UserMessageHeader, _ error: Errno) {
        begin(
            UserMessageHeader(
                id: header.id, command: header.command, flags: [.reply, .error],
                error: UInt32(clamping: error.rawValue)))
    }

    /// Appends a structure.
    /// - Precondition: there is room for it.
    @inline(__always)
    public mutating func append(_ value: some ABIValue) {
        let at = byteCount
        byteCount += MemoryLayout.size(ofValue: value)
        var bytes = store.mutableBytes
        precondition(value.write(to: &bytes, at: at), "no room in the message")
    }

    /// Appends bytes.
    /// - Precondition: there is room for them.
    public mutating func append(_ bytes: RawSpan) {
        let at = byteCount
        byteCount += bytes.byteCount
        var room = store.mutableBytes
        room.copy(bytes, to: at)
    }

    /// Appends so many bytes and lends them to `body`, which fills them; what it leaves is what was there before.
    /// - Precondition: there is room for them.
    @inline(__always)
    public mutating func append<E: Error>(
        _ count: Int, _ body: (inout MutableRawSpan) throws(E) -> Void
    ) throws(E) {
        let at = byteCount
        byteCount += count
        var bytes = store.mutableBytes
        var part = bytes._mutatingExtracting(at..<at + count)
        try body(&part)
    }

    /// The message; see ``ByteStore/unsafeBytes(at:_:)``.
    @_lifetime(immortal)
    @unsafe func unsafeBytes() -> RawSpan { unsafe store.unsafeBytes(at: 0, byteCount) }

    /// Fills in how long the message has become.
    @inline(__always)
    public mutating func finish() {
        let size = UInt32(truncatingIfNeeded: byteCount)
        var all = store.mutableBytes
        // The message's size is the header's third field.
        _ = size.write(to: &all, at: 4)
    }

    /// The message; finished by ``finish()``.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        get { store.bytes.extracting(0..<byteCount) }
    }
}
