import LinuxSystem

/// A vector's events as an asynchronous sequence: each element tells how often the vector was signalled since the
/// one before. It ends when the interrupts are disabled, and for a task that is cancelled.
public struct InterruptEvents: AsyncSequence, Sendable {
    /// How often the vector was signalled.
    public typealias Element = UInt64
    /// Nothing fails.
    public typealias Failure = Never

    let subscription: InterruptSubscription

    init(_ subscription: InterruptSubscription) { self.subscription = subscription }

    /// Begins to follow the events.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(subscription: subscription) }

    /// Follows the events.
    public struct AsyncIterator: AsyncIteratorProtocol {
        /// Nothing fails.
        public typealias Failure = Never

        let subscription: InterruptSubscription

        /// Waits for the next events.
        /// - Returns: how many there were; nil at the end.
        public mutating func next() async -> UInt64? { await subscription.queue.next() }

        /// Waits for the next events.
        /// - Returns: how many there were; nil at the end.
        public mutating func next(isolation actor: isolated (any Actor)?) async -> UInt64? {
            await subscription.queue.next()
        }
    }
}

/// Ends the following of a vector when no sequence and no iterator is left.
final class InterruptSubscription: Sendable {
    let queue: InterruptQueue
    init(_ queue: InterruptQueue) { self.queue = queue }
    deinit { InterruptWatcher.shared.remove(queue) }
}

/// Events of one vector on their way to the tasks that wait for them.
final class InterruptQueue: @unchecked Sendable {
    private let box: EventBox
    private let lock = Lock()
    // Guarded by `lock`.
    private var pending: UInt64 = 0
    private var isFinished = false
    private var waiters: [(id: UInt64, continuation: CheckedContinuation<UInt64?, Never>)] = []
    private var lastID: UInt64 = 0
    /// Under which the watcher knows it; 0 while it doesn't. Guarded by the watcher's lock.
    var tag: UInt64 = 0

    init(_ box: EventBox) { self.box = box }

    /// The eventfd.
    var descriptor: Int32 { box.event.number }

    func next() async -> UInt64? {
        let id = lock.withLock { () -> UInt64 in
            lastID += 1
            return lastID
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer = lock.withLock { () -> UInt64?? in
                    if pending > 0 {
                        defer { pending = 0 }
                        return .some(pending)
                    }
                    // A cancellation before this moment found no waiter to end.
                    if isFinished || Task.isCancelled { return .some(nil) }
                    waiters.append((id, continuation))
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            cancel(id)
        }
    }

    /// Takes the eventfd's count and hands it on. Called by the watcher.
    func collect() {
        guard let count = try? box.event.take(), count > 0 else { return }
        let waiter = lock.withLock { () -> CheckedContinuation<UInt64?, Never>? in
            if waiters.isEmpty {
                pending &+= count
                return nil
            }
            return waiters.removeFirst().continuation
        }
        waiter?.resume(returning: count)
    }

    /// Ends the sequence.
    func finish() {
        let waiting = lock.withLock { () -> [CheckedContinuation<UInt64?, Never>] in
            isFinished = true
            defer { waiters = [] }
            return waiters.map { $0.continuation }
        }
        for waiter in waiting { waiter.resume(returning: nil) }
    }

    private func cancel(_ id: UInt64) {
        let waiter = lock.withLock { () -> CheckedContinuation<UInt64?, Never>? in
            guard let index = waiters.firstIndex(where: { $0.id == id }) else { return nil }
            return waiters.remove(at: index).continuation
        }
        waiter?.resume(returning: nil)
    }
}

/// The one thread that waits for the events of all sequences.
final class InterruptWatcher: @unchecked Sendable {
    static let shared = InterruptWatcher()

    private let lock = Lock()
    // Guarded by `lock`.
    private var loop: Loop?
    /// Never ends: the watcher is as old as the process.
    private var thread: WorkerThread?
    private var queues: [UInt64: InterruptQueue] = [:]
    private var lastTag: UInt64 = 0

    private final class Loop: Sendable {
        let poller: Poller
        init() throws(Errno) { poller = try Poller() }
    }

    /// Begins to watch a queue's eventfd; starts the thread if it is the first one ever.
    func add(_ queue: InterruptQueue) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            let loop: Loop
            if let running = self.loop {
                loop = running
            } else {
                loop = try Loop()
                thread = try WorkerThread { InterruptWatcher.shared.run(loop) }
                self.loop = loop
            }
            lastTag += 1
            try loop.poller.add(queue.descriptor, .readable, tag: lastTag)
            queue.tag = lastTag
            queues[lastTag] = queue
        }
    }

    /// Ends the watching, and the queue's sequence. The eventfd is still open.
    func remove(_ queue: InterruptQueue) {
        lock.withLock {
            guard queues.removeValue(forKey: queue.tag) != nil else { return }
            // It is in the set as long as it is in the table.
            try? loop?.poller.remove(queue.descriptor)
        }
        queue.finish()
    }

    private func run(_ loop: Loop) {
        var events: [Poller.Event] = []
        while true {
            events.removeAll(keepingCapacity: true)
            // The set itself can't fail; should it do so all the same, the thread ends and the sequences wait.
            guard (try? loop.poller.wait(into: &events)) != nil else { return }
            for event in events {
                // An event may be on its way for a queue that has been removed: its tag is never used again.
                let queue = lock.withLock { queues[event.tag] }
                queue?.collect()
            }
        }
    }
}
