import CLinux

/// Waits for many descriptors at once: epoll(7).
public struct Poller: ~Copyable, Sendable {
    private let descriptor: Descriptor
    var watchedNumber: Int32 { descriptor.number }

    /// What happened to a descriptor.
    public struct Event: Sendable, Equatable {
        /// The word given when the descriptor was added.
        public let tag: UInt64
        /// What is possible now.
        public let interest: Interest
    }

    /// What to wait for, and what happened.
    public struct Interest: OptionSet, Sendable {
        /// The bits of epoll(7).
        public let rawValue: UInt32
        /// Wraps bits of epoll(7).
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// `EPOLLIN`
        public static let readable = Interest(rawValue: clinux_epollin())
        /// `EPOLLOUT`
        public static let writable = Interest(rawValue: clinux_epollout())
        /// `EPOLLERR`; reported always.
        public static let error = Interest(rawValue: clinux_epollerr())
        /// `EPOLLHUP`; reported always.
        public static let hungUp = Interest(rawValue: clinux_epollhup())
        /// `EPOLLET`: report changes only.
        public static let edge = Interest(rawValue: clinux_epollet())
    }

    /// What is possible with one descriptor now, without waiting: poll(2).
    /// - Returns: the descriptor's readiness among what is asked about, and errors; empty for what can't be asked.
    public static func readiness(of number: Int32, _ interest: Interest) -> Interest {
        // The bits of poll(2) are those of epoll(7).
        let events = clinux_poll_one(number, Int16(truncatingIfNeeded: interest.rawValue), 0)
        return events > 0 ? Interest(rawValue: UInt32(truncatingIfNeeded: events)) : []
    }

    private init(owning descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// A new, empty set.
    public init() throws(Errno) {
        descriptor = Descriptor(owning: Int32(try checked { clinux_epoll_create() }))
    }

    /// Adds a descriptor.
    /// - Parameter tag: comes back with each event. Put a generation into it: an event may already be on its
    ///   way when its descriptor is removed.
    public func add(_ number: Int32, _ interest: Interest, tag: UInt64) throws(Errno) {
        _ = try checked {
            clinux_epoll_control(descriptor.number, EPOLL_CTL_ADD, number, interest.rawValue, tag)
        }
    }

    /// Changes what is waited for.
    public func change(_ number: Int32, _ interest: Interest, tag: UInt64) throws(Errno) {
        _ = try checked {
            clinux_epoll_control(descriptor.number, EPOLL_CTL_MOD, number, interest.rawValue, tag)
        }
    }

    /// Removes a descriptor.
    public func remove(_ number: Int32) throws(Errno) {
        _ = try checked { clinux_epoll_control(descriptor.number, EPOLL_CTL_DEL, number, 0, 0) }
    }

    /// How many descriptors the set has: one that was closed for good, by all who had it open, has left it.
    /// 0 if the system doesn't tell.
    public var watchedCount: Int { Descriptor.information("tfd", of: descriptor.number).count }

    /// Waits for events and appends up to 64 of them.
    /// - Parameter milliseconds: how long to wait; nil waits for ever, 0 only looks.
    /// - Returns: how many events were appended; 0 if the time ran out or a signal came.
    public func wait(into events: inout [Event], milliseconds: Int? = nil) throws(Errno) -> Int {
        var raw = unsafe InlineArray<64, epoll_event>(repeating: epoll_event())
        var span = unsafe raw.mutableSpan
        let timeout = milliseconds.map { Int32(clamping: max(0, $0)) } ?? -1
        // SAFETY: at most 64 events are written into the array of 64.
        let count = unsafe span.withUnsafeMutableBufferPointer { buffer in
            unsafe clinux_epoll_wait(descriptor.number, buffer.baseAddress, Int32(buffer.count), timeout)
        }
        if count == -Int(EINTR) { return 0 }
        if count < 0 { throw Errno(rawValue: Int32(truncatingIfNeeded: -count)) }
        for index in 0..<count {
            var event = unsafe raw[index]
            // SAFETY: the helpers only read the structure.
            unsafe events.append(
                Event(
                    tag: clinux_epoll_tag(&event), interest: Interest(rawValue: clinux_epoll_events(&event))))
        }
        return count
    }
}

extension Poller {
    /// A new, empty set whose descriptor has a number that `choose` gives it.
    /// - Parameter choose: gets the number, which it owns, and returns the one to use in its place.
    public init(_ choose: (Int32) -> Int32) throws(Errno) {
        self.init(owning: Descriptor(owning: choose(Int32(try checked { clinux_epoll_create() }))))
    }

    /// Closes this process's copy of the set, in a child of fork(2) that never drops or uses the owner.
    public func closeInChild() { _ = clinux_close(watchedNumber) }
}
