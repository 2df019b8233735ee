import CLinux

/// A lock that its holder may take again: for a structure whose changes call back into those who change it.
///
/// Prefer ``Lock`` where nothing calls back.
@safe public final class RecursiveLock: @unchecked Sendable {
    private let lock: Lock
    // The thread that holds the lock; no thread is number 0.
    private let holder = AtomicWord(0)

    #if VFIO_CHECK_LOCKS
        /// An unlocked lock.
        public init(_ file: StaticString = #fileID, _ line: UInt = #line) { lock = Lock(file, line) }
    #else
        /// An unlocked lock.
        public init() { lock = Lock() }
    #endif

    /// Whether the calling thread holds the lock.
    public var isHeld: Bool { holder.load() == clinux_thread_identity() }

    /// Runs `body` while holding the lock and hands on its result or error.
    public func withLock<R: ~Copyable, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        // Only this thread itself could have stored its own number.
        if isHeld { return try body() }
        lock.lock()
        holder.store(clinux_thread_identity())
        defer {
            holder.store(0)
            lock.unlock()
        }
        return try body()
    }
}
