import LinuxSystem
import NVMe
import VFIO

/// A queue pair, and memory to copy through, that one caller of the one-call operations uses at a time.
@safe final class Lane: @unchecked Sendable {
    // SAFETY: everything below is used while `lock` is held.

    let lock = Lock()
    let core: ControllerCore
    private var queue: QueuePair?
    /// The memory that plain memory is copied through, in areas of `areaByteCount`.
    private let bounce: QueueMemory
    private let areaByteCount: Int
    private let areaCount: Int
    /// What each area is used for: an offset in the caller's memory, and a length.
    private var areas: [(offset: Int, count: Int)]
    private var part: [DMASegment] = []
    private var isClosed = false
    /// The command that was in flight for too long, and until when its abort may take.
    private var late: (token: RequestToken, until: UInt64)?

    /// Makes a lane with a queue pair of its own.
    init(_ core: ControllerCore) throws(NVMeError) {
        self.core = core
        let page = core.rules.pageSize
        let limit = core.lock.withLock { core.maximumTransfer }
        // Several areas, so that copying goes on while the controller works; at least 64 KiB each, the
        // largest block there may be, where the controller takes that much at once.
        let wanted = max(page, core.options.bounceByteCount)
        areaByteCount = max(page, min(limit, max(65536, wanted / 8 / page * page)))
        areaCount = max(1, min(32, wanted / areaByteCount))
        areas = Array(repeating: (0, 0), count: areaCount)
        let byteCount = areaByteCount * areaCount
        bounce = try throughVFIO("allocate memory", core.name) { () throws(VFIOError) in
            try QueueMemory(in: core.device.addressSpace, byteCount: byteCount, alignment: page)
        }
        queue = try QueuePair(core, entryCount: core.options.sharedEntryCount)
    }

    /// Gives the queues back. Waits for the operation that is under way.
    func close() {
        lock.withLock {
            isClosed = true
            queue = nil
        }
    }

    private var milliseconds: Int { max(1, core.options.timeout ?? 0) }

    /// Makes the queues anew if the controller was reset meanwhile.
    private func prepare(_ operation: StaticString) throws(NVMeError) {
        guard !isClosed else { throw core.failure(.closed, "\(operation)") }
        late = nil
        guard queue?.isLive == false else { return }
        while queue?.poll() != nil {}
        try queue?.restart()
    }

    /// Waits for the next completion of what is in flight; nil if nothing is.
    ///
    /// A command that takes too long is aborted; if that doesn't end it, the controller is stopped, which
    /// cancels everything in flight. So this always comes to an end, and no memory is in the controller's
    /// hands after it has returned nil.
    private func nextCompletion(_ failure: inout NVMeError?) -> Completion? {
        while true {
            guard let inFlight = queue?.inFlightCount, inFlight > 0 else { return nil }
            do throws(NVMeError) {
                if let done = try queue?.wait(milliseconds: min(100, milliseconds)) {
                    if done.token == late?.token {
                        late = nil
                        if done.status == .abortRequested, failure == nil {
                            failure = timedOut(done, aborted: true)
                        }
                    }
                    return done
                }
                try giveUpLateCommand(&failure)
            } catch {
                if failure == nil { failure = error }
                core.lock.withLock { core.stopNow() }
            }
        }
    }

    private func giveUpLateCommand(_ failure: inout NVMeError?) throws(NVMeError) {
        if let late {
            guard Clock.now > late.until, let pending = queue?.pending(late.token) else { return }
            self.late = nil
            throw timedOut(pending, aborted: false)
        }
        guard let token = queue?.expired(), let pending = queue?.pending(token) else { return }
        do throws(NVMeError) {
            _ = try queue?.abort(token)
            late = (token, Clock.now + UInt64(min(milliseconds, 5000)) * 1_000_000)
        } catch {
            // What the caller asked for took too long; that its abort failed, too, is the smaller news.
            throw timedOut(pending, aborted: false)
        }
    }

    private func timedOut(_ pending: Completion, aborted: Bool) -> NVMeError {
        var subject = pending
        subject = Completion(
            token: subject.token, tag: subject.tag, status: .internalError, result: 0, isCancelled: false,
            opcode: subject.opcode, namespace: subject.namespace, firstBlock: subject.firstBlock,
            blockCount: subject.blockCount, submitted: subject.submitted)
        var error =
            subject.error(on: core.name) ?? core.failure(.cancelled, Completion.operation(pending.opcode))
        error.reason = .timedOut(milliseconds: milliseconds, aborted: aborted)
        return error
    }

    // MARK: Commands without data

    /// Sends a command and waits for its end.
    func run(_ entry: SubmissionEntry, _ operation: StaticString) throws(NVMeError) {
        try prepare(operation)
        try queue?.submit(entry)
        try finish()
    }

    /// Sends a command whose data are these few bytes, and waits for its end.
    func run(_ entry: SubmissionEntry, _ bytes: RawSpan, _ operation: StaticString) throws(NVMeError) {
        try prepare(operation)
        guard bytes.byteCount <= areaByteCount else {
            throw core.failure(.tooLarge(byteCount: bytes.byteCount, limit: areaByteCount), "\(operation)")
        }
        bounce.window.write(bytes, at: 0)
        try queue?.submit(entry, DMASegment(iova: bounce.iova, byteCount: bytes.byteCount))
        try finish()
    }

    private func finish() throws(NVMeError) {
        var failure: NVMeError?
        while let done = nextCompletion(&failure) {
            if failure == nil { failure = done.error(on: core.name) }
        }
        if let failure { throw failure }
    }

    // MARK: Plain memory

    /// Reads blocks into plain memory of exactly their length.
    func read(
        _ blocks: Range<UInt64>, _ namespace: Namespace, into bytes: inout MutableRawSpan
    ) throws(NVMeError) {
        let chunk = try chunkByteCount(namespace, "read")
        var entry = SubmissionEntry(io: .read, namespaceID: namespace.identifier)
        var failure: NVMeError?
        var next = 0
        var free = freeAreas
        while true {
            while failure == nil, next < bytes.byteCount, free != 0, hasRoom {
                let area = free.trailingZeroBitCount
                let count = min(chunk, bytes.byteCount - next)
                entry.setBlocks(blocks.lowerBound, namespace, next, count)
                guard submit(entry, area, next, count, &failure) else { break }
                free &= ~(1 << UInt64(area))
                next += count
            }
            guard let done = nextCompletion(&failure) else { break }
            let area = Int(done.tag)
            free |= 1 << done.tag
            if failure == nil { failure = done.error(on: core.name) }
            guard done.isSuccess else { continue }
            var target = bytes._mutatingExtracting(
                areas[area].offset..<areas[area].offset + areas[area].count)
            bounce.window.read(at: area * areaByteCount, into: &target)
        }
        if let failure { throw failure }
    }

    /// Writes blocks from plain memory of exactly their length, or compares them with it.
    func send(
        _ opcode: IOOpcode, _ blocks: Range<UInt64>, _ namespace: Namespace, _ bytes: RawSpan,
        forceUnitAccess: Bool
    ) throws(NVMeError) {
        let chunk = try chunkByteCount(namespace, "write")
        var entry = SubmissionEntry(io: opcode, namespaceID: namespace.identifier)
        var failure: NVMeError?
        var next = 0
        var free = freeAreas
        while true {
            while failure == nil, next < bytes.byteCount, free != 0, hasRoom {
                let area = free.trailingZeroBitCount
                let count = min(chunk, bytes.byteCount - next)
                bounce.window.write(bytes.extracting(next..<next + count), at: area * areaByteCount)
                entry.setBlocks(blocks.lowerBound, namespace, next, count, forceUnitAccess: forceUnitAccess)
                guard submit(entry, area, next, count, &failure) else { break }
                free &= ~(1 << UInt64(area))
                next += count
            }
            guard let done = nextCompletion(&failure) else { break }
            free |= 1 << done.tag
            if failure == nil { failure = done.error(on: core.name) }
        }
        if let failure { throw failure }
    }

    private var freeAreas: UInt64 { (1 << UInt64(areaCount)) - 1 }
    private var hasRoom: Bool { (queue?.roomCount ?? 0) > 0 }

    private func chunkByteCount(_ namespace: Namespace, _ operation: StaticString) throws(NVMeError) -> Int {
        try prepare(operation)
        let most = min(areaByteCount, queue?.maximumTransfer ?? 0, 0x10000 * namespace.blockByteCount)
        let chunk = most / namespace.blockByteCount * namespace.blockByteCount
        guard chunk > 0 else {
            throw NVMeError(
                .tooLarge(byteCount: namespace.blockByteCount, limit: most), "\(operation)", on: core.name,
                namespace: namespace.identifier)
        }
        return chunk
    }

    private func submit(
        _ entry: SubmissionEntry, _ area: Int, _ offset: Int, _ count: Int, _ failure: inout NVMeError?
    ) -> Bool {
        let segment = DMASegment(iova: bounce.iova.at(area * areaByteCount), byteCount: count)
        areas[area] = (offset, count)
        do throws(NVMeError) {
            try queue?.submit(entry, segment, RequestOptions(tag: UInt64(area)))
            return true
        } catch {
            failure = error
            return false
        }
    }

    // MARK: DMA memory

    /// Reads blocks into, writes them from, or compares them with memory that the device reaches.
    func transfer(
        _ opcode: IOOpcode, _ blocks: Range<UInt64>, _ namespace: Namespace, _ segments: [DMASegment],
        style: DataPointerStyle, forceUnitAccess: Bool
    ) throws(NVMeError) {
        try prepare("transfer")
        let (maximumTransfer, sgl) = core.lock.withLock { (core.maximumTransfer, core.sglSupport) }
        let operation = Completion.operation(opcode.rawValue)
        if style == .sgl, sgl == .none {
            throw NVMeError(
                .unsupported(.scatterGatherLists), operation, on: core.name, namespace: namespace.identifier,
                blocks: blocks)
        }
        let most = min(maximumTransfer, 0x10000 * namespace.blockByteCount)
        guard most >= namespace.blockByteCount else {
            throw NVMeError(
                .tooLarge(byteCount: namespace.blockByteCount, limit: most), operation, on: core.name,
                namespace: namespace.identifier)
        }
        var plan = TransferPlan(
            TransferPlan.Limits(
                maximumTransfer: most, blockByteCount: namespace.blockByteCount, rules: core.rules, sgl: sgl),
            style: style)
        var entry = SubmissionEntry(io: opcode, namespaceID: namespace.identifier)
        var failure: NVMeError?
        var next = 0
        var isAtEnd = false
        while true {
            while failure == nil, !isAtEnd, hasRoom {
                do throws(DataPointerError) {
                    let count = try plan.next(of: segments, into: &part)
                    guard count > 0 else {
                        isAtEnd = true
                        break
                    }
                    entry.setBlocks(
                        blocks.lowerBound, namespace, next, count, forceUnitAccess: forceUnitAccess)
                    next += count
                } catch {
                    failure = NVMeError(
                        .dataPointer(error), operation, on: core.name, namespace: namespace.identifier,
                        blocks: blocks)
                    break
                }
                do throws(NVMeError) {
                    try queue?.submit(entry, part.span, RequestOptions(style: style))
                } catch {
                    failure = error
                }
            }
            guard let done = nextCompletion(&failure) else { break }
            if failure == nil { failure = done.error(on: core.name) }
        }
        if let failure { throw failure }
    }
}

extension SubmissionEntry {
    /// Sets the range of blocks for a part of a transfer, told in bytes.
    mutating func setBlocks(
        _ first: UInt64, _ namespace: Namespace, _ offset: Int, _ byteCount: Int,
        forceUnitAccess: Bool = false
    ) {
        let start = first + UInt64(offset / namespace.blockByteCount)
        dword10 = UInt32(truncatingIfNeeded: start)
        dword11 = UInt32(truncatingIfNeeded: start >> 32)
        dword12 =
            UInt32(truncatingIfNeeded: byteCount / namespace.blockByteCount - 1) & 0xffff
            | (forceUnitAccess ? 1 << 30 : 0)
    }
}
