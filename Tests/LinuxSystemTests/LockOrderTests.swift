#if VFIO_CHECK_LOCKS
    import LinuxSystem
    import Testing

    @Suite("The check of the order of locks")
    struct LockOrderTests {
        @Test("ends a process that takes two locks in two orders, and lets those pass that don't")
        func orders() async {
            await #expect(processExitsWith: .failure) {
                let (first, second) = (Lock(), Lock())
                first.withLock { second.withLock {} }
                second.withLock { first.withLock {} }
            }
            await #expect(processExitsWith: .failure) {
                let (first, second, third) = (Lock(), ReadWriteLock(), Lock())
                first.withLock { second.withReadLock {} }
                second.withWriteLock { third.withLock {} }
                third.withLock { first.withLock {} }
            }
            await #expect(processExitsWith: .success) {
                let (first, second) = (Lock(), Lock())
                first.withLock { second.withLock {} }
                second.withLock { _ = first.tryLock() }
                first.unlock()
                first.withLock { second.withLock {} }
            }
        }
    }
#endif
