import LinuxSystem

/// Something that goes on while a case does other things.
final class Errand {
    private final class State: @unchecked Sendable {
        // SAFETY: `answer` is only touched with `lock` held.
        let lock = Lock()
        let ended = Condition()
        var answer: Answer?
    }

    private let state = State()
    private var thread: WorkerThread?

    init(_ work: @escaping @Sendable () throws(Errno) -> Void) throws(Errno) {
        let state = state
        thread = try WorkerThread {
            let answer = Answer.of(work)
            state.lock.withLock { state.answer = answer }
            state.ended.wakeAll()
        }
    }

    /// How it ended; nil while it goes on.
    var answer: Answer? { state.lock.withLock { state.answer } }

    /// Waits for its end.
    /// - Returns: how it ended; nil if it didn't in time.
    @discardableResult
    func wait(milliseconds: Int = 20_000) -> Answer? {
        let deadline = Clock.moment(inMilliseconds: milliseconds)
        return state.lock.withLock {
            while state.answer == nil && Clock.now < deadline {
                state.ended.wait(for: state.lock, until: deadline)
            }
            return state.answer
        }
    }
}
