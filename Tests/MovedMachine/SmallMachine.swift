import DeviceModel
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import VFIO
import VFIOGuest
import VFIOHost

/// A small virtual machine that can be moved: RAM in two blocks, three devices that copy memory, and a guest that never
/// stops writing (``GuestProgram``), on a software host of its own.
public final class SmallMachine: GuestProcessors, @unchecked Sendable {
    /// The host.
    public let host: SoftwareHost
    /// The devices, as the host has them.
    public let models: [Educational]
    /// The memory map.
    public let memory: GuestMemory
    /// What the devices and the processor see.
    public let space: GuestAddressSpace
    /// The RAM.
    public let blocks: [RAMBlock]
    private let movables: [MovableDevice]
    private let states: [any MovableState]
    /// What is to be moved. Keeps the machine.
    public var movable: MovableGuest {
        MovableGuest(
            memory, blocks: blocks, devices: movables, processors: self,
            states: [ProcessorState(self), Digest(self)] + states)
    }
    /// The devices.
    public let devices: [GuestDevice]

    private let regions: [Region]
    private let lock = Lock()
    /// How many wait for the lock; the processor's thread, which has it nearly always, then stands back.
    private let waiting = AtomicWord()
    private let changed = Condition()
    // Guarded by the lock.
    private var program: GuestProgram
    private var isPaused = true
    private var isParked = true
    private var isOver = false
    private var error: String?
    private var thread: WorkerThread?

    /// Where the devices are on the host.
    public static func address(_ index: Int) -> PCIAddress {
        PCIAddress(bus: UInt8(index + 1), device: 0, function: 0)
    }

    /// What can be different from the usual machine.
    public struct Shape: Sendable {
        /// Pages of the first block of RAM: at least 16.
        public var pages = 64
        /// Pages of the second.
        public var highPages = 16
        /// How many devices: 1 to 3.
        public var devices = 3
        /// The driver on the host.
        public var driver = "software-vfio-pci"
        /// The devices' names; nil for "device0" and so on.
        public var names: [String]?
        /// Whether the devices can be reset.
        public var canReset = true
        /// Whether the guest drives its devices, and not only writes to memory.
        public var drivesDevices = true
        /// The width of their DMA engines' addresses.
        public var mask = Educational.defaultDMAMask

        /// The usual machine.
        public init() {}
    }

    /// Makes one; its processor is paused.
    /// - Parameter route: how the devices are opened.
    public init(
        seed: UInt64, _ shape: Shape = Shape(), route: RouteChoice = .group, states: [any MovableState] = []
    ) throws {
        models = (0..<shape.devices).map { _ in
            shape.canReset ? Educational.express(dmaMask: shape.mask) : Educational(dmaMask: shape.mask)
        }
        var description = MachineDescription()
        description.groups = models.enumerated().map { index, model in
            IOMMUGroup(
                index + 1, devices: [PCIDevice(model, at: Self.address(index), driver: shape.driver)])
        }
        host = try SoftwareHost(description)
        memory = GuestMemory()
        let system = try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory)
        space = GuestAddressSpace("memory", showing: system)
        blocks = [
            try RAMBlock("ram", byteCount: shape.pages * pageSize),
            try RAMBlock("high", byteCount: shape.highPages * pageSize),
        ]
        try system.add(MemoryRegion(ram: blocks[0], in: memory), at: 0)
        try system.add(MemoryRegion(ram: blocks[1], in: memory), at: 1 << 32)
        let owner = GuestDevices(on: host, for: memory, route)
        var devices: [GuestDevice] = []
        var regions: [Region] = []
        for index in models.indices {
            let device = try owner.attach(Self.address(index), to: space)
            try device.device.setBusMaster(true)
            try device.device.setMemoryEnabled(true)
            regions.append(try device.device.region(.bar0))
            devices.append(device)
        }
        self.devices = devices
        self.regions = regions
        let noise: [ClosedRange<UInt64>] = [
            0xa000...blocks[0].byteCount - 1, (1 << 32)...(1 << 32) + blocks[1].byteCount - 1,
        ]
        program = GuestProgram(
            GuestProgram.Registers(seed: seed), space, regions, noise: noise, drives: shape.drivesDevices)
        let names = shape.names ?? devices.indices.map { "device\($0)" }
        movables = zip(devices, names).map { MovableDevice($0, named: $1) }
        self.states = states
        thread = try WorkerThread { [weak self] in
            while let self, self.turn() {}
        }
    }

    deinit { end() }

    /// Ends the guest's processor for good. Needed: its thread keeps the machine alive while it waits.
    public func end() {
        let thread = withLock { () -> WorkerThread? in
            isOver = true
            changed.wakeAll()
            defer { self.thread = nil }
            return self.thread
        }
        withExtendedLifetime(thread) {}
    }

    private func withLock<R>(_ body: () throws -> R) rethrows -> R {
        waiting.add(1)
        lock.lock()
        waiting.add(.max)
        defer { lock.unlock() }
        return try body()
    }

    // MARK: the processor

    /// One step of the guest, or a while of waiting.
    /// - Returns: false when it is over.
    private func turn() -> Bool {
        if waiting.load() != 0 { Clock.sleep(nanoseconds: 20_000) }
        lock.lock()
        defer { lock.unlock() }
        if isOver { return false }
        if isPaused || error != nil {
            isParked = true
            changed.wakeAll()
            changed.wait(for: lock, until: Clock.moment(inMilliseconds: 100))
            return !isOver
        }
        isParked = false
        do {
            for _ in 0..<8 { try program.step() }
        } catch {
            self.error = "\(error)"
        }
        return true
    }

    /// Stops the processor.
    public func pause() {
        withLock {
            isPaused = true
            while !isParked && !isOver { changed.wait(for: lock) }
        }
    }

    /// Lets it go on.
    public func resume() {
        withLock {
            isPaused = false
            isParked = false
            changed.wakeAll()
        }
    }

    /// Whether it is paused.
    public var paused: Bool { withLock { isPaused } }
    /// How many steps the guest has made.
    public var steps: UInt64 { withLock { program.registers.steps } }
    /// What went wrong in the guest; nil if nothing did.
    public var complaint: String? { withLock { error ?? program.complaint } }

    /// Waits until the guest has made so many more steps.
    /// - Returns: whether it has, within 20 seconds.
    public func runs(_ count: UInt64) -> Bool {
        let target = steps + count
        let deadline = Clock.moment(inMilliseconds: 20_000)
        while Clock.now < deadline {
            if steps >= target { return complaint == nil }
            if complaint != nil { return false }
            Clock.sleep(nanoseconds: 500_000)
        }
        return false
    }

    fileprivate var registers: GuestProgram.Registers {
        get { withLock { program.registers } }
        set { withLock { program.registers = newValue } }
    }

    /// A number that stands for all of the stopped machine: each byte of memory, each register of the devices, their
    /// configuration spaces, the processor.
    public func digest() throws -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func mix(_ word: UInt64) {
            hash = (hash ^ word) &* 0x9fb2_1c65_1e98_df25
            hash ^= hash >> 31
        }
        for block in blocks {
            for offset in stride(from: 0, to: Int(block.byteCount), by: 8) {
                mix(block.window.load64(offset))
            }
        }
        for (model, device) in zip(models, devices) {
            var writer = StateWriter()
            model.saveState(to: &writer)
            for byte in writer.bytes { mix(UInt64(byte)) }
            for byte in try DeviceConfigurationState(of: device.device).bytes { mix(UInt64(byte)) }
        }
        for word in registers.words { mix(word) }
        return hash
    }
}

/// For the time before the machine exists.
/// The processor's registers.
private final class ProcessorState: MovableState, @unchecked Sendable {
    private weak var machine: SmallMachine?
    let name = "processor"
    init(_ machine: SmallMachine) { self.machine = machine }

    func save() throws(VFIOGuestError) -> [UInt8] {
        var writer = StateWriter()
        for word in machine?.registers.words ?? [] { writer.append(word) }
        return writer.bytes
    }

    func load(_ bytes: [UInt8]) throws(VFIOGuestError) {
        var reader = StateReader(bytes)
        var words: [UInt64] = []
        while let word = try? reader.next(UInt64.self) { words.append(word) }
        guard let registers = GuestProgram.Registers(words: words) else {
            throw VFIOGuestError(operation: "take over registers", object: name, cause: "they aren't ones")
        }
        machine?.registers = registers
    }
}

/// Compares both sides, byte by byte: the source sends what stands for all of its machine, and the destination refuses
/// what isn't equal. The last of the states.
private final class Digest: MovableState, @unchecked Sendable {
    private weak var machine: SmallMachine?
    let name = "digest"
    init(_ machine: SmallMachine) { self.machine = machine }

    private func own() throws(VFIOGuestError) -> UInt64 {
        do {
            return try machine?.digest() ?? 0
        } catch {
            throw VFIOGuestError(operation: "compare both sides", object: name, cause: "\(error)")
        }
    }

    func save() throws(VFIOGuestError) -> [UInt8] {
        var writer = StateWriter()
        writer.append(try own())
        return writer.bytes
    }

    func load(_ bytes: [UInt8]) throws(VFIOGuestError) {
        var reader = StateReader(bytes)
        let theirs = try? reader.next(UInt64.self)
        guard theirs == (try own()) else {
            throw VFIOGuestError(
                operation: "compare both sides", object: name, cause: "the two machines aren't equal")
        }
    }
}
