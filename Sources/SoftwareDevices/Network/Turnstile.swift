import LinuxSystem

/// Lets one thread at a time work on a ring, without a lock held meanwhile: who finds another at work leaves the
/// rest to it and goes on.
///
/// Frames arrive on the senders' threads, registers are written on the driver's. A lock around the work would be held
/// during DMA, which may need a register to be read on the way.
final class Turnstile: @unchecked Sendable {
    // SAFETY: all of it is guarded by `lock`.
    private let lock = Lock()
    private let changed = Condition()
    private var worker: UInt64 = 0
    private var isCalledForData = false
    private var isCalledForRoom = false
    private var pauses = 0

    /// Why there may be work.
    enum Cause {
        /// Something waits to be moved.
        case data
        /// The driver has provided descriptors, or changed how they are used.
        case room
    }

    /// How a round of work ended.
    enum Outcome {
        /// Nothing waits any more.
        case finished
        /// Something waits, for want of descriptors.
        case starved
    }

    /// Works until nothing is left that can be done, here or on the thread that is at it.
    ///
    /// New data alone doesn't keep a worker that had no room: else a sender in a hurry would hold it for ever.
    func run(_ cause: Cause, _ work: () -> Outcome) {
        let identity = WorkerThread.callerIdentity
        lock.lock()
        if worker != 0 || pauses > 0 {
            if cause == .data { isCalledForData = true } else { isCalledForRoom = true }
            lock.unlock()
            return
        }
        worker = identity
        while true {
            isCalledForData = false
            isCalledForRoom = false
            lock.unlock()
            let outcome = work()
            lock.lock()
            let goesOn = isCalledForRoom || isCalledForData && outcome == .finished
            if !goesOn || pauses > 0 { break }
        }
        worker = 0
        if pauses > 0 { changed.wakeAll() }
        lock.unlock()
    }

    /// Waits until nobody works, and keeps everybody from it while `body` runs. What came meanwhile has to be looked
    /// at afterwards.
    ///
    /// From within the work itself it doesn't wait.
    func pause<R>(_ body: () -> R) -> R {
        let identity = WorkerThread.callerIdentity
        lock.lock()
        pauses += 1
        while worker != 0 && worker != identity { changed.wait(for: lock) }
        lock.unlock()
        let result = body()
        lock.lock()
        pauses -= 1
        lock.unlock()
        return result
    }
}
