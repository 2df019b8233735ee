import DeviceModel
import LinuxSystem
import NVMe
import NVMeController
import Testing

/// A pair of queues as a driver keeps it.
final class TestQueue {
    let id: UInt16
    let submission: UInt64
    let completion: UInt64
    let entries: UInt32
    let completionEntries: UInt32
    var tail: UInt32 = 0
    var head: UInt32 = 0
    var phase = true
    var nextID: UInt16 = 0

    init(
        id: UInt16, submission: UInt64, completion: UInt64, entries: UInt32, completionEntries: UInt32
    ) {
        self.id = id
        self.submission = submission
        self.completion = completion
        self.entries = entries
        self.completionEntries = completionEntries
    }
}

/// A controller in a slot, and the little driver that tests are written with.
final class Rig {
    let slot: TestSlot
    private(set) var controller: NVMeController
    private let namespaces: [NVMeNamespace]
    let store: MemoryStore
    private(set) var adminQueue: TestQueue

    static let blockSize = 512
    static let blocks = 4096

    init(
        bringUp: Bool = true, namespaces: Int = 1, settings: NVMeController.Settings = .init(),
        store given: (any BlockStore)? = nil, messages: Bool = true
    ) throws {
        slot = try TestSlot()
        store = try MemoryStore(byteCount: UInt64(Rig.blocks * Rig.blockSize))
        var list = [try NVMeNamespace(given ?? store)]
        for _ in 1..<max(namespaces, 1) {
            list.append(try NVMeNamespace(MemoryStore(byteCount: 64 << 10), blockSize: 4096))
        }
        self.namespaces = list
        controller = NVMeController(list, settings: settings)
        controller.function.plug(into: slot)
        controller.function.configuration.write(
            UInt32(PCIConfiguration.Command.busMaster | PCIConfiguration.Command.memory),
            at: PCIConfiguration.Register.command, width: 2)
        adminQueue = TestQueue(
            id: 0, submission: slot.allocate(), completion: slot.allocate(), entries: 32,
            completionEntries: 32)
        if messages { enableMessages() }
        if bringUp { self.bringUp() }
    }

    /// Moves the controller to another host with the same memory and disks: from now on there is a new one.
    /// - Parameters:
    ///   - meanwhile: what happens while other devices are spared, before and after.
    func move(_ meanwhile: (Rig) -> Void = { _ in }) throws {
        var source = DeviceMigration(controller)
        try source.move(to: .preCopyP2P)
        meanwhile(self)
        try source.move(to: .stopCopy)
        var state = [UInt8](repeating: 0, count: 64 << 10)
        let model = NVMeController(namespaces, settings: controller.settings)
        var target = DeviceMigration(model)
        try target.move(to: .resuming)
        while true {
            var span = state.mutableSpan
            var bytes = span.mutableBytes
            let count = try source.read(into: &bytes)
            if count == 0 { break }
            try target.write(state.span.bytes.extracting(first: count))
        }
        model.function.plug(into: slot)
        controller = model
        try target.move(to: .runningP2P)
        meanwhile(self)
        try target.move(to: .running)
    }

    func enableMessages() {
        guard let msix = controller.function.configuration.capability(0x11) else { return }
        controller.function.configuration.write(0x8000, at: msix + 2, width: 2)
        for vector in 0...controller.settings.queuePairs { controller.function.msix?.setMask(vector, false) }
    }

    // MARK: registers

    func write(_ offset: UInt64, _ value: UInt32) {
        controller.storeBAR(0, offset: offset, width: 4, value: UInt64(value))
    }
    func write64(_ offset: UInt64, _ value: UInt64) {
        controller.storeBAR(0, offset: offset, width: 8, value: value)
    }
    func read(_ offset: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: controller.loadBAR(0, offset: offset, width: 4))
    }
    var status: ControllerStatus { ControllerStatus(rawValue: read(RegisterOffset.status)) }

    static let enabled: UInt32 = 0x0046_0001

    func bringUp(configuration: UInt32 = Rig.enabled) {
        for address in [adminQueue.submission, adminQueue.completion] {
            slot.fill(address, [UInt8](repeating: 0, count: 4096))
        }
        adminQueue = TestQueue(
            id: 0, submission: adminQueue.submission, completion: adminQueue.completion, entries: 32,
            completionEntries: 32)
        write(
            RegisterOffset.adminQueueAttributes,
            AdminQueueAttributes(submissionEntries: 32, completionEntries: 32).rawValue)
        write64(RegisterOffset.adminSubmissionQueue, adminQueue.submission)
        write64(RegisterOffset.adminCompletionQueue, adminQueue.completion)
        write(RegisterOffset.configuration, configuration)
    }

    // MARK: queues

    /// Puts a command into a queue, without telling the controller.
    @discardableResult
    func place(_ entry: SubmissionEntry, on queue: TestQueue) -> UInt16 {
        var entry = entry
        entry.commandID = queue.nextID
        queue.nextID &+= 1
        slot.store(entry, at: queue.submission + UInt64(queue.tail) * 64)
        queue.tail = (queue.tail + 1) % queue.entries
        return entry.commandID
    }

    func ring(_ queue: TestQueue) {
        write(Doorbell(stride: 0).submissionTail(of: queue.id), queue.tail)
    }

    /// Takes what has been completed.
    func reap(_ queue: TestQueue, ringing: Bool = true) -> [CompletionEntry] {
        var list: [CompletionEntry] = []
        while true {
            let entry = slot.load(CompletionEntry.self, at: queue.completion + UInt64(queue.head) * 16)
            guard entry.phase == queue.phase, list.count < Int(queue.completionEntries) else { break }
            list.append(entry)
            queue.head += 1
            if queue.head == queue.completionEntries {
                queue.head = 0
                queue.phase.toggle()
            }
        }
        if ringing && !list.isEmpty {
            write(Doorbell(stride: 0).completionHead(of: queue.id), queue.head)
        }
        return list
    }

    /// One command, and its completion.
    func run(_ entry: SubmissionEntry, on queue: TestQueue) -> CompletionEntry? {
        let id = place(entry, on: queue)
        ring(queue)
        let list = reap(queue)
        #expect(list.count == 1)
        #expect(list.first?.commandID == id)
        return list.first
    }

    func admin(_ entry: SubmissionEntry) -> CompletionEntry? { run(entry, on: adminQueue) }

    /// A pair of I/O queues.
    func makeQueue(_ id: UInt16, entries: Int = 64, completionEntries: Int? = nil, vector: UInt16? = nil)
        -> TestQueue
    {
        let completionEntries = completionEntries ?? entries
        let queue = TestQueue(
            id: id, submission: slot.allocate((entries * 64 + 4095) / 4096),
            completion: slot.allocate((completionEntries * 16 + 4095) / 4096), entries: UInt32(entries),
            completionEntries: UInt32(completionEntries))
        #expect(
            admin(
                .createCompletionQueue(
                    id, entries: completionEntries, address: queue.completion, vector: vector ?? id))?
                .status == .success)
        #expect(
            admin(
                .createSubmissionQueue(id, entries: entries, address: queue.submission, completionQueueID: id)
            )?
            .status == .success)
        return queue
    }

    /// Identify or a log page, as bytes.
    func page(_ entry: SubmissionEntry, count: Int = 4096) -> [UInt8] {
        var entry = entry
        let buffer = slot.allocate()
        entry.setPRP(buffer)
        guard let completion = admin(entry), completion.status.isSuccess else { return [] }
        return slot.bytes(at: buffer, count: count)
    }

    /// What a block of the first namespace has in it.
    func stored(_ block: Int, count: Int = 1) throws -> [UInt8] {
        let memory = try Mapping(anonymous: count * Rig.blockSize)
        let window = memory.window.window(at: 0, byteCount: count * Rig.blockSize)
        try store.read(at: UInt64(block * Rig.blockSize), into: window)
        return (0..<window.byteCount).map { window.load8($0) }
    }

    static func pattern(_ count: Int, _ seed: UInt8 = 1) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) &+ seed }
    }
}
