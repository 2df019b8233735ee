import DeviceModel
import NVMe

/// The queues of a saved state, each checked to be one that this controller could have made itself.
struct SavedQueues {
    private(set) var submission: [SubmissionQueue?]
    private(set) var completion: [CompletionQueue?]

    init(
        _ reader: inout StateReader, _ settings: NVMeController.Settings, _ rules: PRPRules, isReady: Bool
    ) throws(MigrationError) {
        let places = settings.queuePairs + 1
        submission = [SubmissionQueue?](repeating: nil, count: places)
        completion = [CompletionQueue?](repeating: nil, count: places)
        for _ in 0..<(try reader.next(UInt16.self)) {
            let queue = try CompletionQueue(&reader, settings)
            guard completion[Int(queue.id)] == nil, rules.isValidFurther(queue.address) else {
                throw .malformed
            }
            completion[Int(queue.id)] = queue
        }
        for _ in 0..<(try reader.next(UInt16.self)) {
            let queue = try SubmissionQueue(&reader, settings, completion)
            guard submission[Int(queue.id)] == nil, rules.isValidFurther(queue.address) else {
                throw .malformed
            }
            submission[Int(queue.id)] = queue
        }
        // The admin queues are there exactly while the controller is ready, and no queues are without them.
        guard (submission[0] != nil) == isReady, (completion[0] != nil) == isReady,
            isReady || !completion.contains(where: { $0 != nil })
        else { throw .malformed }
    }
}

/// How many entries a queue may have.
private func entryLimit(of id: UInt16, _ settings: NVMeController.Settings) -> UInt32 {
    // AQA has twelve bits for each of the admin queues, and they mean one more.
    id == 0 ? 4096 : UInt32(settings.queueEntries)
}

extension CompletionQueue {
    func save(to writer: inout StateWriter) {
        writer.append(id)
        writer.append(address)
        writer.append(entries)
        writer.append(vector >= 0)
        if vector >= 0 { writer.append(UInt16(vector)) }
        writer.append(head)
        writer.append(tail)
        writer.append(phase)
        writer.append(needsInterrupt)
    }

    convenience init(
        _ reader: inout StateReader, _ settings: NVMeController.Settings
    ) throws(MigrationError) {
        let last = UInt16(settings.queuePairs)
        let id = try reader.next(in: 0...last)
        let address = try reader.next(UInt64.self)
        let entries = try reader.next(in: 2...entryLimit(of: id, settings))
        let interrupts = try reader.nextFlag()
        let vector = interrupts ? Int(try reader.next(in: 0...last)) : -1
        self.init(id: id, address: address, entries: Int(entries), vector: vector)
        head = try reader.next(in: 0...entries - 1)
        tail = try reader.next(in: 0...entries - 1)
        phase = try reader.nextFlag()
        needsInterrupt = try reader.nextFlag()
    }
}

extension SubmissionQueue {
    func save(to writer: inout StateWriter) {
        writer.append(id)
        writer.append(address)
        writer.append(entries)
        writer.append(completions.id)
        writer.append(head)
        writer.append(tail)
        writer.append(wasRung)
    }

    convenience init(
        _ reader: inout StateReader, _ settings: NVMeController.Settings, _ all: [CompletionQueue?]
    ) throws(MigrationError) {
        let last = UInt16(settings.queuePairs)
        let id = try reader.next(in: 0...last)
        let address = try reader.next(UInt64.self)
        let entries = try reader.next(in: 2...entryLimit(of: id, settings))
        let completionID = try reader.next(in: 0...last)
        // The admin queues belong together, and to nobody else.
        guard (id == 0) == (completionID == 0), let completions = all[Int(completionID)] else {
            throw .malformed
        }
        self.init(id: id, address: address, entries: Int(entries), completions: completions)
        head = try reader.next(in: 0...entries - 1)
        tail = try reader.next(in: 0...entries - 1)
        wasRung = try reader.nextFlag()
        completions.submissionQueueCount += 1
    }
}
