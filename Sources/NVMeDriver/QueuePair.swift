import LinuxSystem
import NVMe
import VFIO

/// An I/O queue pair with requests in flight: the middle of the driver's three levels.
///
/// Commands are submitted and give a token; completions are polled or waited for and come in any order. A
/// queue pair belongs to one thread at a time and takes no lock: a program that works on several threads makes
/// one queue pair for each. Submitting and polling allocate nothing.
///
/// The controller is told of new commands by ``ring()``, and also whenever completions are looked for: commands
/// submitted one after the other share one doorbell.
///
/// The queue pair keeps its controller alive and open. When it goes, the controller deletes the queues, which
/// ends whatever is in flight, before their memory is freed.
public struct QueuePair: ~Copyable, Sendable {
    private var lease: QueueLease
    private var queue: RequestQueue
    private let shape: QueueShape

    /// Creates the queues at the controller.
    init(_ core: ControllerCore, entryCount: Int) throws(NVMeError) {
        let shape = core.ioShape(entryCount: entryCount)
        self.shape = shape
        let lease = try core.lease(shape)
        queue = try Self.makeQueue(lease, shape)
        self.lease = lease
    }

    private static func makeQueue(
        _ lease: borrowing QueueLease, _ shape: QueueShape
    ) throws(NVMeError) -> RequestQueue {
        let core = lease.core
        let identifier = lease.identifier
        let doorbells = try core.lock.withLock { () throws(NVMeError) in try core.doorbells(identifier) }
        return RequestQueue(
            identifier: identifier, shape: shape, memory: lease.memory.window, iova: lease.memory.iova,
            tailDoorbell: doorbells.tail, headDoorbell: doorbells.head)
    }

    /// The queues' identifier, 1...
    public var identifier: UInt16 { lease.identifier }
    /// How many commands can be in flight at a time.
    public var capacity: Int { shape.requestCount }
    /// How many commands are in flight: submitted, and their completions not yet taken.
    public var inFlightCount: Int { queue.inFlightCount }
    /// How many more can be submitted now.
    public var roomCount: Int { queue.roomCount }
    /// The most bytes of one command.
    public var maximumTransfer: Int { shape.maximumTransfer }
    /// How many completions came that belonged to no command in flight: 0 with a sane controller.
    public var strayCount: Int { queue.strayCount }

    // MARK: Submitting

    /// Submits a command without data. Its identifier is given by the queue.
    /// - Throws: `.queueFull`; `.stopped` if the controller was reset or stopped since the queue was made.
    @discardableResult
    public mutating func submit(
        _ entry: SubmissionEntry, _ options: RequestOptions = RequestOptions()
    ) throws(NVMeError) -> RequestToken {
        guard lease.isLive else { throw failure(.stopped, entry) }
        do throws(SubmissionFailure) {
            return try queue.submit(entry, tag: options.tag)
        } catch {
            throw failure(error.reason, entry)
        }
    }

    /// Submits a command whose data is one piece of memory, which has to stay until the command has completed.
    /// - Throws: `.queueFull`, `.tooLarge`, `.dataPointer`, `.stopped`.
    @discardableResult
    public mutating func submit(
        _ entry: SubmissionEntry, _ segment: DMASegment, _ options: RequestOptions = RequestOptions()
    ) throws(NVMeError) -> RequestToken {
        guard lease.isLive else { throw failure(.stopped, entry) }
        guard segment.byteCount <= shape.maximumTransfer else {
            throw failure(.tooLarge(byteCount: segment.byteCount, limit: shape.maximumTransfer), entry)
        }
        if options.style == .sgl, shape.sgl == .none {
            throw failure(.unsupported(.scatterGatherLists), entry)
        }
        do throws(SubmissionFailure) {
            return try queue.submit(entry, segment, options)
        } catch {
            throw failure(error.reason, entry)
        }
    }

    /// Submits a command whose data is several pieces of memory.
    ///
    /// With PRP, all pieces but the first have to begin with one of the controller's pages, and all but the
    /// last have to end with one. With an SGL they lie anywhere.
    /// - Throws: `.queueFull`, `.tooLarge`, `.dataPointer`, `.unsupported`, `.stopped`.
    @discardableResult
    public mutating func submit(
        _ entry: SubmissionEntry, _ segments: Span<DMASegment>, _ options: RequestOptions = RequestOptions()
    ) throws(NVMeError) -> RequestToken {
        guard lease.isLive else { throw failure(.stopped, entry) }
        var byteCount = 0
        for index in segments.indices {
            let (sum, overflow) = byteCount.addingReportingOverflow(segments[index].byteCount)
            byteCount = overflow ? .max : sum
        }
        guard byteCount <= shape.maximumTransfer else {
            throw failure(.tooLarge(byteCount: byteCount, limit: shape.maximumTransfer), entry)
        }
        if options.style == .sgl, shape.sgl == .none {
            throw failure(.unsupported(.scatterGatherLists), entry)
        }
        do throws(SubmissionFailure) {
            return try queue.submit(entry, segments, options)
        } catch {
            throw failure(error.reason, entry)
        }
    }

    /// Submits a read of blocks into memory of exactly their length, in one command.
    /// - Throws: as `submit(_:_:_:)`; `.outOfRange`, `.wrongLength`, `.unusableNamespace`.
    @discardableResult
    public mutating func read(
        _ blocks: Range<UInt64>, of namespace: Namespace, into segment: DMASegment,
        _ options: RequestOptions = RequestOptions()
    ) throws(NVMeError) -> RequestToken {
        try check(blocks, namespace, segment.byteCount, "read")
        return try submit(
            .read(
                namespaceID: namespace.identifier, startingBlock: blocks.lowerBound,
                blocks: Int(truncatingIfNeeded: blocks.length)),
            segment, options)
    }

    /// Submits a write of blocks from memory of exactly their length, in one command.
    /// - Parameter forceUnitAccess: the data is on the medium when the command completes (FUA).
    /// - Throws: as `submit(_:_:_:)`; `.outOfRange`, `.wrongLength`, `.unusableNamespace`.
    @discardableResult
    public mutating func write(
        _ blocks: Range<UInt64>, of namespace: Namespace, from segment: DMASegment,
        forceUnitAccess: Bool = false, _ options: RequestOptions = RequestOptions()
    ) throws(NVMeError) -> RequestToken {
        try check(blocks, namespace, segment.byteCount, "write")
        return try submit(
            .write(
                namespaceID: namespace.identifier, startingBlock: blocks.lowerBound,
                blocks: Int(truncatingIfNeeded: blocks.length),
                forceUnitAccess: forceUnitAccess),
            segment, options)
    }

    /// Submits a flush: what has completed before is on the medium when it completes.
    @discardableResult
    public mutating func flush(
        _ namespace: Namespace, _ options: RequestOptions = RequestOptions()
    ) throws(NVMeError) -> RequestToken {
        try submit(.flush(namespaceID: namespace.identifier), options)
    }

    /// Tells the controller of the commands submitted since the last time. Does nothing if there are none.
    public mutating func ring() {
        if lease.isLive { queue.ring() }
    }

    // MARK: Completing

    /// Takes the next completion; nil if there is none yet. Rings what has to be rung.
    ///
    /// After the controller was reset, stopped or closed, the commands in flight come back as cancelled.
    @inline(__always)
    public mutating func poll() -> Completion? {
        guard lease.isLive else { return queue.cancelNext() }
        return queue.next()
    }

    /// Waits for the next completion: polls for a moment, then blocks until an interrupt comes, or sleeps
    /// between looks where there are none.
    /// - Parameter milliseconds: how long to wait; nil waits for ever.
    /// - Returns: nil if the time ran out or nothing is in flight.
    /// - Throws: `.deviceGone`, `.controllerFatal`, `.vfio`.
    public mutating func wait(milliseconds: Int? = nil) throws(NVMeError) -> Completion? {
        var waiter = Waiter()
        var deadline: UInt64?
        while true {
            if let done = poll() { return done }
            guard inFlightCount > 0 else { return nil }
            if waiter.spin() { continue }
            let now = Clock.now
            var left = 10
            if let milliseconds {
                let end = deadline ?? now + UInt64(clamping: milliseconds) * 1_000_000
                deadline = end
                guard now < end else { return nil }
                left = Int(clamping: (end - now + 999_999) / 1_000_000)
            }
            try lease.core.checkAlive("wait for a completion")
            let name = lease.core.name
            let vector = lease.vector
            let interrupts = lease.interrupts
            try throughVFIO("wait for a completion", name) { () throws(VFIOError) in
                try waiter.block(interrupts, vector, milliseconds: left)
            }
        }
    }

    /// A descriptor that becomes readable when completions have come, for poll(2) and epoll(7); nil without
    /// interrupts. Other queues may share it; poll the queue until it is empty before waiting again.
    public var interruptDescriptor: Int32? { lease.interrupts?.descriptor(lease.vector) }

    // MARK: When things go wrong

    /// The oldest command that has been in flight for longer than ``ControllerOptions/timeout``; nil if there
    /// is none. Costs a look at every command in flight: ask now and then only.
    public func expired() -> RequestToken? { queue.expired(at: Clock.now) }

    /// Asks the controller to give a command up. Its completion still comes, as aborted or not.
    /// - Returns: whether the controller says that it aborted the command; false also for one that has
    ///   completed already.
    public mutating func abort(_ token: RequestToken) throws(NVMeError) -> Bool {
        guard lease.isLive, let commandID = queue.commandID(of: token) else { return false }
        ring()
        let core = lease.core
        let identifier = lease.identifier
        let done = try core.lock.withLock { () throws(NVMeError) in
            try core.execute(.abort(commandID: commandID, submissionQueueID: identifier), "abort a command")
        }
        return done.result & 1 == 0
    }

    /// What a command in flight is about; nil if it isn't in flight any more.
    func pending(_ token: RequestToken) -> Completion? { queue.pending(token) }

    /// Whether the controller still knows the queues. If not, commands in flight come back as cancelled, and
    /// ``restart()`` makes the queues anew once the controller has been reset.
    public var isLive: Bool { lease.isLive }

    /// Creates the queues again, after the controller was reset.
    /// - Precondition: the completions of the cancelled commands have been taken.
    /// - Throws: `.stopped` while the controller hasn't been reset.
    public mutating func restart() throws(NVMeError) {
        guard !lease.isLive else { return }
        precondition(inFlightCount == 0, "take the completions of the cancelled commands first")
        let window = lease.memory.window
        window.zero(at: 0, byteCount: shape.listOffset)
        lease.epoch = try lease.core.renew(lease.identifier, shape, lease.memory.iova)
        queue = try Self.makeQueue(lease, shape)
    }

    private func check(
        _ blocks: Range<UInt64>, _ namespace: Namespace, _ byteCount: Int, _ operation: StaticString
    ) throws(NVMeError) {
        var reason = namespace.objection(to: blocks, byteCount: byteCount)
        if reason == nil {
            if blocks.isEmpty {
                reason = .dataPointer(.empty)
            } else if blocks.length > 0x10000 {
                reason = .tooLarge(byteCount: byteCount, limit: 0x10000 * namespace.blockByteCount)
            }
        }
        guard let reason else { return }
        throw NVMeError(
            reason, "\(operation)", on: lease.core.name, namespace: namespace.identifier, blocks: blocks)
    }

    private func failure(_ reason: NVMeError.Reason, _ entry: SubmissionEntry) -> NVMeError {
        let count = UInt64(entry.rangeBlockCount)
        let (end, overflow) = entry.startingBlock.addingReportingOverflow(count)
        return NVMeError(
            reason, Completion.operation(entry.opcode), on: lease.core.name, namespace: entry.namespaceID,
            blocks: count == 0 || overflow ? nil : entry.startingBlock..<end)
    }
}
