import LinuxSystem

/// What is at one end of a wire: a network card, a TAP, a test.
public protocol WireEnd: AnyObject, Sendable {
    /// A frame has arrived, from the destination address on and without its checksum.
    ///
    /// Called on the thread of whoever sends, several at a time where several send. It must not wait, and may send
    /// itself.
    /// - Returns: whether the frame was taken, or filtered as one for others; false if it was lost for lack of room.
    func receive(_ frame: RawSpan) -> Bool

    /// The link has come up or gone down: see ``WirePort/isUp``.
    func linkChanged()
}

/// An Ethernet wire in software, with any number of ports: what one sends arrives at all others, as on a hub.
///
/// A frame is delivered on the sender's thread, before ``WirePort/send(_:)`` returns. No lock is held meanwhile, so
/// that two ports may send at each other and an end may answer from within. Frames that an end has no room for are
/// lost and counted; nobody waits.
public final class NetworkWire: Sendable {
    private let state = WireState()

    /// A wire without ports, which is up.
    public init() {}

    /// The longest frame that a wire carries, in bytes without the checksum.
    public static let longestFrame = 65_535

    /// How many ports there are.
    public var portCount: Int { state.lock.withLock { state.ports.count } }

    /// Whether the wire carries frames.
    public var isUp: Bool { state.lock.withLock { state.isUp } }

    /// Connects an end. The wire keeps it until ``WirePort/disconnect()``.
    /// - Parameter loopsBack: whether what the port sends comes back to it, and goes nowhere else.
    public func connect(_ end: any WireEnd, loopsBack: Bool = false) -> WirePort {
        let port = WirePort(self, end, loopsBack: loopsBack)
        state.lock.withLock { state.ports.append(port) }
        return port
    }

    /// Takes the wire out or puts it in: the link of all ports goes down or comes up.
    public func setUp(_ isUp: Bool) {
        let told = state.lock.withLock { () -> [WirePort] in
            if state.isUp == isUp { return [] }
            state.isUp = isUp
            return state.ports
        }
        for port in told { port.tellLink() }
    }

    func remove(_ port: WirePort) {
        state.lock.withLock { state.ports.removeAll { $0 === port } }
    }

    /// The ports as they are now; empty while the wire is down.
    var livePorts: [WirePort] { state.lock.withLock { state.isUp ? state.ports : [] } }
}

/// What changes of a wire.
private final class WireState: @unchecked Sendable {
    // SAFETY: all of it is guarded by `lock`.
    let lock = Lock()
    var ports: [WirePort] = []
    var isUp = true
}

/// A place at a wire.
public final class WirePort: @unchecked Sendable {
    // SAFETY: `end`, `isPlugged` and the statistics are guarded by `lock`, all else is constant.

    /// The wire.
    public let wire: NetworkWire
    /// Whether what the port sends comes back to it, and goes nowhere else.
    public let loopsBack: Bool
    private let lock = Lock()
    private var end: (any WireEnd)?
    private var isPlugged = true
    private var counted = Statistics()

    /// What went through a port since it was connected.
    public struct Statistics: Sendable, Equatable {
        /// Frames that its end has sent.
        public var sentFrames: UInt64 = 0
        /// The bytes of these.
        public var sentBytes: UInt64 = 0
        /// Frames that have arrived at its end and were taken.
        public var receivedFrames: UInt64 = 0
        /// The bytes of these.
        public var receivedBytes: UInt64 = 0
        /// Frames that were lost since its end had no room for them.
        public var lostFrames: UInt64 = 0
        /// Frames that its end couldn't send: the link was down, or they were too long or empty.
        public var unsentFrames: UInt64 = 0
    }

    init(_ wire: NetworkWire, _ end: any WireEnd, loopsBack: Bool) {
        self.wire = wire
        self.end = end
        self.loopsBack = loopsBack
    }

    /// What went through it.
    public var statistics: Statistics { lock.withLock { counted } }

    /// Whether there is a link: the wire is up, and the port plugged in.
    public var isUp: Bool { lock.withLock { isPlugged && end != nil } && wire.isUp }

    /// Pulls this port's plug, or puts it in again.
    public func setPlugged(_ plugged: Bool) {
        let changed = lock.withLock { () -> Bool in
            defer { isPlugged = plugged }
            return isPlugged != plugged
        }
        if changed { tellLink() }
    }

    /// Takes the port off the wire for good. A frame that is being delivered may still arrive.
    public func disconnect() {
        wire.remove(self)
        lock.withLock { end = nil }
    }

    func tellLink() { lock.withLock { end }?.linkChanged() }

    /// Sends a frame, from the destination address on and without its checksum.
    ///
    /// Without a link it is lost, as are frames that are empty or longer than ``NetworkWire/longestFrame``.
    public func send(_ frame: RawSpan) {
        let count = frame.byteCount
        guard count > 0, count <= NetworkWire.longestFrame, isUp else {
            lock.withLock { counted.unsentFrames &+= 1 }
            return
        }
        lock.withLock {
            counted.sentFrames &+= 1
            counted.sentBytes &+= UInt64(count)
        }
        if loopsBack { return deliver(frame) }
        for port in wire.livePorts where port !== self && !port.loopsBack { port.deliver(frame) }
    }

    private func deliver(_ frame: RawSpan) {
        guard let end = lock.withLock({ isPlugged ? end : nil }) else { return }
        let isTaken = end.receive(frame)
        lock.withLock {
            if isTaken {
                counted.receivedFrames &+= 1
                counted.receivedBytes &+= UInt64(frame.byteCount)
            } else {
                counted.lostFrames &+= 1
            }
        }
    }
}
