import CLinux

/// A thread of the operating system with exactly one owner, for work that has to wait in the background.
///
/// Dropping it waits for the thread to end, so whoever owns one first tells its body to return.
@safe public final class WorkerThread: @unchecked Sendable {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    // SAFETY: written once in the initialiser.
    private let thread: pthread_t

    /// Starts a thread that runs `body` and then ends.
    /// - Throws: `EAGAIN` where the system or the process may have no further thread.
    public init(_ body: @escaping @Sendable () -> Void) throws(Errno) {
        thread = try Self.start(body)
    }

    /// Starts a thread that nobody waits for.
    /// - Throws: `EAGAIN` where the system or the process may have no further thread.
    public static func startDetached(_ body: @escaping @Sendable () -> Void) throws(Errno) {
        clinux_thread_detach(try start(body))
    }

    private static func start(_ body: @escaping @Sendable () -> Void) throws(Errno) -> pthread_t {
        var thread = pthread_t()
        // SAFETY: the thread takes over the reference that is retained here.
        let context = unsafe Unmanaged.passRetained(Body(body)).toOpaque()
        let result = unsafe clinux_thread_start(
            &thread,
            { context in
                // SAFETY: the pointer is the one passed below, handed over once.
                if let context = unsafe context {
                    unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
                }
                return nil
            }, context)
        if result < 0 {
            // SAFETY: no thread has started, so the reference is still ours.
            unsafe Unmanaged<Body>.fromOpaque(context).release()
            throw Errno(rawValue: Int32(truncatingIfNeeded: -result))
        }
        return thread
    }

    /// Lets the calling thread, and those that it starts from then on, run on these processors only: a bit each,
    /// the first 64 of the machine. For measurements.
    /// - Throws: `EINVAL` where none of them is there.
    public static func bindCaller(toProcessors processors: UInt64) throws(Errno) {
        _ = try checked { clinux_bind_thread(processors) }
    }

    /// A number that tells the calling thread from all others that run: never 0, free for another once the thread
    /// has ended.
    public static var callerIdentity: UInt64 { clinux_thread_identity() }

    deinit {
        // A body that holds the last reference to its own thread can't wait for itself; the owners here never
        // give it one, and a leaked thread record is then the lesser evil.
        if clinux_thread_is_self(thread) == 0 { _ = clinux_thread_join(thread) }
    }
}
