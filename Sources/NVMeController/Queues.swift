import DeviceModel
import IOVASpace
import LinuxSystem
import NVMe

/// A submission queue as the controller sees it.
final class SubmissionQueue {
    let id: UInt16
    let address: UInt64
    let entries: UInt32
    let completions: CompletionQueue
    /// The next entry that is taken.
    var head: UInt32 = 0
    /// The entry after the last one that the driver has submitted.
    var tail: UInt32 = 0
    /// Whether the driver has ever rung this queue.
    var wasRung = false

    init(id: UInt16, address: UInt64, entries: Int, completions: CompletionQueue) {
        self.id = id
        self.address = address
        self.entries = UInt32(entries)
        self.completions = completions
    }

    var isEmpty: Bool { head == tail }

    /// Where the next entry lies; nil at the end of the address space.
    var headAddress: UInt64? {
        let (sum, overflow) = address.addingReportingOverflow(UInt64(head) * UInt64(SubmissionEntry.size))
        return overflow ? nil : sum
    }

    func advance() { head = head + 1 == entries ? 0 : head + 1 }
}

/// A completion queue as the controller sees it.
final class CompletionQueue {
    let id: UInt16
    let address: UInt64
    let entries: UInt32
    /// The interrupt vector; -1 for a queue that doesn't interrupt.
    let vector: Int
    /// The first completion that the driver hasn't taken.
    var head: UInt32 = 0
    /// Where the next completion goes.
    var tail: UInt32 = 0
    /// The phase tag of the next completion.
    var phase = true
    /// How many submission queues complete here.
    var submissionQueueCount = 0
    /// Whether completions have been written since the last interrupt.
    var needsInterrupt = false

    init(id: UInt16, address: UInt64, entries: Int, vector: Int) {
        self.id = id
        self.address = address
        self.entries = UInt32(entries)
        self.vector = vector
    }

    private var next: UInt32 { tail + 1 == entries ? 0 : tail + 1 }

    /// One entry always stays free: a queue whose tail has caught up with its head would look empty.
    var isFull: Bool { next == head }

    /// Where the next completion goes; nil at the end of the address space.
    var tailAddress: UInt64? {
        let (sum, overflow) = address.addingReportingOverflow(UInt64(tail) * UInt64(CompletionEntry.size))
        return overflow ? nil : sum
    }

    func advance() {
        tail = next
        if tail == 0 { phase.toggle() }
        needsInterrupt = true
    }

    /// Takes over the driver's head; false for a value that isn't between the head and the tail.
    func take(head value: UInt32) -> Bool {
        guard value < entries else { return false }
        let taken = value >= head ? value - head : value + entries - head
        let filled = tail >= head ? tail - head : tail + entries - head
        guard taken <= filled else { return false }
        head = value
        return true
    }
}

/// How a command ended, or that it hasn't.
struct Outcome {
    var status: Status
    var result: UInt32 = 0
    /// An Asynchronous Event Request that waits.
    var isParked = false

    init(_ status: Status, result: UInt32 = 0) {
        self.status = status
        self.result = result
    }

    static var success: Outcome { Outcome(.success) }
    static var parked: Outcome {
        var outcome = Outcome(.success)
        outcome.isParked = true
        return outcome
    }
}

extension NVMeController {
    // MARK: doorbells

    /// A write into the doorbells' part of BAR 0.
    func ringDoorbell(_ offset: UInt64, _ value: UInt32) {
        guard isWorking else { return }
        switch Doorbell(stride: 0).target(at: offset) {
        case .submissionTail(let id):
            guard let queue = submissionQueue(id) else { return refuseDoorbell(.invalidDoorbellRegister, id) }
            queue.wasRung = true
            if shadow == nil || id == 0 {
                guard value < queue.entries else { return refuseDoorbell(.invalidDoorbellValue, id) }
                queue.tail = value
            } else {
                refreshTail(queue)
            }
            process(queue)
        case .completionHead(let id):
            guard let queue = completionQueue(id) else { return refuseDoorbell(.invalidDoorbellRegister, id) }
            if shadow == nil || id == 0 {
                guard queue.take(head: value) else { return refuseDoorbell(.invalidDoorbellValue, id) }
            } else {
                refreshHead(queue)
            }
            resume(queue)
        case nil:
            return
        }
        catchUpWithShadows()
        deliverEvents()
        updateLine()
    }

    /// A doorbell that makes no sense changes nothing but the error log and the event.
    func refuseDoorbell(_ event: AsynchronousEvent, _ id: UInt16) {
        errorLog.add(.invalidField, queue: id, commandID: 0xffff, namespaceID: 0, block: 0)
        raise(event)
        deliverEvents()
    }

    func submissionQueue(_ id: UInt16) -> SubmissionQueue? {
        Int(id) < submissionQueues.count ? submissionQueues[Int(id)] : nil
    }

    func completionQueue(_ id: UInt16) -> CompletionQueue? {
        Int(id) < completionQueues.count ? completionQueues[Int(id)] : nil
    }

    /// The driver has taken completions: queues that waited for room go on.
    func resume(_ completions: CompletionQueue) {
        for case let queue? in submissionQueues where queue.completions === completions && !queue.isEmpty {
            process(queue)
        }
    }

    // MARK: commands

    /// The most times that shadow doorbells are looked at in one go, so that a driver on another thread can't keep
    /// this one for ever. What is left is seen with the next doorbell.
    private static var shadowRounds: Int { 1024 }

    /// Carries out what has been submitted, as far as there is room for completions.
    func process(_ queue: SubmissionQueue) {
        var rounds = 0
        repeat {
            while !queue.isEmpty {
                guard takesCommands, hasRoom(queue.completions) else { return interrupt(queue.completions) }
                guard let entry = fetch(queue) else { return fail() }
                let outcome = queue.id == 0 ? admin(entry) : inputOutput(entry)
                if !outcome.isParked { complete(queue, entry, outcome) }
            }
            rounds += 1
        } while rounds < NVMeController.shadowRounds && refreshTail(queue)
        interrupt(queue.completions)
    }

    func fetch(_ queue: SubmissionQueue) -> SubmissionEntry? {
        guard let address = queue.headAddress else { return nil }
        do throws(DMAFault) {
            let entry = try function.dma.load(SubmissionEntry(), from: IOVA(address))
            queue.advance()
            return entry
        } catch {
            return nil
        }
    }

    /// Whether one more completion has room; looks at the shadow of the driver's head if it seems not.
    func hasRoom(_ queue: CompletionQueue) -> Bool {
        if !queue.isFull { return true }
        refreshHead(queue)
        return !queue.isFull
    }

    /// Ends a command. There has to be room for its completion.
    func complete(_ queue: SubmissionQueue, _ entry: SubmissionEntry, _ outcome: Outcome) {
        var status = outcome.status
        if !status.isSuccess { note(&status, queue, entry) }
        post(
            queue.completions,
            CompletionEntry(
                result: outcome.result, submissionQueueHead: UInt16(truncatingIfNeeded: queue.head),
                submissionQueueID: queue.id, commandID: entry.commandID, status: status))
    }

    private func note(_ status: inout Status, _ queue: SubmissionQueue, _ entry: SubmissionEntry) {
        // Whether the same command can fare better another time.
        switch status {
        case .dataTransferError, .internalError, .abortRequested, .abortedQueueDeletion, .writeFault,
            .unrecoveredReadError:
            break
        default: status.doNotRetry = true
        }
        if status == .abortRequested || status == .abortedQueueDeletion { return }
        if status == .writeFault || status == .unrecoveredReadError { health.mediaErrors += 1 }
        let block = queue.id == 0 ? 0 : entry.startingBlock
        errorLog.add(
            status, queue: queue.id, commandID: entry.commandID, namespaceID: entry.namespaceID, block: block)
        status.hasMore = true
    }

    /// Writes a completion. There has to be room.
    func post(_ queue: CompletionQueue, _ completion: CompletionEntry) {
        var completion = completion
        completion.phase = queue.phase
        guard let address = queue.tailAddress, write(completion, to: IOVA(address)) else { return fail() }
        queue.advance()
    }

    /// A driver that polls may see the phase tag at any moment: the half with the tag has to come last, in one
    /// store.
    private func write(_ completion: CompletionEntry, to address: IOVA) -> Bool {
        let first = UInt64(completion.result) | UInt64(completion.result1) << 32
        let second =
            UInt64(completion.submissionQueueHead) | UInt64(completion.submissionQueueID) << 16
            | UInt64(completion.commandID) << 32 | UInt64(completion.statusAndPhase) << 48
        do throws(DMAFault) {
            var isWritten = false
            try function.dma.withMemory(address, byteCount: CompletionEntry.size, for: .write) { window in
                guard window.byteCount == CompletionEntry.size else { return false }
                window.store64(0, first)
                Fence.beforeDoorbell()
                window.store64(8, second)
                isWritten = true
                return true
            }
            if isWritten { return true }
        } catch {
            guard error.reason == .notLendable else { return false }
        }
        do throws(DMAFault) {
            try function.dma.store(first, to: address)
            Fence.beforeDoorbell()
            try function.dma.store(second, to: IOVA(address.rawValue + 8))
            return true
        } catch {
            return false
        }
    }

    /// One message for all completions since the last.
    func interrupt(_ queue: CompletionQueue) {
        guard queue.needsInterrupt else { return }
        queue.needsInterrupt = false
        guard queue.vector >= 0 else { return }
        if function.isMessageSignalled {
            function.signal(vector: queue.vector)
        } else {
            // The line goes down when the driver has taken everything, so its head has to be known in time.
            refreshHead(queue)
        }
    }
}
