import CLinux

/// A mutual-exclusion lock that also exists in Embedded Swift.
///
/// Not recursive. Nothing that may call back into the holder belongs inside `withLock`.
@safe public final class Lock: @unchecked Sendable {
    // SAFETY: allocated and initialised here, destroyed in deinit, and never moved while locked.
    @usableFromInline let mutex: UnsafeMutablePointer<pthread_mutex_t>

    #if VFIO_CHECK_LOCKS
        @usableFromInline let place: LockPlace

        /// An unlocked lock.
        public init(_ file: StaticString = #fileID, _ line: UInt = #line) {
            place = LockPlace(file, line)
            // SAFETY: the memory is initialised by pthread_mutex_init before anyone sees it.
            unsafe mutex = .allocate(capacity: 1)
            unsafe clinux_lock_init(mutex)
        }
    #else
        /// An unlocked lock.
        public init() {
            // SAFETY: the memory is initialised by pthread_mutex_init before anyone sees it.
            unsafe mutex = .allocate(capacity: 1)
            unsafe clinux_lock_init(mutex)
        }
    #endif

    deinit {
        // SAFETY: the last reference is gone, so nobody holds the lock.
        unsafe clinux_lock_destroy(mutex)
        unsafe mutex.deallocate()
    }

    /// Runs `body` while holding the lock and hands on its result or error.
    @inlinable @inline(__always)
    public func withLock<R: ~Copyable, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        lock()
        defer { unlock() }
        return try body()
    }

    /// Waits for the lock and takes it. Prefer ``withLock(_:)``.
    @inlinable public func lock() {
        #if VFIO_CHECK_LOCKS
            place.willTake()
        #endif
        // SAFETY: the mutex lives as long as this object.
        unsafe clinux_lock(mutex)
    }

    /// Takes the lock if nobody holds it.
    /// - Returns: whether it was taken.
    @inlinable public func tryLock() -> Bool {
        // SAFETY: as in `lock`.
        let isTaken = unsafe clinux_try_lock(mutex) != 0
        #if VFIO_CHECK_LOCKS
            if isTaken { place.hasTaken() }
        #endif
        return isTaken
    }

    /// Gives the lock back.
    @inlinable public func unlock() {
        #if VFIO_CHECK_LOCKS
            place.willGiveBack()
        #endif
        // SAFETY: as in `lock`.
        unsafe clinux_unlock(mutex)
    }
}

/// A lock that many readers or one writer hold at a time, also in Embedded Swift. Not recursive.
@safe public final class ReadWriteLock: @unchecked Sendable {
    // SAFETY: as in `Lock`.
    @usableFromInline let lock: UnsafeMutablePointer<pthread_rwlock_t>

    #if VFIO_CHECK_LOCKS
        @usableFromInline let place: LockPlace

        /// An unlocked lock.
        public init(_ file: StaticString = #fileID, _ line: UInt = #line) {
            place = LockPlace(file, line)
            // SAFETY: the memory is initialised by pthread_rwlock_init before anyone sees it.
            unsafe lock = .allocate(capacity: 1)
            unsafe clinux_rwlock_init(lock)
        }
    #else
        /// An unlocked lock.
        public init() {
            // SAFETY: the memory is initialised by pthread_rwlock_init before anyone sees it.
            unsafe lock = .allocate(capacity: 1)
            unsafe clinux_rwlock_init(lock)
        }
    #endif

    deinit {
        // SAFETY: the last reference is gone, so nobody holds the lock.
        unsafe clinux_rwlock_destroy(lock)
        unsafe lock.deallocate()
    }

    /// Runs `body` together with other readers, but with no writer.
    @inlinable @inline(__always)
    public func withReadLock<R: ~Copyable, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        #if VFIO_CHECK_LOCKS
            place.willTake()
            defer { place.willGiveBack() }
        #endif
        // SAFETY: the lock lives as long as this object.
        unsafe clinux_rwlock_read(lock)
        defer { unsafe clinux_rwlock_unlock(lock) }
        return try body()
    }

    /// Whether nobody holds the lock at this moment, not even the calling thread.
    public var isFree: Bool {
        // SAFETY: the lock lives as long as this object.
        guard unsafe clinux_rwlock_try_write(lock) != 0 else { return false }
        unsafe clinux_rwlock_unlock(lock)
        return true
    }

    /// Runs `body` alone.
    @inlinable @inline(__always)
    public func withWriteLock<R: ~Copyable, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        #if VFIO_CHECK_LOCKS
            place.willTake()
            defer { place.willGiveBack() }
        #endif
        // SAFETY: the lock lives as long as this object.
        unsafe clinux_rwlock_write(lock)
        defer { unsafe clinux_rwlock_unlock(lock) }
        return try body()
    }
}
