import DeviceModel
import NVMe

extension NVMeController {
    /// Carries out a command of the admin queue.
    func admin(_ entry: SubmissionEntry) -> Outcome {
        if events.parked.contains(entry.commandID) { return Outcome(.commandIDConflict) }
        guard entry.fuse == .none else { return Outcome(.invalidField) }
        switch AdminOpcode(rawValue: entry.opcode) {
        case .deleteSubmissionQueue: return deleteSubmissionQueue(entry)
        case .createSubmissionQueue: return createSubmissionQueue(entry)
        case .getLogPage: return getLogPage(entry)
        case .deleteCompletionQueue: return deleteCompletionQueue(entry)
        case .createCompletionQueue: return createCompletionQueue(entry)
        case .identify: return identify(entry)
        case .abort: return abort(entry)
        case .setFeatures: return setFeatures(entry)
        case .getFeatures: return getFeatures(entry)
        case .asynchronousEventRequest: return park(entry)
        case .doorbellBufferConfig: return configureDoorbellBuffers(entry)
        default: return Outcome(.invalidOpcode)
        }
    }

    /// The admin commands the controller has, for the log page that tells it.
    static let adminCommands: [AdminOpcode] = [
        .deleteSubmissionQueue, .createSubmissionQueue, .getLogPage, .deleteCompletionQueue,
        .createCompletionQueue, .identify, .abort, .setFeatures, .getFeatures, .asynchronousEventRequest,
    ]

    /// Sends a structure to where a command wants it.
    func answer(_ entry: SubmissionEntry, _ bytes: [UInt8], byteCount: Int, from start: Int = 0) -> Outcome {
        if let problem = transfer.collect(entry, byteCount, pageRules, allowsSGL: false) {
            return Outcome(problem)
        }
        return Outcome(transfer.send(bytes, from: start))
    }

    // MARK: queues

    private func isQueueID(_ id: UInt16) -> Bool { id >= 1 && Int(id) <= settings.queuePairs }

    /// What is the same for both kinds of queues.
    private func queueProblem(_ entry: SubmissionEntry, entryExponentFits: Bool) -> Status? {
        guard entry.queueSizeZeroBased >= 1, Int(entry.queueSizeZeroBased) < settings.queueEntries,
            entryExponentFits
        else { return .invalidQueueSize }
        guard entry.queueIsContiguous, entry.dataPointerKind == .prp else { return .invalidField }
        guard pageRules.isValidFurther(entry.prp1) else { return .invalidPRPOffset }
        return nil
    }

    private func createCompletionQueue(_ entry: SubmissionEntry) -> Outcome {
        let id = entry.queueID
        guard isQueueID(id), completionQueue(id) == nil else { return Outcome(.invalidQueueID) }
        let fits = configuration.completionEntrySizeExponent == CompletionEntry.sizeExponent
        if let problem = queueProblem(entry, entryExponentFits: fits) { return Outcome(problem) }
        var vector = -1
        if entry.queueInterruptsEnabled {
            vector = Int(entry.queueInterruptVector)
            // Without MSI-X there is one interrupt only.
            let vectors = function.msix?.isEnabled == true ? settings.queuePairs + 1 : 1
            guard vector < vectors else { return Outcome(.invalidInterruptVector) }
        }
        completionQueues[Int(id)] = CompletionQueue(
            id: id, address: entry.prp1, entries: Int(entry.queueSizeZeroBased) + 1, vector: vector)
        resetEventIndexes(completion: id)
        return .success
    }

    private func createSubmissionQueue(_ entry: SubmissionEntry) -> Outcome {
        let id = entry.queueID
        guard isQueueID(id), submissionQueue(id) == nil else { return Outcome(.invalidQueueID) }
        let completionID = entry.queueCompletionQueueID
        guard isQueueID(completionID) else { return Outcome(.invalidQueueID) }
        guard let completions = completionQueue(completionID) else { return Outcome(.invalidCompletionQueue) }
        let fits = configuration.submissionEntrySizeExponent == SubmissionEntry.sizeExponent
        if let problem = queueProblem(entry, entryExponentFits: fits) { return Outcome(problem) }
        submissionQueues[Int(id)] = SubmissionQueue(
            id: id, address: entry.prp1, entries: Int(entry.queueSizeZeroBased) + 1, completions: completions)
        completions.submissionQueueCount += 1
        resetEventIndexes(submission: id)
        return .success
    }

    private func deleteSubmissionQueue(_ entry: SubmissionEntry) -> Outcome {
        let id = entry.queueID
        guard isQueueID(id), let queue = submissionQueue(id) else { return Outcome(.invalidQueueID) }
        // What waited for room in the completion queue is told, as far as there is room now.
        while !queue.isEmpty, hasRoom(queue.completions), let waiting = fetch(queue) {
            complete(queue, waiting, Outcome(.abortedQueueDeletion))
        }
        interrupt(queue.completions)
        submissionQueues[Int(id)] = nil
        queue.completions.submissionQueueCount -= 1
        return .success
    }

    private func deleteCompletionQueue(_ entry: SubmissionEntry) -> Outcome {
        let id = entry.queueID
        guard isQueueID(id), let queue = completionQueue(id) else { return Outcome(.invalidQueueID) }
        guard queue.submissionQueueCount == 0 else { return Outcome(.invalidQueueDeletion) }
        completionQueues[Int(id)] = nil
        return .success
    }

    // MARK: abort

    /// Every command but an event request has ended before the next begins, so only those can be aborted. Bit 0
    /// of the result says that nothing was.
    private func abort(_ entry: SubmissionEntry) -> Outcome {
        guard entry.abortSubmissionQueueID == 0,
            let index = events.parked.firstIndex(of: entry.abortCommandID)
        else { return Outcome(.success, result: 1) }
        events.parked.remove(at: index)
        events.aborted.append(entry.abortCommandID)
        return Outcome(.success, result: 0)
    }
}
