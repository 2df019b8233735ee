import LinuxSystem
import VFIOABI

/// A message that has come in whole.
public struct Message: Equatable, Sendable {
    /// Its header.
    public let header: UserMessageHeader
    /// Where its body lies among the reader's bytes.
    let bodyStart: Int
    /// How many bytes of body were kept: none of one that was too long.
    public let bodyByteCount: Int
    /// Whether the body was longer than the limit: it was read and thrown away.
    public let isOversized: Bool
    /// Whether its body lies in a queue instead.
    var isQueued = false
    /// When it came, where anybody wants to know; 0 otherwise.
    var receivedAt: UInt64 = 0
}

/// Why a stream of bytes can't be read on: where the next message begins is not known.
public enum FramingError: Error, Equatable, Sendable {
    /// A header says that its message is shorter than the header itself.
    case messageSize(UserMessageHeader)
}

/// Cuts a stream of bytes into messages, however the bytes come: in pieces, or many messages at once.
///
/// Fixed memory, no allocation per message. A message that is longer than the limit is read to its end without
/// being kept, so that it can be answered and the stream goes on.
///
/// **Descriptors.** They are attached to the bytes that a message begins with. Linux hands them over with the read
/// that takes the first of those bytes and ends that read where the bytes that were sent with them end; so they
/// belong to the last message that begins within that read. What comes with no beginning of a message is closed.
public struct MessageReader: ~Copyable {
    private var store: ByteStore
    /// The longest message that is kept.
    public let limit: Int
    /// The bytes [front, end) have come and aren't looked at yet.
    private var front = 0
    private var end = 0
    /// Bytes still to come of a message that is thrown away, and its header.
    private var draining = 0
    private var drained = UserMessageHeader()
    /// The descriptors of the message that `next()` returned last.
    private var current = PassedDescriptors()
    /// Those of the unfinished message at the front.
    private var early = PassedDescriptors()
    /// Those of the latest read, whose message isn't known yet, and where that read began.
    private var latest = PassedDescriptors()
    private var latestStart = 0
    /// How long the next message will be, as it seems; 0 where several may come at once.
    private var expected = 0
    /// How many in a row were shorter than that.
    private var shorterCount = 0

    /// A reader for messages of up to `limit` bytes, header included.
    /// - Throws: `ENOMEM`.
    public init(limit: Int) throws(Errno) {
        self.limit = max(limit, UserMessageHeader.size)
        // Room behind the longest message lets one read take several short ones.
        store = try ByteStore(byteCount: self.limit + 16_384)
    }

    // MARK: bytes come in

    /// Makes room for at least one byte.
    private mutating func makeRoom() {
        settle()
        if front == end {
            front = 0
            end = 0
        } else if end == store.byteCount || front > 0 && needed > store.byteCount - front {
            store.move(end - front, from: front, to: 0)
            end -= front
            front = 0
        }
    }

    /// How long the message at the front is, as far as that is known.
    private var needed: Int {
        guard let header = UserMessageHeader(store.bytes.extracting(front..<end)) else { return 16 }
        return min(Int(header.messageSize), limit)
    }

    /// Receives what has come, at most as much as there is room for.
    /// - Parameters:
    ///   - waits: whether to wait where nothing is there.
    ///   - takesDescriptors: whether descriptors may come; where none can, some time is saved. Those that come all
    ///     the same are closed.
    /// - Returns: the number of bytes; 0 when the other side has closed.
    /// - Throws: the errno of recvmsg(2); `EAGAIN` if `waits` is false and nothing is there.
    public mutating func receive(
        from socket: borrowing UnixSocket, waits: Bool = true, takesDescriptors: Bool = true
    ) throws(Errno) -> Int {
        makeRoom()
        let start = end
        // Who waits for answers sends one message at a time, mostly of the same length, and Linux is quicker where
        // no more is asked for than comes.
        let isExpecting = start == front && draining == 0 && 1...store.byteCount - start ~= expected
        let roomEnd = isExpecting ? start + expected : store.byteCount
        var passed = PassedDescriptors()
        var all = store.mutableBytes
        var room = all._mutatingExtracting(start..<roomEnd)
        guard takesDescriptors else {
            let count = try socket.receive(into: &room, waits: waits)
            latestStart = start
            end = start + count
            return count
        }
        let received = try socket.receiveMessage(into: &room, waits: waits, descriptors: &passed)
        if passed.count > 0 { latest = passed }
        latestStart = start
        end = start + received.byteCount
        return received.byteCount
    }

    /// Receives what has come, and looks so many times before waiting for it.
    @inline(__always)
    mutating func receive(
        from socket: borrowing UnixSocket, polls: Int, takesDescriptors: Bool = true
    ) throws(Errno) -> Int {
        var left = polls
        while left > 0 {
            do throws(Errno) {
                return try receive(from: socket, waits: false, takesDescriptors: takesDescriptors)
            } catch .again {
                left -= 1
                spinHint()
            }
        }
        return try receive(from: socket, takesDescriptors: takesDescriptors)
    }

    /// Takes bytes and descriptors from elsewhere, as many as there is room for.
    ///
    /// The bytes must have been sent together with the descriptors.
    /// - Returns: how many bytes were taken: all, or at least one. Hand in the rest after `next()` gave nil.
    public mutating func feed(_ bytes: RawSpan, descriptors: consuming PassedDescriptors) -> Int {
        makeRoom()
        let start = end
        let count = min(bytes.byteCount, store.byteCount - start)
        var room = store.mutableBytes
        room.copy(bytes.extracting(0..<count), to: start)
        latest = descriptors
        latestStart = start
        end += count
        return count
    }

    // MARK: messages go out

    /// The next whole message; nil where more bytes have to come.
    ///
    /// Its body stays where it is until bytes are received again.
    public mutating func next() throws(FramingError) -> Message? {
        if current.count > 0 { current = PassedDescriptors() }
        if draining > 0 { return drain() }
        guard let header = UserMessageHeader(store.bytes.extracting(front..<end)) else {
            settle()
            return nil
        }
        let size = Int(header.messageSize)
        guard size >= UserMessageHeader.size else { throw .messageSize(header) }
        guard size <= limit else {
            drained = header
            if early.count > 0 { early = PassedDescriptors() }
            // Descriptors of the latest read are this message's, unless another begins behind it.
            if latest.count > 0 && end - front <= size { latest = PassedDescriptors() }
            draining = size - UserMessageHeader.size
            front += UserMessageHeader.size
            return drain()
        }
        guard end - front >= size else {
            settle()
            return nil
        }
        let start = front
        front += size
        note(size, header.flags)
        if early.count > 0 { swap(&current, &early) }
        if latest.count > 0 && front >= end {
            if start >= latestStart { swap(&current, &latest) }
            latest = PassedDescriptors()
        }
        return Message(
            header: header, bodyStart: start + UserMessageHeader.size,
            bodyByteCount: size - UserMessageHeader.size, isOversized: false)
    }

    /// Learns from a message how long the next one may be.
    @inline(__always)
    private mutating func note(_ size: Int, _ flags: UserMessageFlags) {
        if flags.contains(.noReply) || size > Self.longestExpected {
            expected = 0
            shorterCount = 0
        } else if size >= expected {
            expected = size
            shorterCount = 0
        } else {
            // A longer one that comes after all takes a second read.
            shorterCount += 1
            if shorterCount >= 32 { expected = size }
        }
    }

    /// Beyond this the bytes themselves take longer than what could be saved.
    private static let longestExpected = 4096

    /// Throws away what has come of a message that is too long.
    private mutating func drain() -> Message? {
        let count = min(draining, end - front)
        front += count
        draining -= count
        // Nothing begins in a read that lies wholly inside the message.
        if latest.count > 0 && front == end { latest = PassedDescriptors() }
        guard draining == 0 else { return nil }
        return Message(header: drained, bodyStart: front, bodyByteCount: 0, isOversized: true)
    }

    /// Gives the descriptors of the latest read to the unfinished message at the front, if it began in that read;
    /// closes them otherwise.
    private mutating func settle() {
        guard latest.count > 0 else { return }
        if front >= latestStart && front < end && draining == 0 { swap(&early, &latest) }
        latest = PassedDescriptors()
    }

    /// The body of a message, until bytes are received again.
    @_lifetime(borrow self)
    @inline(__always)
    public func body(of message: Message) -> RawSpan {
        store.bytes.extracting(message.bodyStart..<message.bodyStart + message.bodyByteCount)
    }

    /// The body of a message; see ``ByteStore/unsafeBytes(at:_:)``.
    @_lifetime(immortal)
    @inline(__always)
    @unsafe func unsafeBody(of message: Message) -> RawSpan {
        unsafe store.unsafeBytes(at: message.bodyStart, message.bodyByteCount)
    }

    /// How many descriptors came with the message that ``next()`` returned last.
    public var descriptorCount: Int { current.count }

    /// Takes the descriptors that came with the message that ``next()`` returned last.
    public mutating func takeDescriptors() -> PassedDescriptors {
        var taken = PassedDescriptors()
        swap(&taken, &current)
        return taken
    }
}
