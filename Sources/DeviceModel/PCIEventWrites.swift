import LinuxSystem
import VFIOABI

/// The ioeventfds of a device: writes to BARs that are carried out whenever an eventfd is signalled
/// (`VFIO_DEVICE_IOEVENTFD`, kernel.md D.10).
///
/// A kernel writes at the moment of the signal; a process has to wait for it, so one thread for each device
/// that has any does. **Where it differs from Linux:** signals that come faster than the thread looks are one
/// write. The counter is taken at every signal, as by Linux.
///
/// **Locks.** All of it, ``PCIEventWatcher`` apart, is guarded by the device's lock. The thread takes that lock
/// for each write, so it may only be waited for without it.
package struct PCIEventWrites {
    /// `VFIO_PCI_IOEVENTFD_MAX`
    static let limit = 1000

    /// What is written where.
    struct Write: Equatable {
        var bar: Int
        var position: UInt64
        var width: Int
        /// All 64 bits count when two are compared, though `width` bytes are written.
        var data: UInt64
    }

    private struct Entry {
        var write: Write
        /// Which of the watcher's eventfds sets it off.
        var source: UInt64
    }

    private var entries: [Entry] = []
    private var watcher: PCIEventWatcher?

    /// There are none.
    package init() {}

    /// Whether there is such a write.
    func contains(_ write: Write) -> Bool { entries.contains { $0.write == write } }

    /// Adds one.
    /// - Returns: whether the eventfd was signalled before: that writes at once, and stays in the counter.
    /// - Throws: `ENOSPC` beyond the limit; `EBADF`, `EINVAL` for what isn't an eventfd; `EMFILE`, `EAGAIN`.
    mutating func add(
        _ write: Write, _ number: Int32, of driver: some PCIPassthrough
    ) throws(Errno) -> Bool {
        guard entries.count < Self.limit else { throw .noSpace }
        let watcher: PCIEventWatcher
        if let started = self.watcher {
            watcher = started
        } else {
            // Checked first, so that a number that is no eventfd doesn't start a thread.
            _ = try EventDescriptor(duplicating: number)
            // SAFETY: the driver holds the watcher while the device is open, and drops it when it is closed.
            let target = unsafe PCIEventTarget(Backlink(driver))
            watcher = try PCIEventWatcher { source, take in
                target.link.owner.carryOutWrites(of: source, take)
            }
            self.watcher = watcher
        }
        let source = try watcher.watch(number)
        entries.append(Entry(write: write, source: source.tag))
        return source.isSignalled
    }

    /// Removes one.
    /// - Throws: `ENODEV` if it isn't there.
    mutating func remove(_ write: Write) throws(Errno) {
        guard let index = entries.firstIndex(where: { $0.write == write }) else { throw .noDevice }
        let source = entries.remove(at: index).source
        if !entries.contains(where: { $0.source == source }) { watcher?.forget(source) }
    }

    /// Removes all.
    /// - Returns: the watcher, to be dropped without the device's lock.
    package mutating func removeAll() -> PCIEventWatcher? {
        entries = []
        let watcher = watcher
        self.watcher = nil
        return watcher
    }

    /// What a signal of an eventfd sets off.
    func writes(of source: UInt64) -> [Write] { entries.filter { $0.source == source }.map { $0.write } }
}

/// The thread that waits for a device's ioeventfds. Dropping it ends the thread and waits for it.
package final class PCIEventWatcher: Sendable {
    /// What the thread and its owner share.
    private final class Channel: @unchecked Sendable {
        // SAFETY: `sources` and `lastTag` are only touched with `lock` held, which is an innermost lock.
        private struct Source {
            let tag: UInt64
            let event: OwnedEvent
            let identity: [UInt8]?
            /// Whether the first thing that the poller tells of is a signal from before.
            var isEarly: Bool
        }

        let stop: EventDescriptor
        private let poller: Poller
        private let lock = Lock()
        private var sources: [Source] = []
        private var lastTag: UInt64 = 0

        init() throws(Errno) {
            stop = try EventDescriptor()
            poller = try Poller()
            try poller.add(stop.number, .readable, tag: 0)
        }

        func watch(_ number: Int32) throws(Errno) -> (tag: UInt64, isSignalled: Bool) {
            let event = OwnedEvent(try EventDescriptor(duplicating: number))
            let identity = Descriptor.information("eventfd-id", of: event.value.number).first
            lock.lock()
            defer { lock.unlock() }
            let isSignalled = event.value.isSignalled
            // One descriptor for all writes of an eventfd: there may be a thousand.
            if let identity {
                for source in sources where source.identity?.elementsEqual(identity) == true {
                    return (source.tag, isSignalled)
                }
            }
            lastTag += 1
            try poller.add(event.value.number, [.readable, .edge], tag: lastTag)
            sources.append(
                Source(tag: lastTag, event: event, identity: identity, isEarly: isSignalled))
            return (lastTag, isSignalled)
        }

        func forget(_ tag: UInt64) {
            lock.lock()
            defer { lock.unlock() }
            guard let index = sources.firstIndex(where: { $0.tag == tag }) else { return }
            // Open until it has left the poller: what is closed first stays in it, under a number that is free.
            let source = sources.remove(at: index)
            withExtendedLifetime(source) { try? poller.remove(source.event.value.number) }
        }

        /// Takes the counter of one, if it is watched still.
        func take(_ tag: UInt64) {
            lock.lock()
            defer { lock.unlock() }
            guard let source = sources.first(where: { $0.tag == tag }) else { return }
            _ = try? source.event.value.take()
        }

        /// Waits for signals.
        /// - Returns: whose they were; nil if the thread is to end.
        func next(_ events: inout [Poller.Event]) -> [UInt64]? {
            events.removeAll(keepingCapacity: true)
            do throws(Errno) { _ = try poller.wait(into: &events) } catch { return nil }
            var tags: [UInt64] = []
            lock.lock()
            defer { lock.unlock() }
            for event in events {
                if event.tag == 0 { return nil }
                guard let index = sources.firstIndex(where: { $0.tag == event.tag }) else { continue }
                if sources[index].isEarly {
                    sources[index].isEarly = false
                    continue
                }
                tags.append(event.tag)
            }
            return tags
        }
    }

    /// An eventfd in a dictionary, which takes no noncopyable values.
    private final class OwnedEvent {
        let value: EventDescriptor
        init(_ value: consuming EventDescriptor) { self.value = value }
    }

    private let channel: Channel
    private let thread: WorkerThread

    /// Starts the thread.
    /// - Parameter carryOut: what follows from a signal of a source; the function that it gets takes the counter.
    /// - Throws: `EMFILE`, `EAGAIN` where resources are lacking.
    init(_ carryOut: @escaping @Sendable (UInt64, () -> Void) -> Void) throws(Errno) {
        let channel = try Channel()
        self.channel = channel
        thread = try WorkerThread {
            var events: [Poller.Event] = []
            while let sources = channel.next(&events) {
                ForkGate.passing { for source in sources { carryOut(source) { channel.take(source) } } }
            }
        }
    }

    deinit { channel.stop.signal() }

    /// Watches an eventfd, from now on or already.
    func watch(_ number: Int32) throws(Errno) -> (tag: UInt64, isSignalled: Bool) {
        try channel.watch(number)
    }

    /// Watches one no longer.
    func forget(_ tag: UInt64) { channel.forget(tag) }
}

/// The link from the thread to its device.
private struct PCIEventTarget<Driver: PCIPassthrough>: @unchecked Sendable {
    // SAFETY: the driver guards itself; the link never changes.
    let link: Backlink<Driver>
    init(_ link: Backlink<Driver>) { self.link = link }
}

extension PCIPassthrough {
    /// `VFIO_DEVICE_IOEVENTFD`. Takes the lock.
    package func setEventWrite(_ argument: HostAddress) throws(Errno) {
        let request = try UserMemory.load(
            DeviceIOEventFD(), from: argument, count: DeviceIOEventFD.minimumSize)
        guard request.argsz >= UInt32(DeviceIOEventFD.minimumSize) else { throw .invalid }
        guard request.flags.isSubset(of: .sizeMask), let width = request.flags.accessSize, request.fd >= -1
        else { throw .invalid }
        let bar = request.offset >> PCIRegionOffset.shift
        let position = request.offset & PCIRegionOffset.mask
        guard bar < 6 else { throw .invalid }
        let plan = plan(ofBAR: Int(bar))
        let end = position + UInt64(width)
        guard end <= plan.byteCount else { throw .invalid }
        guard end <= plan.tableStart || position >= plan.tableEnd else { throw .invalid }
        guard width < 8 else { throw .invalid }
        let write = PCIEventWrites.Write(bar: Int(bar), position: position, width: width, data: request.data)
        lock.lock()
        defer { lock.unlock() }
        if eventWrites.contains(write) {
            guard request.fd < 0 else { throw .exists }
            try eventWrites.remove(write)
        } else {
            guard request.fd >= 0 else { throw .noDevice }
            if try eventWrites.add(write, request.fd, of: self) { carryOut(write) }
        }
    }

    /// What follows from the signal of an eventfd. Takes the device's lock.
    /// - Parameter take: takes the counter. With the lock held: whoever finds it taken also finds what was written.
    fileprivate func carryOutWrites(of source: UInt64, _ take: () -> Void) {
        lock.lock()
        defer { lock.unlock() }
        take()
        for write in eventWrites.writes(of: source) { carryOut(write) }
    }

    /// Writes; nothing happens while memory is off or the device sleeps. With the device's lock held.
    private func carryOut(_ write: PCIEventWrites.Write) {
        guard !lowPower.isAsleep else { return }
        // SAFETY: the number's own bytes, little-endian as the BAR's; `width` is at most 4.
        unsafe withUnsafeBytes(of: write.data.littleEndian) { bytes in
            let span = unsafe RawSpan(_unsafeBytes: bytes)
            _ = try? writeBAR(write.bar, write.position, span.extracting(0..<write.width))
        }
    }
}
