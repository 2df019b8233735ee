import DeviceModel
import LinuxSystem
import VFIOABI

/// A socket to the client, and whoever sends on it or waits for something that comes on it.
///
/// **Receiving.** One thread at a time has the receiver's part: it alone touches the inbox. On the socket that the
/// client's commands come on, that is the thread that carries them out, the owner; while it carries out a register
/// write, it gives the part away. A thread that waits for an answer takes the part when nobody has it: it hands
/// answers to whoever waits for their id and puts commands aside, for the owner to carry out later.
///
/// **Sending.** Whole messages, with `sendLock` held. The answer to a register write may be staged before the write
/// is carried out; then it goes out before anything else does.
@safe final class Channel: @unchecked Sendable {
    // SAFETY: who may touch what is said with each variable.
    let socket: UnixSocket
    let device: ServedDevice
    let patience: Patience
    /// How often to look for bytes before waiting for them.
    let polls: Int
    /// The thread that carries out the client's commands; 0 on a socket without such.
    let owner: UInt64
    /// The socket that the client's commands come on, if that is another: it ends with this one.
    private let main: Channel?

    /// The receiver's.
    let inbox: UnsafeMutablePointer<Inbox>

    private let sendLock = Lock()
    /// A staged answer, with `sendLock`.
    private var staged: MessageWriter
    private var isStaged = false
    /// When the command came that the staged answer belongs to.
    private var stagedSince: UInt64 = 0

    /// Guards what follows. Never held while something is sent or a device called.
    let lock = Lock()
    let changed = Condition()
    var calls = InlineArray<16, PendingCall>(repeating: PendingCall())
    var nextID: UInt16 = 0
    /// How much data is under way for all calls together, in bytes.
    var dataByteCount = 0
    var hasReceiver: Bool
    var ownerWaits = false
    var isSuspended = false
    /// Whether nothing comes any more.
    var isClosed = false
    private var ending: ConnectionEnd?

    // The owner's.
    /// Whether a register write is being carried out, whose answer can go out at any moment.
    var isWriting = false
    /// Whether the client waited in vain for us during this write while we waited for it.
    var hasStalled = false
    /// The data of the write that is being carried out: the inbox may be needed for other things.
    private var held: ByteStore
    private var heldByteCount = 0
    /// For answers in the middle of a write.
    var readWriter: MessageWriter

    /// How many bytes of commands are put aside, beyond the longest one.
    private static let queueByteCount = 1 << 20

    /// - Parameter main: the socket that the client's commands come on; nil where that is this one. Commands on
    ///   another one end the connection.
    /// - Throws: `ENOMEM`.
    init(
        _ socket: consuming UnixSocket, _ device: ServedDevice, polls: Int, twinOf main: Channel? = nil
    ) throws(Errno) {
        let limit = device.limits.messageByteCount
        let isMain = main == nil
        let inbox = try Inbox(limit: limit, queue: isMain ? limit + Self.queueByteCount : 1)
        let staged = try MessageWriter(limit: 64)
        let held = try ByteStore(byteCount: isMain ? limit : 64)
        let readWriter = try MessageWriter(limit: isMain ? limit : 64)
        try socket.setSendTimeout(milliseconds: device.limits.patience.answerMilliseconds)
        self.socket = socket
        self.device = device
        self.polls = polls
        self.main = main
        self.staged = staged
        self.held = held
        self.readWriter = readWriter
        patience = device.limits.patience
        owner = isMain ? WorkerThread.callerIdentity : 0
        hasReceiver = isMain
        // SAFETY: initialised before anyone sees it.
        unsafe self.inbox = .allocate(capacity: 1)
        unsafe self.inbox.initialize(to: inbox)
    }

    deinit {
        // SAFETY: the last reference is gone.
        unsafe inbox.deinitialize(count: 1)
        unsafe inbox.deallocate()
    }

    /// The body of the message that came last. The receiver's.
    ///
    /// Unsafe: not to be used any more once something is received.
    @_lifetime(immortal)
    @inline(__always)
    @unsafe func unsafeBody(of message: Message) -> RawSpan {
        unsafe inbox.pointee.unsafeBody(of: message)
    }

    // MARK: watching

    /// A message has come, for which nobody waits, and somebody wants to know of messages. The receiver's.
    @inline(never)
    func note(_ message: inout Message) {
        // SAFETY: the receiver's part is the caller's; nothing is received before the call returns.
        let count = unsafe inbox.pointee.reader.descriptorCount
        message.receivedAt = device.monitor.noteReceived(
            message, unsafe unsafeBody(of: message), descriptorCount: count)
    }

    /// An answer was sent whose command was noted. Out of the way of those that weren't.
    @inline(never)
    private func noteSent(_ message: RawSpan, _ descriptorCount: Int, _ since: UInt64) {
        device.monitor.noteSent(message, descriptorCount: descriptorCount, since: since)
    }

    // MARK: sending

    /// Sends a whole message, with a descriptor if there is one (-1 for none).
    /// - Parameter since: for an answer, when its command came; 0 if nobody wants to know.
    @inline(__always)
    func send(_ message: RawSpan, passing passed: Int32 = -1, since: UInt64) throws(Errno) {
        try sendLock.withLock { () throws(Errno) in
            try socket.sendAll(message, passing: passed, milliseconds: patience.answerMilliseconds)
            if since != 0 { noteSent(message, passed >= 0 ? 1 : 0, since) }
        }
    }

    /// Sends a whole message with several descriptors.
    func send(_ message: RawSpan, passing passed: [Int32], since: UInt64) throws(Errno) {
        try sendLock.withLock { () throws(Errno) in
            let done = try socket.send(message, descriptors: passed)
            try socket.sendAll(
                message.extracting(done..<message.byteCount), milliseconds: patience.answerMilliseconds)
            if since != 0 { noteSent(message, passed.count, since) }
        }
    }

    /// Sends a command, if `isWanted` still says so, and before it what is staged.
    func send(_ head: RawSpan, _ data: RawSpan, _ isWanted: () -> Bool) throws(Errno) {
        try sendLock.withLock { () throws(Errno) in
            guard isWanted() else { return }
            try sendStaged()
            try socket.sendAll(head, data, milliseconds: patience.answerMilliseconds)
            if device.monitor.isWatching { device.monitor.noteSent(head, data, descriptorCount: 0) }
        }
    }

    /// Keeps a short message, to be sent before anything else and by ``flush()`` at the latest.
    func stage(_ message: RawSpan, since: UInt64) {
        sendLock.withLock {
            staged.restart(with: message)
            stagedSince = since
            isStaged = true
        }
    }

    /// Sends what is staged, if nobody has yet.
    func flush() throws(Errno) {
        try sendLock.withLock { () throws(Errno) in try sendStaged() }
    }

    private func sendStaged() throws(Errno) {
        guard isStaged else { return }
        isStaged = false
        // SAFETY: changed with `sendLock` only, which we hold.
        let message = unsafe staged.unsafeBytes()
        try socket.sendAll(message, milliseconds: patience.answerMilliseconds)
        if stagedSince != 0 { noteSent(message, 0, stagedSince) }
    }

    // MARK: the owner's part

    /// Keeps the data of a write that is about to be carried out.
    func hold(_ bytes: RawSpan) {
        var room = held.mutableBytes
        room.copy(bytes, to: 0)
        heldByteCount = bytes.byteCount
    }

    /// The data of the write that is being carried out.
    ///
    /// Unsafe: not to be used any more once the next write begins.
    @_lifetime(immortal)
    @unsafe func unsafeHeldBytes() -> RawSpan { unsafe held.unsafeBytes(at: 0, heldByteCount) }

    /// A register write begins: whoever waits for an answer may receive.
    func beginWrite() {
        isWriting = true
        lock.withLock {
            hasReceiver = false
            changed.wakeAll()
        }
    }

    /// The register write has been carried out, and answered.
    /// - Returns: why the connection was ended meanwhile, if it was.
    func endWrite() -> ConnectionEnd? {
        isWriting = false
        hasStalled = false
        lock.lock()
        ownerWaits = true
        while hasReceiver { changed.wait(for: lock) }
        hasReceiver = true
        ownerWaits = false
        defer { lock.unlock() }
        return ending
    }

    // MARK: the end

    /// Ends the connection, for a reason that is the client's doing.
    func end(_ reason: ConnectionEnd) {
        lock.withLock {
            if ending == nil { ending = reason }
            fail(.gone)
            isClosed = true
        }
        socket.shutDown()
        main?.end(reason)
    }

    /// Why the connection was ended from here; nil if it wasn't.
    var ended: ConnectionEnd? { lock.withLock { ending } }
}
