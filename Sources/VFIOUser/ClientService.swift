import LinuxSystem

/// Does what a client has to do while no command is under way, on a thread of its own: serves what the server asks
/// for, and notices that it has gone. The thread starts when there is something of that to do.
final class ClientService: @unchecked Sendable {
    // SAFETY: `thread` and `isEnded` are only touched with `lock` held, `twin` by the thread.
    private let lock = Lock()
    private let channel: ClientChannel
    private var twin: TwinSocket?
    private let hasTwin: Bool
    private let notice: LossNotice?
    private let wake: EventDescriptor
    private let poller: Poller
    private var thread: WorkerThread?
    private var isEnded = false

    private enum Tag {
        static let wake: UInt64 = 0
        static let channel: UInt64 = 1
        static let twin: UInt64 = 2
    }

    /// - Parameters:
    ///   - twin: a socket for the server's commands alone.
    ///   - notice: is told when the connection is lost.
    init(_ channel: ClientChannel, _ twin: consuming TwinSocket?, _ notice: LossNotice?) throws(Errno) {
        let poller = try Poller()
        let wake = try EventDescriptor()
        try poller.add(wake.number, .readable, tag: Tag.wake)
        // That the server has gone shows without being asked for; bytes are those who wait for them.
        try poller.add(channel.number, [], tag: Tag.channel)
        let hasTwin: Bool
        if let twin {
            try poller.add(twin.number, .readable, tag: Tag.twin)
            self.twin = consume twin
            hasTwin = true
        } else {
            self.twin = nil
            hasTwin = false
        }
        self.channel = channel
        self.hasTwin = hasTwin
        self.notice = notice
        self.wake = wake
        self.poller = poller
    }

    /// Serves from now on: there is memory that the server reaches by messages only. Without a thread, messages wait
    /// until the next command.
    func serve() {
        // Where the server has a socket of its own, nothing comes on the other one unasked. To look at that one here
        // could even keep what is urgent waiting, behind the command that needs it.
        if !hasTwin { try? poller.change(channel.number, .readable, tag: Tag.channel) }
        watch()
    }

    /// Notices from now on when the server has gone.
    func watch() {
        lock.withLock {
            guard thread == nil, !isEnded else { return }
            thread = try? WorkerThread { [self] in run() }
        }
    }

    /// Ends the thread, if there is one. The channel must have been shut down, or nobody may be waiting in it.
    func end() {
        wake.signal()
        let last = lock.withLock { () -> WorkerThread? in
            isEnded = true
            return thread.take()
        }
        withExtendedLifetime(last) {}
    }

    private func run() {
        var events: [Poller.Event] = []
        while true {
            events.removeAll(keepingCapacity: true)
            guard (try? poller.wait(into: &events)) != nil else { return }
            var isOver = false
            for event in events {
                switch event.tag {
                case Tag.twin: if twin?.serve() != true { endTwin() }
                case Tag.channel: if !channel.serveIdle() { isOver = true }
                default: isOver = true
                }
            }
            guard isOver else { continue }
            // Where the client itself has ended it, nothing was lost.
            if channel.wasLost { notice?.signal() }
            return
        }
    }

    /// A server that closes its socket, or says nonsense on it, doesn't do without it.
    private func endTwin() {
        if let number = twin?.number { try? poller.remove(number) }
        twin = nil
        channel.giveUp()
    }
}
