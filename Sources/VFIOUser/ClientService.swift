import LinuxSystem

/// Serves what a server asks for while no command is under way. Its thread starts with the first memory that a
/// server can reach by messages only: all others never ask.
final class ClientService: @unchecked Sendable {
    // SAFETY: `thread` and `isEnded` are only touched with `lock` held.
    private let lock = Lock()
    private let channel: ClientChannel
    private let wake: EventDescriptor
    private var thread: WorkerThread?
    private var isEnded = false

    init(_ channel: ClientChannel) throws(Errno) {
        self.channel = channel
        wake = try EventDescriptor()
    }

    /// Serves from now on. Without a thread, messages wait until the next command.
    func begin() {
        lock.withLock {
            guard thread == nil, !isEnded else { return }
            thread = try? WorkerThread { [channel, wake = wake.number] in Self.run(channel, wake) }
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

    private static func run(_ channel: ClientChannel, _ wake: Int32) {
        guard let poller = try? Poller(), (try? poller.add(wake, .readable, tag: 0)) != nil,
            (try? poller.add(channel.number, .readable, tag: 1)) != nil
        else { return }
        var events: [Poller.Event] = []
        while true {
            events.removeAll(keepingCapacity: true)
            guard (try? poller.wait(into: &events)) != nil else { return }
            for event in events {
                if event.tag == 0 { return }
                if !channel.serveIdle() { return }
            }
        }
    }
}
