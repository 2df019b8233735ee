import LinuxSystem
import NVMe
import VFIO
import VFIOHost

/// An NVMe controller, driven through VFIO.
///
/// There are three levels, which can be mixed:
/// 1. one call does it all: ``read(blocks:of:)`` and its like, from any thread;
/// 2. a ``QueuePair`` with requests in flight, for a thread of its own;
/// 3. a ``RawQueuePair``: bare rings.
///
/// ```swift
/// let ssd = try Controller(opening: "0000:01:00.0", on: host)
/// var block = [UInt8](repeating: 0, count: 4096)
/// try ssd.read(blocks: 0..<8, into: &block)
/// try ssd.close()
/// ```
///
/// ``close()`` tells the controller to bring everything to a safe place and gives the device back. Without it
/// the same happens, errors unheard, when the controller and all queue pairs made by it have gone.
public final class Controller: Sendable {
    let core: ControllerCore
    private let lanes: [Lane]

    /// Opens a device and brings the controller up.
    /// - Parameters:
    ///   - address: where it sits.
    ///   - host: who answers VFIO's requests.
    /// - Throws: `.vfio` if the device can't be opened, `.notNVMe` if it is something else, and what
    ///   ``init(_:_:)`` throws.
    public convenience init(
        opening address: PCIAddress, on host: any Host, _ options: ControllerOptions = ControllerOptions()
    ) throws(NVMeError) {
        let device = try throughVFIO("open", "\(address)") { () throws(VFIOError) in
            try Device(opening: address, on: host, options.route)
        }
        try self.init(device, options)
    }

    /// Opens a device, named as "0000:01:00.0", and brings the controller up.
    public convenience init(
        opening address: String, on host: any Host, _ options: ControllerOptions = ControllerOptions()
    ) throws(NVMeError) {
        guard let parsed = PCIAddress(address) else {
            throw NVMeError(.badAddress(address), "open", on: address)
        }
        try self.init(opening: parsed, on: host, options)
    }

    /// Brings up the controller of a device that is open already.
    /// - Throws: `.notNVMe`, `.deviceGone`, `.timedOut`, `.controllerFatal`, `.unsupported`, `.status` of an
    ///   admin command that it needs, `.vfio`.
    public init(_ device: Device, _ options: ControllerOptions = ControllerOptions()) throws(NVMeError) {
        let core = try ControllerCore(device, options)
        self.core = core
        var lanes: [Lane] = []
        let queueCount = core.lock.withLock { core.usedQueues.count - 1 }
        for _ in 0..<max(0, min(options.sharedQueueCount, queueCount)) { lanes.append(try Lane(core)) }
        self.lanes = lanes
    }

    /// Lets the controller bring everything to a safe place, stops it and takes its interrupts and bus mastering.
    ///
    /// The queue pairs that still exist are dead from then on; what they had in flight is cancelled. The device
    /// itself is closed when the last of them and this object have gone.
    /// - Throws: `.timedOut` if the controller didn't complete the shutdown; it has been stopped all the same.
    public func close() throws(NVMeError) {
        for lane in lanes { lane.close() }
        try core.lock.withLock { () throws(NVMeError) in try core.shutDown("close") }
    }

    /// Stops the controller and starts it again. All queues are lost and what was in flight is cancelled; the
    /// queues of the one-call operations come back by themselves, others with ``QueuePair/restart()``.
    /// - Parameter throughDevice: resets the whole device (VFIO_DEVICE_RESET), not the controller only.
    public func reset(throughDevice: Bool = false) throws(NVMeError) {
        try core.lock.withLock { () throws(NVMeError) in
            try core.restart("reset", throughDevice: throughDevice)
        }
    }

    // MARK: What it is

    /// The device.
    public var device: Device { core.device }
    /// The device's address, e.g. "0000:01:00.0".
    public var name: String { core.name }
    /// CAP: what the controller can do.
    public var capabilities: ControllerCapabilities { core.capabilities }
    /// The version of NVMe that the controller has.
    public var version: Version { core.version }
    /// What Identify told of the controller when it was started.
    public var identity: IdentifyController { core.lock.withLock { core.identity } }
    /// The bytes of the pages that the controller works with (CC.MPS).
    public var pageByteCount: Int { core.rules.pageSize }
    /// The most bytes of one command.
    public var maximumTransfer: Int { core.lock.withLock { core.maximumTransfer } }
    /// The active namespaces, as of the last time they were identified.
    public var namespaces: [Namespace] { core.lock.withLock { core.namespaces } }
    /// How many I/O queue pairs the controller granted.
    public var queuePairCount: Int { core.lock.withLock { core.usedQueues.count - 1 } }
    /// How many interrupt vectors are in use; 0 when it is polled.
    public var interruptCount: Int { core.lock.withLock { core.interrupts?.count ?? 0 } }
    /// Whether shadow doorbells are in use.
    public var usesShadowDoorbells: Bool { core.lock.withLock { core.usesShadowDoorbells } }
    /// Whether an SGL may describe a command's memory.
    public var supportsSGL: Bool { core.lock.withLock { core.sglSupport != .none } }

    /// A namespace by its identifier; nil if it isn't active.
    public func namespace(_ identifier: UInt32) -> Namespace? {
        core.lock.withLock { core.namespaces.first { $0.identifier == identifier } }
    }

    /// The first namespace that can be read and written, which the one-call operations use unless told
    /// otherwise.
    /// - Throws: `.noNamespace` if there is none at all, `.unusableNamespace` if all have an obstacle.
    public func defaultNamespace() throws(NVMeError) -> Namespace {
        let all = namespaces
        if let usable = all.first(where: { $0.obstacle == nil }) { return usable }
        guard let first = all.first, let obstacle = first.obstacle else {
            throw NVMeError(.noNamespace, "use", on: name)
        }
        throw NVMeError(.unusableNamespace(obstacle), "use", on: name, namespace: first.identifier)
    }

    // MARK: Queues

    /// Makes an I/O queue pair with requests in flight, for one thread at a time.
    /// - Parameter entryCount: entries of both rings, 2...4096; one less can be in flight. No more than the
    ///   controller has.
    /// - Throws: `.noQueue` if all queues are in use.
    public func makeQueuePair(entryCount: Int = 128) throws(NVMeError) -> QueuePair {
        try QueuePair(core, entryCount: entryCount)
    }

    /// Makes an I/O queue pair of two bare rings.
    public func makeRawQueuePair(entryCount: Int = 128) throws(NVMeError) -> RawQueuePair {
        try RawQueuePair(core, entryCount: entryCount)
    }

    /// Allocates memory that the controller can reach.
    public func allocate(byteCount: Int) throws(NVMeError) -> DMAMemory {
        try throughVFIO("allocate memory", name) { () throws(VFIOError) in
            try core.device.addressSpace.allocate(byteCount: byteCount)
        }
    }

    /// A free lane, or one that was waited for; its lock is held, and the caller unlocks it.
    func takeLane(_ operation: StaticString) throws(NVMeError) -> Lane {
        guard let first = lanes.first else {
            throw NVMeError(.unsupported(.ioQueues), "\(operation)", on: name)
        }
        for lane in lanes where lane.lock.tryLock() { return lane }
        first.lock.lock()
        return first
    }
}
