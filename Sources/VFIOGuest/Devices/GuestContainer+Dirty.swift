import LinuxSystem

extension GuestContainer {
    /// Where the knowledge comes from which pages its devices write; nil while nobody wants to know.
    public var dirtySource: DirtySource? { space.memory.lock.withLock { mapper.tracker.source } }
}
