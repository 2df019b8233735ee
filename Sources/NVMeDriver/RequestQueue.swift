import IOVASpace
import LinuxSystem
import NVMe

/// Which scatter gather lists a controller takes.
enum SGLSupport: Sendable, Equatable {
    case none
    /// Any address and length.
    case unaligned
    /// Addresses and lengths that are multiples of four.
    case dwordAligned
}

/// How a queue is laid out.
struct QueueShape: Sendable {
    /// Entries of both rings, 2...4096.
    var entryCount: Int
    /// The most bytes of one command.
    var maximumTransfer: Int
    /// The controller's pages.
    var rules: PRPRules
    /// What the controller can do beyond PRP.
    var sgl: SGLSupport
    /// How long a command may take, in nanoseconds; 0 for as long as it likes, which saves reading the clock.
    var timeout: UInt64

    /// How many commands can be in flight: one entry of a ring stays free.
    var requestCount: Int { entryCount - 1 }

    /// The room for the list of one command's pieces: never across a page where it is smaller than one.
    var listByteCount: Int {
        // Memory that begins inside a page touches one page more than its length says; the first is in PRP1.
        let entries = max(2, (maximumTransfer + rules.pageSize - 1) / rules.pageSize)
        let byteCount = entries * PRPRules.entrySize
        if byteCount > rules.pageSize { return rules.listPageCount(entries: entries) * rules.pageSize }
        var rounded = 64
        while rounded < byteCount { rounded *= 2 }
        return rounded
    }

    /// Where the parts lie in one block of memory that begins with a page.
    var completionOffset: Int { pageRounded(entryCount * SubmissionEntry.size) }
    var listOffset: Int { completionOffset + pageRounded(entryCount * CompletionEntry.size) }
    var byteCount: Int { listOffset + pageRounded(requestCount * listByteCount) }

    private func pageRounded(_ count: Int) -> Int {
        (count + rules.pageSize - 1) / rules.pageSize * rules.pageSize
    }
}

/// Why a command couldn't be submitted. Nothing has happened then.
enum SubmissionFailure: Error, Equatable {
    case queueFull
    case dataPointer(DataPointerError)
}

/// What a queue knows of a command in flight.
struct RequestSlot: BitwiseCopyable, Sendable {
    var serial: UInt32 = 0
    var commandID: UInt16 = 0
    var isInFlight = false
    var opcode: UInt8 = 0
    var namespace: UInt32 = 0
    var blockCount: UInt32 = 0
    var firstBlock: UInt64 = 0
    var tag: UInt64 = 0
    var submitted: UInt64 = 0
}

/// Two rings and the table of what is in flight between them.
///
/// Knows memory and doorbells only, neither VFIO nor who owns the queue. Submitting and taking completions
/// allocate nothing and touch no reference count.
struct RequestQueue: ~Copyable, Sendable {
    let shape: QueueShape
    var submission: SubmissionRing
    var completion: CompletionRing
    private let lists: ListArea
    private let listByteCount: Int
    private var slots: FixedArray<RequestSlot>
    /// Numbers of free slots; the last `freeCount` used ones lie at the beginning.
    private var free: FixedArray<UInt16>
    private var freeCount: Int
    /// How many low bits of a command identifier are the slot's number.
    private let slotBits: UInt16
    /// Completions that named no command in flight.
    private(set) var strayCount = 0

    /// A queue in memory of `shape.byteCount` zeroed bytes that begins with one of the controller's pages.
    init(
        identifier: UInt16, shape: QueueShape, memory: MemoryWindow, iova: IOVA,
        tailDoorbell: QueueDoorbell, headDoorbell: QueueDoorbell
    ) {
        precondition(shape.entryCount >= 2 && shape.entryCount <= 4096, "a queue has 2...4096 entries here")
        self.shape = shape
        submission = SubmissionRing(
            identifier: identifier,
            entries: memory.window(at: 0, byteCount: shape.entryCount * SubmissionEntry.size),
            entryCount: shape.entryCount, doorbell: tailDoorbell)
        completion = CompletionRing(
            identifier: identifier,
            entries: memory.window(
                at: shape.completionOffset, byteCount: shape.entryCount * CompletionEntry.size),
            entryCount: shape.entryCount, doorbell: headDoorbell)
        listByteCount = shape.listByteCount
        lists = ListArea(
            window: memory.window(
                at: shape.listOffset, byteCount: shape.requestCount * shape.listByteCount),
            iova: iova.at(shape.listOffset))
        slots = FixedArray(repeating: RequestSlot(), count: shape.requestCount)
        free = FixedArray(repeating: 0, count: shape.requestCount)
        freeCount = shape.requestCount
        for index in 0..<shape.requestCount { free[index] = UInt16(shape.requestCount - 1 - index) }
        var bits: UInt16 = 1
        while 1 << Int(bits) < shape.requestCount { bits += 1 }
        slotBits = bits
    }

    /// How many commands are in flight.
    var inFlightCount: Int { shape.requestCount - freeCount }
    /// How many more can be submitted now.
    var roomCount: Int { freeCount }

    /// Submits a command without data, or whose data pointer is already there.
    @inline(__always)
    mutating func submit(_ entry: SubmissionEntry, tag: UInt64) throws(SubmissionFailure) -> RequestToken {
        guard freeCount > 0 else { throw .queueFull }
        return try commit(entry, tag)
    }

    /// Submits a command whose data is one piece of memory.
    @inline(__always)
    mutating func submit(
        _ entry: SubmissionEntry, _ segment: DMASegment, _ options: RequestOptions
    ) throws(SubmissionFailure) -> RequestToken {
        guard freeCount > 0 else { throw .queueFull }
        var entry = entry
        do throws(DataPointerError) {
            if options.style == .sgl || (options.style == .automatic && prefersSGL(segment)) {
                var builder = SGLBuilder(list: freeList, isDwordAligned: shape.sgl == .dwordAligned)
                try builder.append(segment)
                entry.sgl = try builder.finish()
            } else {
                var builder = PRPBuilder(rules: shape.rules, list: freeList)
                try builder.append(segment)
                let pointers = try builder.finish()
                entry.setPRP(pointers.first, pointers.second)
            }
        } catch {
            throw .dataPointer(error)
        }
        return try commit(entry, options.tag)
    }

    /// Submits a command whose data is several pieces of memory.
    mutating func submit(
        _ entry: SubmissionEntry, _ segments: Span<DMASegment>, _ options: RequestOptions
    ) throws(SubmissionFailure) -> RequestToken {
        guard freeCount > 0 else { throw .queueFull }
        var entry = entry
        do throws(DataPointerError) {
            switch options.style {
            case .prp: try describeAsPRP(segments, in: &entry)
            case .sgl: try describeAsSGL(segments, in: &entry)
            case .automatic:
                do throws(DataPointerError) {
                    try describeAsPRP(segments, in: &entry)
                } catch .misaligned where shape.sgl != .none {
                    try describeAsSGL(segments, in: &entry)
                }
            }
        } catch {
            throw .dataPointer(error)
        }
        return try commit(entry, options.tag)
    }

    /// Rings both doorbells where there is something to tell.
    @inline(__always)
    mutating func ring() {
        // Places for completions first: a controller that runs inside the tail doorbell's store needs them.
        completion.ring()
        submission.ring()
    }

    /// Takes the next completion of a command in flight; nil if there is none yet. Rings what has to be rung.
    @inline(__always)
    mutating func next() -> Completion? {
        if submission.hasUnrungEntries { ring() }
        while let entry = completion.next() {
            submission.controllerReached(entry.submissionQueueHead)
            let index = Int(entry.commandID & (1 << slotBits - 1))
            guard index < slots.count, slots[index].isInFlight, slots[index].commandID == entry.commandID
            else {
                // A late answer to a command of an earlier life, or a wild controller.
                strayCount &+= 1
                continue
            }
            let done = end(index, status: entry.status, result: entry.result, isCancelled: false)
            // Not with every completion: a doorbell is the dearest thing here. Before the controller could
            // run out of places, and when nothing is left that could bring the caller back.
            if freeCount == shape.requestCount || completion.unrungCount * 4 >= shape.entryCount {
                completion.ring()
            }
            return done
        }
        completion.ring()
        return nil
    }

    /// Ends one of the commands in flight without the controller; nil if none is left.
    mutating func cancelNext() -> Completion? {
        guard inFlightCount > 0 else { return nil }
        for index in 0..<slots.count where slots[index].isInFlight {
            return end(index, status: .abortedQueueDeletion, result: 0, isCancelled: true)
        }
        return nil
    }

    /// The longest-running command whose time is over; nil if there is none.
    func expired(at now: UInt64) -> RequestToken? {
        guard shape.timeout > 0 else { return nil }
        var oldest: (index: Int, submitted: UInt64)?
        for index in 0..<slots.count where slots[index].isInFlight {
            let submitted = slots[index].submitted
            guard now > submitted, now - submitted > shape.timeout else { continue }
            if let known = oldest, known.submitted <= submitted { continue }
            oldest = (index, submitted)
        }
        return oldest.map { RequestToken(slot: UInt16($0.index), serial: slots[$0.index].serial) }
    }

    /// The identifier under which the controller knows a command; nil if it isn't in flight any more.
    func commandID(of token: RequestToken) -> UInt16? {
        let index = Int(token.slot)
        guard index < slots.count, slots[index].isInFlight, slots[index].serial == token.serial else {
            return nil
        }
        return slots[index].commandID
    }

    /// What a command in flight was to do, as its completion would tell; nil if it isn't in flight any more.
    func pending(_ token: RequestToken) -> Completion? {
        guard commandID(of: token) != nil else { return nil }
        return describe(Int(token.slot), status: .success, result: 0, isCancelled: false)
    }

    /// Starts over, as after the queue has been created anew. Nothing may be in flight.
    mutating func reset() {
        precondition(inFlightCount == 0, "commands in flight have to be cancelled first")
        submission.reset()
        completion.reset()
    }

    /// Where the next command's list goes: the room of the slot it will get.
    private var freeList: ListArea {
        let offset = Int(free[freeCount - 1]) * listByteCount
        return ListArea(
            window: lists.window.window(at: offset, byteCount: listByteCount),
            iova: lists.iova.at(offset))
    }

    private func prefersSGL(_ segment: DMASegment) -> Bool {
        shape.sgl == .unaligned && !shape.rules.isValidFirst(segment.address)
    }

    private func describeAsPRP(
        _ segments: Span<DMASegment>, in entry: inout SubmissionEntry
    ) throws(DataPointerError) {
        var builder = PRPBuilder(rules: shape.rules, list: freeList)
        for index in segments.indices { try builder.append(segments[index]) }
        let pointers = try builder.finish()
        entry.setPRP(pointers.first, pointers.second)
    }

    private func describeAsSGL(
        _ segments: Span<DMASegment>, in entry: inout SubmissionEntry
    ) throws(DataPointerError) {
        var builder = SGLBuilder(list: freeList, isDwordAligned: shape.sgl == .dwordAligned)
        for index in segments.indices { try builder.append(segments[index]) }
        entry.sgl = try builder.finish()
    }

    @inline(__always)
    private mutating func commit(_ entry: SubmissionEntry, _ tag: UInt64) throws(SubmissionFailure)
        -> RequestToken
    {
        let index = free[freeCount - 1]
        var entry = entry
        var serial = slots[Int(index)].serial &+ 1
        var commandID = index | UInt16(truncatingIfNeeded: serial) << slotBits
        if commandID == .max {
            // Error log entries use FFFFh for "no particular command".
            serial &+= 1
            commandID = index | UInt16(truncatingIfNeeded: serial) << slotBits
        }
        entry.commandID = commandID
        // A wild controller may have told a wrong head; the ring then looks full.
        guard submission.post(entry) else { throw .queueFull }
        freeCount -= 1
        slots[Int(index)] = RequestSlot(
            serial: serial, commandID: commandID, isInFlight: true, opcode: entry.opcode,
            namespace: entry.namespaceID, blockCount: entry.rangeBlockCount, firstBlock: entry.startingBlock,
            tag: tag, submitted: shape.timeout > 0 ? Clock.now : 0)
        return RequestToken(slot: index, serial: serial)
    }

    @inline(__always)
    private mutating func end(_ index: Int, status: Status, result: UInt32, isCancelled: Bool) -> Completion {
        slots[index].isInFlight = false
        free[freeCount] = UInt16(truncatingIfNeeded: index)
        freeCount += 1
        return describe(index, status: status, result: result, isCancelled: isCancelled)
    }

    @inline(__always)
    private func describe(_ index: Int, status: Status, result: UInt32, isCancelled: Bool) -> Completion {
        let slot = slots[index]
        return Completion(
            token: RequestToken(slot: UInt16(truncatingIfNeeded: index), serial: slot.serial), tag: slot.tag,
            status: status, result: result, isCancelled: isCancelled, opcode: slot.opcode,
            namespace: slot.namespace, firstBlock: slot.firstBlock, blockCount: slot.blockCount,
            submitted: slot.submitted)
    }
}

extension SubmissionEntry {
    /// How many blocks an I/O command's range has; 0 for commands without a range.
    @inline(__always) var rangeBlockCount: UInt32 {
        switch opcode {
        case 0x01, 0x02, 0x04, 0x05, 0x08, 0x0c: UInt32(dword12 & 0xffff) + 1
        default: 0
        }
    }
}
