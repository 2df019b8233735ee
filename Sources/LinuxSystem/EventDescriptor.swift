import CLinux

/// An eventfd: a counter that can be waited for. Interrupts arrive through these.
public struct EventDescriptor: ~Copyable, Sendable {
    /// The owned descriptor.
    public let descriptor: Descriptor
    /// Whether reads and writes of this eventfd wait: somebody else's may, and it must not hold up a host.
    private let waits: Bool

    /// A new counter at 0, non-blocking.
    /// - Parameter isShared: whether somebody else will have it too, who may change the flags behind our back.
    public init(isShared: Bool = false) throws(Errno) {
        descriptor = Descriptor(owning: Int32(try checked { clinux_eventfd(0, clinux_eventfd_flags()) }))
        waits = isShared
    }

    /// A further descriptor for an eventfd that somebody else made.
    /// - Throws: `EBADF` if the number isn't open, `EINVAL` if it isn't an eventfd: the errnos with which a
    ///   kernel refuses it.
    public init(duplicating number: Int32) throws(Errno) {
        // The caller may be another process, whose descriptor has no number here yet.
        guard CallerOfThread.remote == nil else {
            self = try Self(taking: UserDescriptor.duplicate(number))
            return
        }
        guard Descriptor.isOpen(number) else { throw .badDescriptor }
        guard Self.isEventDescriptor(number) else { throw .invalid }
        self = try Self(taking: Descriptor(duplicating: number))
    }

    private init(taking descriptor: consuming Descriptor) throws(Errno) {
        let number = descriptor.number
        guard Self.isEventDescriptor(number) else { throw .invalid }
        self.descriptor = descriptor
        waits = clinux_get_flags(number) & Int(clinux_flag_nonblocking()) == 0
    }

    /// The descriptor's number. Valid as long as this owner lives.
    public var number: Int32 { descriptor.number }

    /// Adds to the counter and so wakes whoever waits.
    /// - Throws: nothing but what write(2) reports; a full counter stays full and isn't an error.
    public func signal(_ count: UInt64 = 1) {
        var count = count
        // A full counter would make the write wait; its waiter has been woken long ago.
        if waits && clinux_poll_one(descriptor.number, Int16(POLLOUT), 0) & Int(POLLOUT) == 0 { return }
        // SAFETY: eight bytes are read from a local variable. A full counter (EAGAIN) has woken its waiter
        // already, and no other error is possible on an open eventfd.
        _ = unsafe withUnsafeBytes(of: &count) { unsafe clinux_write(descriptor.number, $0.baseAddress, 8) }
    }

    /// Takes the counter's value and sets it to 0.
    /// - Returns: how often it was signalled; 0 if it wasn't.
    public func take() throws(Errno) -> UInt64 {
        var count: UInt64 = 0
        do throws(Errno) {
            _ = try checked {
                // SAFETY: eight bytes are written to a local variable.
                unsafe withUnsafeMutableBytes(of: &count) {
                    unsafe waits
                        ? clinux_eventfd_take_now(
                            descriptor.number, $0.baseAddress?.assumingMemoryBound(to: UInt64.self))
                        : clinux_read(descriptor.number, $0.baseAddress, 8)
                }
            }
        } catch .again {
            return 0
        }
        return count
    }

    /// Whether the counter isn't 0; it is left as it is.
    public var isSignalled: Bool { clinux_poll_one(descriptor.number, Int16(POLLIN), 0) & Int(POLLIN) != 0 }

    /// Waits until the counter isn't 0, then takes it.
    /// - Parameter milliseconds: how long to wait; nil waits for ever, 0 only looks.
    /// - Returns: how often it was signalled; nil if the time ran out.
    public func wait(milliseconds: Int? = nil) throws(Errno) -> UInt64? {
        let deadline = milliseconds.map { Clock.moment(inMilliseconds: $0) }
        while true {
            let count = try take()
            if count > 0 { return count }
            var left: Int32 = -1
            if let deadline {
                let now = Clock.now
                // Rounded up: never wakes before the deadline and spins.
                left = now >= deadline ? 0 : Int32(clamping: (deadline - now + 999_999) / 1_000_000)
            }
            let result = clinux_poll_one(descriptor.number, Int16(POLLIN), left)
            if result < 0 && result != -Int(EINTR) {
                throw Errno(rawValue: Int32(truncatingIfNeeded: -result))
            }
            if result == 0, let deadline, Clock.now >= deadline { return nil }
        }
    }

    /// Whether an open descriptor is an eventfd.
    public static func isEventDescriptor(_ number: Int32) -> Bool {
        guard let target = try? FileSystem.linkTarget("/proc/self/fd/\(number)") else { return false }
        return target.utf8.elementsEqual("anon_inode:[eventfd]".utf8)
    }
}

/// The monotonic clock.
public enum Clock {
    /// Nanoseconds since some fixed moment: `CLOCK_MONOTONIC`.
    public static var now: UInt64 { clinux_monotonic_nanoseconds() }

    /// A moment from now; at once for a negative number, the last moment that there is for one that is too large.
    public static func moment(inMilliseconds milliseconds: Int) -> UInt64 {
        let (nanoseconds, overflow) = UInt64(max(0, milliseconds)).multipliedReportingOverflow(by: 1_000_000)
        let (moment, beyond) = now.addingReportingOverflow(nanoseconds)
        return overflow || beyond ? .max : moment
    }

    /// Pauses this thread for at least the given time, unless a signal arrives.
    public static func sleep(nanoseconds: UInt64) { clinux_sleep_nanoseconds(nanoseconds) }
}
