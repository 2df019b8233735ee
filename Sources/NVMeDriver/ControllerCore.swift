import IOVASpace
import LinuxSystem
import NVMe
import Synchronization
import VFIO

/// Runs a part that only VFIO can refuse, and names the operation if it does.
func throughVFIO<T: ~Copyable>(
    _ operation: StaticString, _ device: String, _ body: () throws(VFIOError) -> T
) throws(NVMeError) -> T {
    do throws(VFIOError) {
        return try body()
    } catch {
        throw NVMeError(.vfio(error), "\(operation)", on: device)
    }
}

/// What a controller and all its queues share: registers, the admin queue, who has which queue.
///
/// Owners and order: every queue holds the core; the core holds the device. So the controller is shut down only
/// after the last queue was deleted. `deinit` disables the controller before the admin memory is freed, which
/// happens after `deinit` has run.
@safe final class ControllerCore: @unchecked Sendable {
    // SAFETY: everything that changes is changed while `lock` is held, but `epoch`, which is atomic.

    let device: Device
    let options: ControllerOptions
    let registers: ControllerRegisters
    let capabilities: ControllerCapabilities
    let version: Version
    /// CC.MPS: the controller's pages are 2 ^ (12 + this) bytes.
    let pageExponent: UInt8
    let lock = Lock()
    /// Goes up whenever the controller forgets its queues. A queue of another epoch is dead.
    let epoch = Atomic<UInt32>(0)

    /// Whether the controller takes commands.
    enum State { case running, stopped, closed }
    var state = State.stopped
    var admin: RequestQueue
    /// The admin queue, the scratch memory, and the two pages of shadow doorbells.
    let adminMemory: QueueMemory
    var interrupts: InterruptSource?
    /// Which queue identifiers are in use; index 0 is the admin queue, the last one that of the last queue that
    /// the controller grants.
    var usedQueues: [Bool] = [true]
    var usesShadowDoorbells = false
    var identity = IdentifyController()
    var commandSetLimits = IdentifyNVMController()
    var namespaces: [Namespace] = []
    /// Events that came while nobody asked, the oldest first.
    var events: [AsynchronousEvent] = []
    /// Events that were dropped because nobody asked for too long.
    var lostEventCount = 0

    /// Memory for the data of admin commands, of which one is under way at a time.
    static let scratchByteCount = 16384

    /// The controller's address, for messages.
    var name: String { registers.name }
    /// The controller's pages.
    var rules: PRPRules { PRPRules(pageSizeExponent: pageExponent) }

    /// Takes over a device: stops it, brings the admin queue up, identifies the controller.
    init(_ device: Device, _ options: ControllerOptions) throws(NVMeError) {
        let name = "\(device.id)"
        let classCode = try throughVFIO("open", name) { () throws(VFIOError) in
            try device.configuration.load32(8) >> 8
        }
        guard classCode == 0x010802 else { throw NVMeError(.notNVMe(classCode: classCode), "open", on: name) }
        try throughVFIO("open", name) { () throws(VFIOError) in
            try device.setMemoryEnabled(true)
        }
        let region = try throughVFIO("open", name) { () throws(VFIOError) in try device.region(.bar0) }
        let registers = ControllerRegisters(region: region, name: name)
        let capabilities = ControllerCapabilities(
            rawValue: try registers.load64(RegisterOffset.capabilities, "open"))
        guard capabilities.rawValue != .max else { throw NVMeError(.deviceGone, "open", on: name) }
        // The machine's own page where the controller has it, else the nearest one.
        let own = UInt8(pageSize.trailingZeroBitCount - 12)
        pageExponent = max(
            capabilities.minimumPageSizeExponent, min(own, capabilities.maximumPageSizeExponent))
        version = Version(rawValue: try registers.load32(RegisterOffset.version, "open"))
        self.device = device
        self.options = options
        self.registers = registers
        self.capabilities = capabilities
        let rules = PRPRules(pageSizeExponent: pageExponent)

        // Nothing may be written to memory by a controller that someone else left running; bus mastering comes
        // only after it has stopped.
        try Self.stop(registers, capabilities, device)

        let shape = QueueShape(
            entryCount: min(4096, max(2, options.adminEntryCount)), maximumTransfer: 1 << 20, rules: rules,
            sgl: .none, timeout: 0)
        let byteCount = shape.byteCount + Self.roundedScratch(rules) + 2 * rules.pageSize
        let memory = try throughVFIO("allocate the admin queue", name) { () throws(VFIOError) in
            try QueueMemory(in: device.addressSpace, byteCount: byteCount, alignment: rules.pageSize)
        }
        let doorbells = Doorbell(stride: capabilities.doorbellStride)
        let (tail, head) = try throughVFIO("open", name) { () throws(VFIOError) in
            (
                try QueueDoorbell(at: Int(doorbells.submissionTail(of: 0)), of: region),
                try QueueDoorbell(at: Int(doorbells.completionHead(of: 0)), of: region)
            )
        }
        admin = RequestQueue(
            identifier: 0, shape: shape, memory: memory.window.window(at: 0, byteCount: shape.byteCount),
            iova: memory.iova, tailDoorbell: tail, headDoorbell: head)
        adminMemory = memory
        try lock.withLock { () throws(NVMeError) in
            try start("open")
        }
    }

    deinit {
        // Nobody else is left, so no lock. An error can't be told here; `close` tells it.
        try? shutDown("close")
    }

    static func roundedScratch(_ rules: PRPRules) -> Int { max(scratchByteCount, rules.pageSize) }

    private var scratchOffset: Int { admin.shape.byteCount }
    /// The scratch memory here.
    var scratch: MemoryWindow {
        adminMemory.window.window(at: scratchOffset, byteCount: Self.scratchByteCount)
    }
    /// The scratch memory as the controller sees it.
    func scratchSegment(_ byteCount: Int) -> DMASegment {
        DMASegment(iova: adminMemory.iova.at(scratchOffset), byteCount: byteCount)
    }

    /// The page of shadow doorbells, and that of event indexes behind it.
    var shadowOffset: Int { scratchOffset + Self.roundedScratch(rules) }

    /// Makes an error about the controller as a whole.
    func failure(_ reason: NVMeError.Reason, _ operation: String) -> NVMeError {
        NVMeError(reason, operation, on: name)
    }

    /// Refuses work on a controller that doesn't take any. The lock is held.
    func checkRunning(_ operation: StaticString) throws(NVMeError) {
        switch state {
        case .running: return
        case .stopped: throw failure(.stopped, "\(operation)")
        case .closed: throw failure(.closed, "\(operation)")
        }
    }

    /// Looks whether the controller is still there and well.
    func checkAlive(_ operation: StaticString) throws(NVMeError) {
        let status = try registers.status(operation)
        if status.isFatal { throw failure(.controllerFatal, "\(operation)") }
    }
}
