import Synchronization

/// Keeps background threads out of their work while the process is copied by fork(2): what one is in the middle of stays
/// so in the copy for ever, and what it has locked stays locked.
///
/// A thread goes through for each piece of work, never while it waits for the next.
public enum ForkGate {
    private static let closed = 1 << 32
    /// How many are at work, and ``closed``.
    private static let state = Atomic<Int>(0)

    /// Does a piece of work; waits while the gate is closed.
    public static func passing<R: ~Copyable, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        while state.wrappingAdd(1, ordering: .acquiring).newValue & closed != 0 {
            state.wrappingSubtract(1, ordering: .relaxed)
            Clock.sleep(nanoseconds: 200_000)
        }
        defer { state.wrappingSubtract(1, ordering: .releasing) }
        return try body()
    }

    /// Lets nobody in any more, and waits until those at work are done; no longer than a second, for one may wait for
    /// something that never comes.
    public static func close() {
        state.wrappingAdd(closed, ordering: .acquiring)
        for _ in 0..<5_000 {
            if state.load(ordering: .acquiring) == closed { return }
            Clock.sleep(nanoseconds: 200_000)
        }
    }

    /// Lets them in again.
    public static func open() { state.wrappingSubtract(closed, ordering: .releasing) }

    /// Lets the threads of a copy of the process in, in which nobody is at work.
    public static func openInChild() { state.store(0, ordering: .releasing) }
}
