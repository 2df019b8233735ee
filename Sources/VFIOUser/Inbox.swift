import LinuxSystem

/// What comes from a socket: messages as they come, and before them the commands that were put aside.
struct Inbox: ~Copyable {
    var reader: MessageReader
    var queue: CommandQueue
    /// The descriptors of the queued command that ``next()`` returned last.
    private var queuedDescriptors = PassedDescriptors()

    /// - Parameters:
    ///   - limit: the longest message, in bytes.
    ///   - queue: how many bytes of commands are put aside at most.
    /// - Throws: `ENOMEM`.
    init(limit: Int, queue: Int) throws(Errno) {
        let commands = try CommandQueue(byteCount: queue)
        reader = try MessageReader(limit: limit)
        self.queue = commands
    }

    /// The next message; nil where more bytes have to come.
    @inline(__always)
    mutating func next() throws(FramingError) -> Message? {
        if queue.count > 0 { return nextQueued() }
        return try reader.next()
    }

    @inline(never)
    private mutating func nextQueued() -> Message? { queue.next(&queuedDescriptors) }

    /// The body of the message that ``next()`` returned last.
    ///
    /// Unsafe: as ``ByteStore/unsafeBytes(at:_:)``.
    @_lifetime(immortal)
    @inline(__always)
    @unsafe func unsafeBody(of message: Message) -> RawSpan {
        if message.isQueued { return unsafe queue.unsafeBody(of: message) }
        return unsafe reader.unsafeBody(of: message)
    }

    /// Takes the descriptors that came with a message.
    mutating func takeDescriptors(of message: Message) -> PassedDescriptors {
        guard message.isQueued else { return reader.takeDescriptors() }
        var taken = PassedDescriptors()
        swap(&taken, &queuedDescriptors)
        return taken
    }

    /// Puts the command that the reader gave last aside.
    /// - Returns: whether there was room for it.
    mutating func putAside(_ message: Message) -> Bool {
        let descriptors = reader.takeDescriptors()
        return queue.append(message, reader.body(of: message), descriptors)
    }

    /// Takes out one of the commands that were put aside.
    mutating func take(at place: Int) -> Message? { queue.take(at: place, &queuedDescriptors) }
}
