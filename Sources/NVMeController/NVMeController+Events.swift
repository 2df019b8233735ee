import NVMe

/// What the controller knows about asynchronous events.
struct EventState {
    /// Identifiers of the event requests that wait, the oldest first.
    var parked: [UInt16] = []
    /// Identifiers of event requests that were aborted and whose completions haven't been written.
    var aborted: [UInt16] = []
    /// Events that haven't been told; each at most once.
    var waiting: [AsynchronousEvent] = []
    /// By type: the log page that has to be read before the next event of the type is told.
    var masked = InlineArray<8, LogPage?>(repeating: nil)
}

extension NVMeController {
    /// AERL + 1.
    static var eventRequestLimit: Int { 4 }

    /// Asynchronous Event Request.
    func park(_ entry: SubmissionEntry) -> Outcome {
        guard events.parked.count + events.aborted.count < NVMeController.eventRequestLimit else {
            return Outcome(.eventRequestLimitExceeded)
        }
        events.parked.append(entry.commandID)
        return .parked
    }

    /// Notes an event; it is told by ``deliverEvents()``.
    func raise(_ event: AsynchronousEvent) {
        guard status.isReady, !events.waiting.contains(event) else { return }
        events.waiting.append(event)
    }

    /// Tells events for which a request waits, as far as the admin completion queue has room.
    func deliverEvents() {
        guard takesCommands, let queue = submissionQueues[0] else { return }
        while !events.aborted.isEmpty, hasRoom(queue.completions) {
            end(queue, events.aborted.removeFirst(), Outcome(.abortRequested))
        }
        var index = 0
        while index < events.waiting.count, !events.parked.isEmpty, hasRoom(queue.completions) {
            let event = events.waiting[index]
            let kind = Int(event.kind.rawValue)
            guard events.masked[kind] == nil else {
                index += 1
                continue
            }
            events.waiting.remove(at: index)
            events.masked[kind] = event.logPage
            end(queue, events.parked.removeFirst(), Outcome(.success, result: event.rawValue))
        }
        interrupt(queue.completions)
        updateLine()
    }

    private func end(_ queue: SubmissionQueue, _ commandID: UInt16, _ outcome: Outcome) {
        var entry = SubmissionEntry(admin: .asynchronousEventRequest)
        entry.commandID = commandID
        complete(queue, entry, outcome)
    }

    /// A log page was read without RAE: its type of event may be told again.
    func unmask(_ page: LogPage) {
        for kind in events.masked.indices where events.masked[kind] == page { events.masked[kind] = nil }
    }

    /// Looks whether the temperature is beyond a threshold, and raises an event when it has just gone there.
    func checkTemperature() {
        let isBeyond =
            health.temperature >= features.overTemperature || health.temperature <= features.underTemperature
        let wasBeyond = health.criticalWarning & SMARTLog.CriticalWarning.temperature != 0
        if isBeyond {
            health.criticalWarning |= SMARTLog.CriticalWarning.temperature
        } else {
            health.criticalWarning &= ~SMARTLog.CriticalWarning.temperature
        }
        let wanted = features.eventConfiguration.rawValue & UInt32(SMARTLog.CriticalWarning.temperature)
        if isBeyond && !wasBeyond && wanted != 0 { raise(.temperature) }
    }
}
