import CLinux

/// Where threads wait, with a ``Lock`` held, until another thread says that something has changed. Also exists
/// in Embedded Swift.
///
/// ```swift
/// lock.lock()
/// while !isDone { condition.wait(for: lock) }
/// lock.unlock()
/// ```
@safe public final class Condition: @unchecked Sendable {
    // SAFETY: allocated and initialised here, destroyed in deinit, never moved.
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    /// A condition that nobody waits for.
    public init() {
        // SAFETY: the memory is initialised before anyone sees it.
        unsafe condition = .allocate(capacity: 1)
        unsafe clinux_condition_init(condition)
    }

    deinit {
        // SAFETY: the last reference is gone, so nobody waits.
        unsafe clinux_condition_destroy(condition)
        unsafe condition.deallocate()
    }

    /// Gives the lock back, waits, and takes the lock again.
    ///
    /// Returns when ``wakeAll()`` was called, when the moment has come, or for no reason at all: the caller
    /// looks again at what it waits for.
    /// - Parameters:
    ///   - lock: held by the caller; always the same for one condition.
    ///   - deadline: a moment of ``Clock``; nil waits for ever.
    public func wait(for lock: Lock, until deadline: UInt64? = nil) {
        // SAFETY: condition and mutex live as long as the two objects, which the caller holds.
        if let deadline {
            unsafe clinux_condition_wait_until(condition, lock.mutex, deadline)
        } else {
            unsafe clinux_condition_wait(condition, lock.mutex)
        }
    }

    /// Wakes everybody who waits.
    public func wakeAll() {
        // SAFETY: as in `wait`.
        unsafe clinux_condition_wake_all(condition)
    }
}
