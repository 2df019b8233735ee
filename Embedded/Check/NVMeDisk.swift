import IOVASpace
import LinuxSystem
import NVMe

/// The smallest driver of an NVMe disk: one command at a time, on two pairs of queues.
final class NVMeDisk {
    let machine: OpenDisk
    private static let entries = 8
    // By pair: 0 for admin commands, 1 for reading and writing.
    private var tails = InlineArray<2, Int>(repeating: 0)
    private var heads = InlineArray<2, Int>(repeating: 0)
    private var phases = InlineArray<2, Bool>(repeating: true)

    /// Enables the controller.
    init(_ machine: OpenDisk) throws(CheckFailure) {
        self.machine = machine
        let attributes = AdminQueueAttributes(
            submissionEntries: Self.entries, completionEntries: Self.entries)
        try machine.store32(RegisterOffset.adminQueueAttributes, attributes.rawValue)
        try storeAddress(RegisterOffset.adminSubmissionQueue, address(.adminSubmission))
        try storeAddress(RegisterOffset.adminCompletionQueue, address(.adminCompletion))
        var configuration = ControllerConfiguration(rawValue: 0)
        configuration.submissionEntrySizeExponent = SubmissionEntry.sizeExponent
        configuration.completionEntrySizeExponent = CompletionEntry.sizeExponent
        configuration.isEnabled = true
        try machine.store32(RegisterOffset.configuration, configuration.rawValue)
        let status = ControllerStatus(rawValue: try machine.load32(RegisterOffset.status))
        try require(status.isReady && !status.isFatal, "the controller doesn't become ready")
    }

    /// Where devices see a page.
    func address(_ page: Page) -> IOVA { IOVA(machine.iova + UInt64(page.rawValue * pageSize)) }

    /// Where this program sees it.
    func memory(_ page: Page) -> MemoryWindow {
        machine.memory.window.window(at: page.rawValue * pageSize, byteCount: pageSize)
    }

    func expectInterrupt() throws(CheckFailure) {
        let count = try attempt("take the interrupt") { () throws(Errno) in try machine.interrupt.take() }
        try require(count == 1, "the interrupt wasn't signalled once")
    }

    /// Makes the pair of queues for reading and writing, without interrupts.
    func createQueues() throws(CheckFailure) {
        try run(
            admin: .createCompletionQueue(
                1, entries: Self.entries, address: address(.completion).rawValue, vector: nil),
            data: nil, expecting: .success)
        try run(
            admin: .createSubmissionQueue(
                1, entries: Self.entries, address: address(.submission).rawValue, completionQueueID: 1),
            data: nil, expecting: .success)
    }

    func run(
        admin entry: SubmissionEntry, data: Page?, expecting status: Status
    ) throws(CheckFailure) {
        try run(entry, data, pair: 0, .adminSubmission, .adminCompletion, status)
    }

    func run(io entry: SubmissionEntry, data: Page, expecting status: Status) throws(CheckFailure) {
        try run(entry, data, pair: 1, .submission, .completion, status)
    }

    private func run(
        _ entry: SubmissionEntry, _ data: Page?, pair: Int, _ submission: Page, _ completion: Page,
        _ expected: Status
    ) throws(CheckFailure) {
        var entry = entry
        entry.commandID = UInt16(tails[pair])
        if let data { entry.setPRP(address(data).rawValue) }
        memory(submission).store(entry, at: tails[pair] * SubmissionEntry.size)
        tails[pair] = (tails[pair] + 1) % Self.entries
        Fence.beforeDoorbell()
        let doorbell = Doorbell(stride: 0)
        try machine.store32(doorbell.submissionTail(of: UInt16(pair)), UInt32(tails[pair]))

        let answer = memory(completion).load(CompletionEntry.self, at: heads[pair] * CompletionEntry.size)
        try require(answer.phase == phases[pair], "a command isn't completed")
        try require(answer.commandID == entry.commandID, "another command is completed")
        // The status alone: "more" and "do not retry" are the controller's choice.
        try require(
            answer.status.kind == expected.kind && answer.status.code == expected.code,
            "a command ends with another status")
        heads[pair] += 1
        if heads[pair] == Self.entries {
            heads[pair] = 0
            phases[pair].toggle()
        }
        try machine.store32(doorbell.completionHead(of: UInt16(pair)), UInt32(heads[pair]))
    }

    private func storeAddress(_ register: UInt64, _ address: IOVA) throws(CheckFailure) {
        try machine.store32(register, UInt32(truncatingIfNeeded: address.rawValue))
        try machine.store32(register + 4, UInt32(truncatingIfNeeded: address.rawValue >> 32))
    }
}
