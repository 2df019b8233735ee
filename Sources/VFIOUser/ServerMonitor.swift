import DeviceModel
import LinuxSystem
import VFIOABI

/// What is to be known of a server at work: counters of what it did, and a line for every message, each switched on
/// and off at any time and from any thread.
///
/// ```swift
/// let server = try Server(Educational(), at: "/run/edu.sock")
/// server.monitor.trace(to: LineOutput(2), as: "edu")
/// server.monitor.isCounting = true
/// …
/// print(server.monitor.metrics)
/// ```
///
/// While both are off, a message costs one load of a word. Counting allocates nothing.
public final class ServerMonitor: @unchecked Sendable {
    // SAFETY: `output`, `label` and `countingSince` are used with `lock` held; the rest is constant.
    let counters = ServerCounters()
    private let interrupts: PCIInterrupts
    private let lock = Lock()
    private var output: LineOutput?
    private var label = ""
    private var countingSince: UInt64?
    /// The moment that the times in a trace count from.
    private let start = Clock.now

    init(_ interrupts: PCIInterrupts) { self.interrupts = interrupts }

    // MARK: switches

    /// Whether messages are counted. Connections, mappings and interrupts always are.
    public var isCounting: Bool {
        get { switches & ServerCounters.isCounting != 0 }
        set {
            lock.withLock {
                if newValue, countingSince == nil { countingSince = Clock.now }
                counters.words.set(ServerCounters.switches, bits: ServerCounters.isCounting, newValue)
            }
        }
    }

    /// Writes a line for every message from now on; nil ends that.
    ///
    /// A line begins with the seconds since the server was made and with `label`, which tells servers apart; `<-` is
    /// a message that came, `->` one that went out, `--` something that happened to the connection. Replies end with
    /// the time since their command. See ``MessageDescription``.
    public func trace(to output: LineOutput?, as label: String = "") {
        lock.withLock {
            self.output = output
            self.label = label.utf8.isEmpty ? "" : label + " "
            counters.words.set(ServerCounters.switches, bits: ServerCounters.isTracing, output != nil)
        }
    }

    /// Whether messages are traced.
    public var isTracing: Bool { switches & ServerCounters.isTracing != 0 }

    @inline(__always)
    private var switches: UInt64 { counters.words.load(ServerCounters.switches) }

    /// Whether anybody wants to know of messages.
    @inline(__always)
    var isWatching: Bool { switches != 0 }

    /// What has been counted so far.
    public var metrics: ServerMetrics {
        let since = lock.withLock { countingSince }
        return ServerMetrics(
            counters.words, interrupts.deliveries, nanoseconds: since.map { Clock.now - $0 })
    }

    // MARK: messages

    /// A command came, or a reply for which nobody waits.
    /// - Parameter asked: for a reply, the moment when what it answers was sent; 0 if that isn't known.
    /// - Returns: the moment, never 0.
    @inline(never)
    func noteReceived(
        _ message: Message, _ body: RawSpan, descriptorCount: Int, since asked: UInt64 = 0
    ) -> UInt64 {
        let now = Clock.now
        let switches = self.switches
        if switches & ServerCounters.isCounting != 0 {
            count(message.header, .received, now, asked)
            if asked != 0 && message.header.command == .dmaRead && !message.header.flags.contains(.error) {
                counters.words.add(ServerCounters.dmaRead, dataByteCount(message.header))
            }
        }
        if switches & ServerCounters.isTracing != 0 {
            traceReceived(message, body, descriptorCount, now, asked)
        }
        return now
    }

    /// A message was sent, in one piece or in two.
    /// - Parameter asked: for a reply, the moment when its command came.
    @inline(never)
    func noteSent(
        _ message: RawSpan, _ data: RawSpan = RawSpan(), descriptorCount: Int, since asked: UInt64 = 0
    ) {
        guard let header = UserMessageHeader(message) else { return }
        let now = Clock.now
        let switches = self.switches
        if switches & ServerCounters.isCounting != 0 {
            count(header, .sent, now, asked)
            if header.isCommand && header.command == .dmaWrite {
                counters.words.add(ServerCounters.dmaWritten, dataByteCount(header))
            }
        }
        if switches & ServerCounters.isTracing != 0 {
            traceSent(header, message, data, descriptorCount, now, asked)
        }
    }

    /// How many bytes a DMA message carries.
    private func dataByteCount(_ header: UserMessageHeader) -> UInt64 {
        let fixed = UInt32(UserMessageHeader.size + UserDMAAccess.byteCount)
        return UInt64(header.messageSize > fixed ? header.messageSize - fixed : 0)
    }

    @inline(__always)
    private func count(
        _ header: UserMessageHeader, _ direction: MessageDirection, _ now: UInt64, _ asked: UInt64
    ) {
        let words = counters.words
        let slot = ServerCounters.slot(header.command)
        let isReply = header.isReply
        let cell = ServerCounters.message(slot, direction, isReply: isReply)
        words.add(cell, 1)
        words.add(cell + 1, UInt64(header.messageSize))
        guard isReply else { return }
        if header.flags.contains(.error) { words.add(ServerCounters.error(direction, header.error), 1) }
        guard asked != 0 else { return }
        let nanoseconds = now &- asked
        let latency = ServerCounters.latency(slot)
        words.add(latency, nanoseconds)
        words.raise(latency + 1, to: nanoseconds)
        words.add(latency + 2 + ReplyTimes.bucket(for: nanoseconds), 1)
    }

    // MARK: connections and memory

    /// A client has connected.
    func noteConnection() {
        counters.words.add(ServerCounters.connections, 1)
        counters.words.store(ServerCounters.isConnected, 1)
        if isTracing { write("--", "a client has connected", Clock.now) }
    }

    /// The client has gone.
    func noteEnd(_ end: ConnectionEnd) {
        counters.words.store(ServerCounters.isConnected, 0)
        counters.words.add(ServerCounters.ends + end.index, 1)
        if isTracing { write("--", "\(end)", Clock.now) }
    }

    /// What the client has mapped now.
    func noteMappings(_ count: Int, byteCount: UInt64) {
        counters.words.store(ServerCounters.mappings, UInt64(count))
        counters.words.store(ServerCounters.mappedBytes, byteCount)
    }

    // MARK: lines

    @inline(never)
    private func traceReceived(
        _ message: Message, _ body: RawSpan, _ descriptorCount: Int, _ now: UInt64, _ asked: UInt64
    ) {
        let text = MessageDescription(
            message.header, body: body, descriptorCount: descriptorCount, isOversized: message.isOversized)
        write("<-", text.description, now, since: asked)
    }

    @inline(never)
    private func traceSent(
        _ header: UserMessageHeader, _ message: RawSpan, _ data: RawSpan, _ descriptorCount: Int,
        _ now: UInt64, _ asked: UInt64
    ) {
        let body = message.extracting(UserMessageHeader.size..<message.byteCount)
        guard data.byteCount > 0 else {
            let text = MessageDescription(header, body: body, descriptorCount: descriptorCount)
            return write("->", text.description, now, since: asked)
        }
        // What goes out in two pieces is a command and its data.
        var joined: [UInt8] = []
        for piece in 0..<body.byteCount { joined.append(body.loadByte(piece)) }
        for piece in 0..<data.byteCount { joined.append(data.loadByte(piece)) }
        // SAFETY: a UInt8 has no padding.
        let text = MessageDescription(
            header, body: unsafe joined.span.bytes, descriptorCount: descriptorCount)
        write("->", text.description, now, since: asked)
    }

    private func write(_ arrow: String, _ text: String, _ now: UInt64, since asked: UInt64 = 0) {
        let (output, label) = lock.withLock { (self.output, self.label) }
        let time = MessageWords.seconds(now &- start)
        let latency = asked == 0 ? "" : " (\(MessageWords.duration(now &- asked)))"
        output?.write("\(time) \(label)\(arrow) \(text)\(latency)")
    }
}
