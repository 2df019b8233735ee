import LinuxSystem

/// Waits for an eventfd in the background and does something whenever it is signalled: masks or unmasks an
/// interrupt line (`MASK` and `UNMASK` with `DATA_EVENTFD`).
///
/// A kernel sees the signalling itself; a process has to wait for it, hence the thread. Dropping the watcher
/// ends the thread and waits for it, which never takes long: all it does is what it was told to do.
///
/// As in Linux the watcher holds no descriptor of the eventfd: when the user closes it for good, the watcher is
/// detached from it, and another one may take its place (``isAttached``). An eventfd of another process is held,
/// though.
package final class EventWatcher: Sendable {
    private final class Channel: Sendable {
        let number: Int32
        /// The eventfd, where it is another process's: it can be asked for it now only.
        let remote: EventDescriptor?
        /// Tells the eventfd from others that the same number may stand for later.
        let identity: [UInt8]?
        let stop: EventDescriptor
        let poller: Poller
        /// Whether the eventfd had been signalled before: that counts at once, and stays in the counter.
        let isEarly: Bool

        init(_ number: Int32) throws(Errno) {
            let event = try EventDescriptor(duplicating: number)
            let isRemote = CallerOfThread.remote != nil
            identity = Self.identity(of: event.number)
            stop = try EventDescriptor()
            poller = try Poller()
            isEarly = event.isSignalled
            // A change is told even while the counter isn't 0, and a first one if it isn't 0 now.
            try poller.add(isRemote ? event.number : number, [.readable, .edge], tag: 0)
            try poller.add(stop.number, .readable, tag: 1)
            self.number = isRemote ? event.number : number
            if isRemote { remote = consume event } else { remote = nil }
        }

        /// Waits until the eventfd was signalled.
        /// - Returns: false if the watcher is to end.
        func next(_ events: inout [Poller.Event]) -> Bool {
            while true {
                events.removeAll(keepingCapacity: true)
                do throws(Errno) {
                    _ = try poller.wait(into: &events)
                } catch {
                    return false
                }
                for event in events where event.tag == 1 { return false }
                if !events.isEmpty { return true }
            }
        }

        /// Sets the counter to 0, as the kernel does when it notices the signal.
        func take() {
            // The number may stand for another file by now, whose counter is none of our business.
            guard let identity, let event = try? EventDescriptor(duplicating: number),
                Self.identity(of: event.number)?.elementsEqual(identity) == true
            else { return }
            _ = try? event.take()
        }

        /// The number that the kernel gave to an eventfd; nil on kernels before 5.2.
        private static func identity(of number: Int32) -> [UInt8]? {
            Descriptor.information("eventfd-id", of: number).first
        }
    }

    private let channel: Channel
    private let thread: WorkerThread

    /// Begins to wait.
    /// - Parameter action: called in the background; takes nothing but innermost locks.
    /// - Throws: `EBADF`, `EINVAL` for what isn't an eventfd; `EMFILE`, `EAGAIN` where resources are lacking.
    package init(_ number: Int32, _ action: @escaping @Sendable () -> Void) throws(Errno) {
        let channel = try Channel(number)
        self.channel = channel
        thread = try WorkerThread {
            var isEarly = channel.isEarly
            var events: [Poller.Event] = []
            while channel.next(&events) {
                if !isEarly { channel.take() }
                isEarly = false
                action()
            }
        }
    }

    deinit { channel.stop.signal() }

    /// Whether the eventfd still exists: somebody has it open.
    package var isAttached: Bool { channel.poller.watchedCount != 1 }
}
