import LinuxSystem
import VFIOABI
import VFIOHost

/// The enabled interrupts of one kind. When it goes, they are disabled, and the sequences of their events end.
///
/// Each vector's events go to one consumer: several that wait for the same vector share its events out among them.
/// It keeps its device open.
public struct Interrupts: ~Copyable, Sendable {
    private let owned: InterruptSet

    init(_ owned: InterruptSet) { self.owned = owned }

    /// Which kind.
    public var index: InterruptIndex { owned.index }

    /// How many vectors there are: 0 ..< count.
    public var count: Int { owned.vectors.count }

    /// Waits until a vector has been signalled since it was last taken, and takes it.
    /// - Parameter milliseconds: how long to wait; nil waits for ever, 0 only looks.
    /// - Returns: how often it was signalled; nil if the time ran out.
    public func wait(_ vector: Int, milliseconds: Int? = nil) throws(VFIOError) -> UInt64? {
        let operation = "wait for vector \(vector) of \(owned.title)"
        let box = try owned.box(vector, operation)
        do throws(Errno) {
            return try box.event.wait(milliseconds: milliseconds)
        } catch {
            throw VFIOError(operation: operation, object: owned.device.name, errno: error)
        }
    }

    /// Takes what a vector has been signalled, without waiting.
    /// - Returns: how often it was signalled since it was last taken; 0 if it wasn't.
    public func take(_ vector: Int) throws(VFIOError) -> UInt64 {
        let operation = "look at vector \(vector) of \(owned.title)"
        let box = try owned.box(vector, operation)
        do throws(Errno) {
            return try box.event.take()
        } catch {
            throw VFIOError(operation: operation, object: owned.device.name, errno: error)
        }
    }

    /// Has the host signal a vector as if the device had: a test of the way from the host to here.
    public func trigger(_ vector: Int) throws(VFIOError) {
        let operation = "trigger vector \(vector) of \(owned.title)"
        _ = try owned.box(vector, operation)
        try owned.send([.dataNone, .actionTrigger], start: vector, operation)
    }

    /// Has the host signal several vectors once, as ``trigger(_:)`` does, in one request (`VFIO_IRQ_SET_DATA_BOOL`).
    public func trigger(_ vectors: Range<Int>) throws(VFIOError) {
        guard let first = vectors.first, let last = vectors.last else { return }
        let operation = "trigger vectors \(first) to \(last) of \(owned.title)"
        _ = try owned.box(first, operation)
        _ = try owned.box(last, operation)
        try owned.send(
            [.dataBool, .actionTrigger], start: first, operation,
            [UInt8](repeating: 1, count: vectors.count), count: vectors.count)
    }

    /// Keeps the line from being signalled until ``unmask()``. INTx, and level-triggered lines of other devices than PCI
    /// functions.
    public func mask() throws(VFIOError) {
        try owned.send([.dataNone, .actionMask], start: 0, "mask \(owned.title)")
    }

    /// Lets the line be signalled again: after each interrupt, once its cause has been dealt with, because the host
    /// masks the line whenever it signals it. A line that is still asserted signals at once. As ``mask()``.
    public func unmask() throws(VFIOError) {
        try owned.send([.dataNone, .actionUnmask], start: 0, "unmask \(owned.title)")
    }

    /// The descriptor that becomes readable when a vector is signalled, for poll(2) and epoll(7); -1, which those
    /// ignore, if there is no such vector. It stays open until the interrupts are disabled; reading its 8 bytes
    /// takes the count.
    public func descriptor(_ vector: Int) -> Int32 {
        owned.vectors.indices.contains(vector) ? owned.vectors[vector].event.number : -1
    }

    /// What a vector is signalled from now on, as an asynchronous sequence of counts. It ends when the interrupts
    /// are disabled. Counts that nobody asked for in time are added up.
    ///
    /// One thread of the process serves all such sequences.
    public func events(_ vector: Int) throws(VFIOError) -> InterruptEvents {
        let operation = "follow vector \(vector) of \(owned.title)"
        return try owned.events(try owned.box(vector, operation), operation)
    }

    /// Disables them now.
    /// - Throws: when the host refuses; nothing is signalled any more all the same.
    public consuming func disable() throws(VFIOError) { try owned.disable() }
}

/// One vector's eventfd.
final class EventBox: Sendable {
    let event: EventDescriptor
    init(_ event: consuming EventDescriptor) { self.event = event }
}

/// The kinds of interrupts that are enabled on a device through this process.
final class InterruptState: @unchecked Sendable {
    private let lock = Lock()
    // Guarded by `lock`.
    private var enabled: Set<InterruptIndex> = []

    /// Notes a kind as enabled, unless one is enabled that excludes it.
    /// - Parameter isPCI: whether it is a PCI function's, of which some exclude others.
    /// - Returns: the one that excludes it.
    func claim(_ index: InterruptIndex, isPCI: Bool) -> InterruptIndex? {
        lock.withLock {
            for other in enabled where other == index || (isPCI && other.isExclusive && index.isExclusive) {
                return other
            }
            enabled.insert(index)
            return nil
        }
    }

    func release(_ index: InterruptIndex) { lock.withLock { _ = enabled.remove(index) } }
}

/// What ``Interrupts`` owns: disables when it goes.
final class InterruptSet: @unchecked Sendable {
    let device: Device
    let index: InterruptIndex
    let vectors: [EventBox]
    private let lock = Lock()
    // Guarded by `lock`.
    private var isDisabled = false
    private var queues: [InterruptQueue] = []

    /// What messages call the kind.
    var title: String { device.title(of: index) }

    init(_ device: Device, _ index: InterruptIndex, _ vectors: [EventBox]) {
        self.device = device
        self.index = index
        self.vectors = vectors
    }

    func box(_ vector: Int, _ operation: String) throws(VFIOError) -> EventBox {
        guard vectors.indices.contains(vector) else {
            throw VFIOError(
                operation: operation, object: device.name, code: .outOfBounds,
                cause: "\(counted(vectors.count, "vector")) \(vectors.count == 1 ? "is" : "are") enabled")
        }
        return vectors[vector]
    }

    func send(
        _ flags: IRQSetFlags, start: Int, _ operation: String, _ data: [UInt8] = [], count: Int = 1
    ) throws(VFIOError) {
        do throws(Errno) {
            _ = try device.setInterrupts(flags, index, start: start, count: count, data)
        } catch {
            let isLine = index == .intx && device.isPCI
            let isMask = flags.contains(.actionMask) || flags.contains(.actionUnmask)
            throw VFIOError(
                operation: operation, object: device.name, errno: error,
                code: isMask && !isLine ? .notSupported : .refused,
                cause: isMask && !isLine ? "\(title) can't be masked through the host" : nil)
        }
    }

    func events(_ box: EventBox, _ operation: String) throws(VFIOError) -> InterruptEvents {
        let queue = InterruptQueue(box)
        do throws(Errno) {
            try InterruptWatcher.shared.add(queue)
        } catch {
            throw VFIOError(operation: operation, object: device.name, errno: error)
        }
        lock.withLock { queues.append(queue) }
        return InterruptEvents(InterruptSubscription(queue))
    }

    func disable() throws(VFIOError) {
        let open = lock.withLock { () -> [InterruptQueue]? in
            if isDisabled { return nil }
            isDisabled = true
            defer { queues = [] }
            return queues
        }
        guard let open else { return }
        defer {
            for queue in open { InterruptWatcher.shared.remove(queue) }
            device.interruptState.release(index)
        }
        do throws(Errno) {
            // No data and no vectors is how a kind is disabled; with vectors it would signal them.
            _ = try device.setInterrupts([.dataNone, .actionTrigger], index, start: 0, count: 0)
        } catch {
            throw VFIOError(operation: "disable \(title)", object: device.name, errno: error)
        }
    }

    // Nobody is left to hear of a failure; closing the device disables what is left.
    deinit { try? disable() }
}
