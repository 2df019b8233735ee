import LinuxSystem
import Synchronization

/// Where a device's interrupt lines lead to. Written by hosts.
///
/// May be called from any thread, also from within a call that the host makes into the model, and with a lock of
/// the device held: it takes none but innermost locks.
public protocol InterruptLines: AnyObject, Sendable {
    /// Drives a level-triggered line. Called on changes only.
    func setLine(_ index: Int, _ asserted: Bool)

    /// An edge on an edge-triggered line.
    func pulseLine(_ index: Int)
}

/// What a device has that isn't a PCI function: an identity, regions, interrupts and the way to memory.
///
/// A model makes one in its initialiser and hands it to its host through ``BusDeviceModel/resources``.
public final class BusResources: @unchecked Sendable {
    // SAFETY: `slot` and `lines` change while nothing else uses the device; `levels` is guarded by `lock`;
    // `master` is atomic; the rest is constant.

    /// Who it is.
    public let identity: BusIdentity
    /// Its regions, by index.
    public let regions: [BusRegion]
    /// Its interrupt lines, by index.
    public let lineTriggers: [LineTrigger]
    /// How many message-signalled interrupts it has; on the CDX bus only.
    public let messageCount: Int
    /// Whether it can be forbidden to start transactions; on the CDX bus only. One that can't always may.
    public let hasBusMaster: Bool
    /// The way to memory.
    public private(set) var dma: DMAPort! = nil

    /// The slot that the device sits in; set by the host.
    public private(set) var slot: (any PCISlot)?
    private var lines: (any InterruptLines)?
    private let lock = Lock()
    private var levels: [Bool]
    private let master: Atomic<Bool>

    /// Describes a device.
    /// - Parameters:
    ///   - lines: how each of its interrupt lines is used.
    ///   - messageCount: how many message-signalled interrupts it has, at most 65536.
    ///   - hasBusMaster: whether it can be forbidden to start transactions; it then starts forbidden.
    public init(
        _ identity: BusIdentity, regions: [BusRegion], lines: [LineTrigger] = [], messageCount: Int = 0,
        hasBusMaster: Bool = false
    ) {
        precondition(messageCount >= 0 && messageCount <= 65536, "not a count of messages")
        self.identity = identity
        self.regions = regions
        lineTriggers = lines
        self.messageCount = messageCount
        self.hasBusMaster = hasBusMaster
        levels = [Bool](repeating: false, count: lines.count)
        master = Atomic(!hasBusMaster)
        dma = DMAPort(self)
    }

    // MARK: the host's side

    /// Puts the device into a host's slot, or takes it out (nil). Lines that are asserted are told at once.
    ///
    /// Not while anything else uses the device.
    public func plug(into slot: (any PCISlot)?, lines: (any InterruptLines)?) {
        self.slot = slot
        self.lines = lines
        lock.withLock {
            for index in levels.indices where levels[index] { lines?.setLine(index, true) }
        }
    }

    /// Whether the device may start transactions.
    public var isBusMaster: Bool { master.load(ordering: .acquiring) }

    /// Lets the device start transactions, or forbids it. Nothing happens to one that can't be forbidden.
    public func setBusMaster(_ on: Bool) {
        if hasBusMaster { master.store(on, ordering: .releasing) }
    }

    /// Whether an access lies inside a region.
    public func contains(region: Int, offset: UInt64, width: Int) -> Bool {
        guard regions.indices.contains(region) else { return false }
        let byteCount = regions[region].byteCount
        return offset < byteCount && byteCount - offset >= UInt64(width)
    }

    // MARK: the model's side

    /// Asserts or releases a level-triggered line. Indices that don't exist and edge-triggered lines are left
    /// alone.
    public func setLine(_ index: Int, _ asserted: Bool) {
        guard lineTriggers.indices.contains(index), lineTriggers[index] == .level else { return }
        lock.withLock {
            guard levels[index] != asserted else { return }
            levels[index] = asserted
            // Still locked, so that changes are told in their order.
            lines?.setLine(index, asserted)
        }
    }

    /// An edge on an edge-triggered line. Indices that don't exist and level-triggered lines are left alone.
    public func pulseLine(_ index: Int) {
        guard lineTriggers.indices.contains(index), lineTriggers[index] == .edge else { return }
        lines?.pulseLine(index)
    }

    /// Raises a message-signalled interrupt; nothing happens for one that doesn't exist.
    public func signal(message: Int) {
        guard message >= 0, message < messageCount else { return }
        slot?.deliverMessage(.msi, vector: message)
    }
}
