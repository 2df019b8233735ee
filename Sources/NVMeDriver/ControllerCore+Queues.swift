import IOVASpace
import LinuxSystem
import NVMe
import Synchronization
import VFIO

/// The right to an I/O queue pair, and its memory. Going away deletes the queues: first the submission queue,
/// then the completion queue, and only then the memory is freed.
struct QueueLease: ~Copyable, Sendable {
    let core: ControllerCore
    let interrupts: InterruptSource?
    let identifier: UInt16
    let memory: QueueMemory
    /// The controller's epoch in which the queues were created last.
    var epoch: UInt32

    /// The vector that the completion queue's interrupts come on.
    var vector: UInt16 { interrupts?.vector(forQueue: identifier) ?? 0 }
    /// Whether the controller still knows the queues.
    @inline(__always) var isLive: Bool { core.epoch.load(ordering: .acquiring) == epoch }

    deinit { core.endLease(identifier, epoch) }
}

extension ControllerCore {
    /// The most bytes that one command may carry: the controller's limit and the caller's.
    var maximumTransfer: Int {
        let page = rules.pageSize
        var limit = max(page, options.maximumTransfer / page * page)
        if let told = identity.maximumTransferBytes(minimumPageSize: capabilities.minimumPageSize) {
            limit = min(limit, told)
        }
        return limit
    }

    /// What the controller takes besides PRP.
    var sglSupport: SGLSupport {
        switch identity.sglAlignment {
        case .any: .unaligned
        case .dword: .dwordAligned
        default: .none
        }
    }

    /// The layout of an I/O queue of about this many entries.
    func ioShape(entryCount: Int) -> QueueShape {
        let milliseconds = options.timeout.map { UInt64(max(1, $0)) } ?? 0
        return QueueShape(
            entryCount: max(2, min(entryCount, capabilities.maximumQueueEntries, 4096)),
            maximumTransfer: maximumTransfer, rules: rules, sgl: sglSupport, timeout: milliseconds * 1_000_000
        )
    }

    /// Creates a queue pair, with memory for it. Takes the lock.
    func lease(_ shape: QueueShape) throws(NVMeError) -> QueueLease {
        try lock.withLock { () throws(NVMeError) in
            let operation: StaticString = "create a queue pair"
            try checkRunning(operation)
            guard let free = usedQueues.firstIndex(of: false) else { throw failure(.noQueue, "\(operation)") }
            let memory = try throughVFIO(operation, name) { () throws(VFIOError) in
                try QueueMemory(
                    in: device.addressSpace, byteCount: shape.byteCount, alignment: rules.pageSize)
            }
            let identifier = UInt16(free)
            try createQueues(identifier, shape, memory.iova)
            usedQueues[free] = true
            return QueueLease(
                core: self, interrupts: interrupts, identifier: identifier, memory: memory,
                epoch: epoch.load(ordering: .acquiring))
        }
    }

    /// Creates the queues of a lease again, after the controller forgot them. Takes the lock.
    /// - Returns: the epoch.
    func renew(_ identifier: UInt16, _ shape: QueueShape, _ iova: IOVA) throws(NVMeError) -> UInt32 {
        try lock.withLock { () throws(NVMeError) in
            try checkRunning("create a queue pair")
            guard Int(identifier) < usedQueues.count else { throw failure(.noQueue, "create a queue pair") }
            usedQueues[Int(identifier)] = true
            try createQueues(identifier, shape, iova)
            return epoch.load(ordering: .acquiring)
        }
    }

    /// Deletes the queues of a lease that ends. Takes the lock.
    func endLease(_ identifier: UInt16, _ leaseEpoch: UInt32) {
        lock.withLock {
            if state == .running, epoch.load(ordering: .acquiring) == leaseEpoch {
                do throws(NVMeError) {
                    // The order matters: a completion queue can't be deleted while a submission queue uses it.
                    _ = try execute(.deleteSubmissionQueue(identifier), "delete a queue pair")
                    _ = try execute(.deleteCompletionQueue(identifier), "delete a queue pair")
                } catch {
                    // The queue's memory is freed next. A controller that may still use it has to stop.
                    stopNow()
                }
            }
            if Int(identifier) < usedQueues.count { usedQueues[Int(identifier)] = false }
        }
    }

    private func createQueues(_ identifier: UInt16, _ shape: QueueShape, _ iova: IOVA) throws(NVMeError) {
        let operation: StaticString = "create a queue pair"
        clearShadows(identifier)
        _ = try execute(
            .createCompletionQueue(
                identifier, entries: shape.entryCount,
                address: iova.rawValue + UInt64(shape.completionOffset),
                vector: interrupts?.vector(forQueue: identifier)), operation)
        do throws(NVMeError) {
            _ = try execute(
                .createSubmissionQueue(
                    identifier, entries: shape.entryCount, address: iova.rawValue,
                    completionQueueID: identifier), operation)
        } catch {
            let first = error
            do throws(NVMeError) {
                if state == .running {
                    _ = try execute(.deleteCompletionQueue(identifier), operation)
                }
            } catch {
                // As in `endLease`: the memory is freed next.
                stopNow()
            }
            throw first
        }
    }

    /// Sets the shadow doorbells of a queue to 0: its number may have been used before, and the controller may
    /// look at them as soon as the queue is there.
    private func clearShadows(_ identifier: UInt16) {
        let places = Doorbell(stride: capabilities.doorbellStride)
        let tailOffset = Int(places.submissionTail(of: identifier) - RegisterOffset.doorbells)
        let headOffset = Int(places.completionHead(of: identifier) - RegisterOffset.doorbells)
        guard usesShadowDoorbells, headOffset + 4 <= rules.pageSize else { return }
        for offset in [tailOffset, headOffset] {
            adminMemory.window.store32(shadowOffset + offset, 0)
            adminMemory.window.store32(shadowOffset + rules.pageSize + offset, 0)
        }
    }

    /// The doorbells of a queue, with their shadows where those are in use.
    func doorbells(_ identifier: UInt16) throws(NVMeError) -> (tail: QueueDoorbell, head: QueueDoorbell) {
        let places = Doorbell(stride: capabilities.doorbellStride)
        let region = registers.region
        var (tail, head) = try throughVFIO("create a queue pair", name) { () throws(VFIOError) in
            (
                try QueueDoorbell(at: Int(places.submissionTail(of: identifier)), of: region),
                try QueueDoorbell(at: Int(places.completionHead(of: identifier)), of: region)
            )
        }
        let tailOffset = Int(places.submissionTail(of: identifier) - RegisterOffset.doorbells)
        let headOffset = Int(places.completionHead(of: identifier) - RegisterOffset.doorbells)
        if usesShadowDoorbells, headOffset + 4 <= rules.pageSize {
            let shadow = adminMemory.window.window(at: shadowOffset, byteCount: rules.pageSize)
            let index = adminMemory.window.window(
                at: shadowOffset + rules.pageSize, byteCount: rules.pageSize)
            tail.useShadow(
                value: shadow.window(at: tailOffset, byteCount: 4),
                eventIndex: index.window(at: tailOffset, byteCount: 4))
            head.useShadow(
                value: shadow.window(at: headOffset, byteCount: 4),
                eventIndex: index.window(at: headOffset, byteCount: 4))
        }
        return (tail, head)
    }
}
