import LinuxSystem

/// What happens later on the machine's own account, such as interrupts that are late: a bounded queue and a thread,
/// which starts when it is first needed.
final class DelayLine: @unchecked Sendable {
    // SAFETY: everything is guarded by `lock`.

    /// How many may wait at a time.
    static let limit = 1024

    private struct Entry {
        let moment: UInt64
        let order: UInt64
        let action: Action
    }

    /// What is to be done. A class instead of a closure, which would hold the whole host.
    class Action {
        /// Called on the thread, with no lock held.
        func run() {}
    }

    /// What thread and owner share, so that the thread doesn't keep the owner.
    private final class State: @unchecked Sendable {
        // SAFETY: everything is guarded by `lock`.
        let lock = Lock()
        let wake: EventDescriptor
        private var entries: [Entry] = []
        private var isEnding = false
        private var order: UInt64 = 0

        init() throws(Errno) { wake = try EventDescriptor() }

        /// - Returns: whether there was room.
        func add(_ action: Action, after milliseconds: UInt32) -> Bool {
            lock.withLock {
                guard entries.count < DelayLine.limit else { return false }
                let moment = Clock.now + UInt64(milliseconds) * 1_000_000
                order += 1
                // Mostly in order already; equal moments keep their order.
                var place = entries.count
                while place > 0 && entries[place - 1].moment > moment { place -= 1 }
                entries.insert(Entry(moment: moment, order: order, action: action), at: place)
                return true
            }
        }

        func end() {
            lock.withLock {
                isEnding = true
                entries = []
            }
            wake.signal()
        }

        /// Takes what is due.
        /// - Returns: how long to wait for the next, in milliseconds (nil: until told); nothing at the end.
        func take(_ due: inout [Action]) -> Int?? {
            lock.withLock { () -> Int?? in
                if isEnding { return .none }
                let now = Clock.now
                var count = 0
                while count < entries.count && entries[count].moment <= now {
                    due.append(entries[count].action)
                    count += 1
                }
                entries.removeFirst(count)
                guard let next = entries.first else { return .some(nil) }
                return .some(Int(clamping: (next.moment - now + 999_999) / 1_000_000))
            }
        }

        /// The thread.
        func run() {
            var due: [Action] = []
            while true {
                // What was taken is done before anything can come between.
                let (next, wasBusy) = ForkGate.passing { () -> (Int??, Bool) in
                    let next = take(&due)
                    for action in due { action.run() }
                    defer { due.removeAll(keepingCapacity: true) }
                    return (next, !due.isEmpty)
                }
                guard let wait = next else { return }
                if wasBusy { continue }
                _ = try? wake.wait(milliseconds: wait)
            }
        }
    }

    private let lock = Lock()
    private var state: State?
    private var thread: WorkerThread?
    private var hasEnded = false

    deinit { end() }

    /// Forgets what waits, waits for what is being done, and takes nothing any more.
    ///
    /// Whoever owns this calls it before the objects go that actions hold: the thread must not be the one that
    /// drops the last of them, and with it this.
    func end() {
        let ending = lock.withLock { () -> WorkerThread? in
            hasEnded = true
            state?.end()
            state = nil
            defer { thread = nil }
            return thread
        }
        // Dropping the thread waits for it.
        _ = consume ending
    }

    /// Does something later.
    /// - Returns: false if that can't be: too many wait, the system has no thread for it, or the machine ends.
    func add(_ action: Action, after milliseconds: UInt32) -> Bool {
        lock.withLock { () -> Bool in
            if hasEnded { return false }
            if let state { return state.add(action, after: milliseconds) }
            do throws(Errno) {
                let state = try State()
                guard state.add(action, after: milliseconds) else { return false }
                thread = try WorkerThread { state.run() }
                self.state = state
                return true
            } catch {
                return false
            }
        } && wake()
    }

    private func wake() -> Bool {
        lock.withLock { state }?.wake.signal()
        return true
    }
}
