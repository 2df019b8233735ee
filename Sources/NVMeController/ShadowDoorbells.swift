import DeviceModel
import IOVASpace
import LinuxSystem
import NVMe

/// Doorbell buffers (NVMe 1.4, 5.7): the driver writes its doorbells to memory, and rings a register only when
/// it passes the event index that the controller has left there.
struct ShadowDoorbells {
    /// The page with the driver's doorbells.
    var doorbells: IOVA
    /// The page with the controller's event indexes.
    var eventIndexes: IOVA
}

// The admin queue has no shadows: its doorbells are always rung.
extension NVMeController {
    private func tailOffset(_ queue: UInt16) -> UInt64 { 8 * UInt64(queue) }
    private func headOffset(_ queue: UInt16) -> UInt64 { 8 * UInt64(queue) + 4 }

    private func loadShadow(_ offset: UInt64) -> UInt32? {
        guard let shadow, let address = shadow.doorbells.advanced(by: offset) else { return nil }
        do throws(DMAFault) {
            return try function.dma.load(UInt32(0), from: address)
        } catch {
            fail()
            return nil
        }
    }

    private func storeEventIndex(_ offset: UInt64, _ value: UInt32) {
        guard let shadow, let address = shadow.eventIndexes.advanced(by: offset) else { return }
        do throws(DMAFault) {
            try function.dma.store(value, to: address)
        } catch {
            fail()
        }
    }

    /// Asks to be rung for whatever comes after the tail as known, and looks whether it has come already.
    /// - Returns: whether there are new entries.
    @discardableResult
    func refreshTail(_ queue: SubmissionQueue) -> Bool {
        guard shadow != nil, queue.id != 0, takesCommands else { return false }
        storeEventIndex(tailOffset(queue.id), queue.tail)
        // The driver stores its doorbell and then looks at the index; we store the index and then look at the
        // doorbell. With a fence on both sides, at least one of us sees the other's store.
        Fence.full()
        guard let value = loadShadow(tailOffset(queue.id)), value != queue.tail else { return false }
        guard value < queue.entries else {
            refuseDoorbell(.invalidDoorbellValue, queue.id)
            return false
        }
        queue.tail = value
        return true
    }

    /// Asks to be rung for the next completion that is taken, and looks which have been taken already.
    func refreshHead(_ queue: CompletionQueue) {
        guard shadow != nil, queue.id != 0, takesCommands else { return }
        storeEventIndex(headOffset(queue.id), queue.head)
        Fence.full()
        guard let value = loadShadow(headOffset(queue.id)), value != queue.head else { return }
        guard queue.take(head: value) else { return refuseDoorbell(.invalidDoorbellValue, queue.id) }
    }

    /// Looks at all shadows, as a doorbell is rung anyway: what was left by a driver that was too fast.
    func catchUpWithShadows() {
        guard shadow != nil, takesCommands else { return }
        // A queue that was never rung may still have its predecessor's value there.
        for case let queue? in submissionQueues where queue.id != 0 && queue.wasRung {
            if refreshTail(queue) { process(queue) }
        }
    }

    /// A new queue is rung from its first entry on, whatever its predecessor had asked for.
    func resetEventIndexes(submission queue: UInt16) { storeEventIndex(tailOffset(queue), 0) }
    /// A new queue is rung from its first entry on, whatever its predecessor had asked for.
    func resetEventIndexes(completion queue: UInt16) { storeEventIndex(headOffset(queue), 0) }

    /// Doorbell Buffer Config.
    func configureDoorbellBuffers(_ entry: SubmissionEntry) -> Outcome {
        guard settings.hasDoorbellBuffers else { return Outcome(.invalidOpcode) }
        guard pageRules.isValidFurther(entry.prp1), pageRules.isValidFurther(entry.prp2) else {
            return Outcome(.invalidField)
        }
        let page = UInt64(pageRules.pageSize)
        guard entry.prp1 <= .max - (page - 1), entry.prp2 <= .max - (page - 1) else {
            return Outcome(.invalidField)
        }
        let proposed = ShadowDoorbells(doorbells: IOVA(entry.prp1), eventIndexes: IOVA(entry.prp2))
        // Both pages have to be reachable now: later there is no command to tell an error by.
        do throws(DMAFault) {
            _ = try function.dma.load(UInt64(0), from: proposed.doorbells)
            let index = try function.dma.load(UInt64(0), from: proposed.eventIndexes)
            try function.dma.store(index, to: proposed.eventIndexes)
        } catch {
            return Outcome(.dataTransferError)
        }
        // Queues may be in use: the driver's shadows start from where its doorbells are.
        shadow = proposed
        for case let queue? in submissionQueues where queue.id != 0 { publish(queue) }
        for case let queue? in completionQueues where queue.id != 0 { publish(queue) }
        return .success
    }

    private func publish(_ queue: SubmissionQueue) {
        guard let shadow, let address = shadow.doorbells.advanced(by: tailOffset(queue.id)) else { return }
        do throws(DMAFault) { try function.dma.store(queue.tail, to: address) } catch { fail() }
        storeEventIndex(tailOffset(queue.id), queue.tail)
    }

    private func publish(_ queue: CompletionQueue) {
        guard let shadow, let address = shadow.doorbells.advanced(by: headOffset(queue.id)) else { return }
        do throws(DMAFault) { try function.dma.store(queue.head, to: address) } catch { fail() }
        storeEventIndex(headOffset(queue.id), queue.head)
    }
}
