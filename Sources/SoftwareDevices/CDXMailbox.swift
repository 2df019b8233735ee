import DeviceModel
import IOVASpace
import LinuxSystem

/// A device on the CDX bus that fills memory on demand: one page of plain memory, in which its user leaves orders, and
/// two messages.
///
/// The registers of such a device can only be mapped, so that nobody tells it of an access: it looks by itself, on a
/// thread of its own, about every millisecond.
public final class CDXMailbox: BusDeviceModel, @unchecked Sendable {
    // SAFETY: the window is memory that several may access, by volatile accesses only; `lock` guards the rest.

    /// Offsets in region 0, 8 bytes each.
    public enum Register {
        /// The number of the order; a number that the device hasn't seen is a new order. Written last.
        public static let order = 0x00
        /// Where to fill memory.
        public static let address = 0x08
        /// How many bytes, at most ``CDXMailbox/mostBytes``.
        public static let byteCount = 0x10
        /// With which byte.
        public static let pattern = 0x18
        /// Read: the number of the last order that was carried out, or failed.
        public static let done = 0x20
        /// Read: how many orders failed, since the reset.
        public static let failures = 0x28
    }

    /// The messages.
    public enum Message {
        /// An order was carried out.
        public static let done = 0
        /// An order failed.
        public static let failed = 1
    }

    /// The longest order, in bytes.
    public static let mostBytes: UInt64 = 65536

    /// One region that can be mapped, one that is too small for that, and two messages.
    public let resources: BusResources
    private let page: Page
    private var thread: WorkerThread?

    /// The memory and what belongs to it; the thread holds it, and not the device.
    private final class Page: @unchecked Sendable {
        // SAFETY: as the device; `seen` and `isStopped` are guarded by `lock`.
        let file: Descriptor
        let memory: Mapping
        let lock = Lock()
        let stop = Condition()
        var seen: UInt64 = 0
        var isStopped = false

        /// Waits until it is time to look again.
        /// - Returns: whether there is nothing to look for any more.
        var isStoppedAfterWaiting: Bool {
            lock.withLock {
                if !isStopped { stop.wait(for: lock, until: Clock.moment(inMilliseconds: 1)) }
                return isStopped
            }
        }

        init() throws(Errno) {
            file = try MemoryFile.create("cdx mailbox", byteCount: UInt64(pageSize))
            memory = try Mapping(sharing: file.number, at: 0, byteCount: pageSize)
        }
    }

    /// Makes the device and starts it.
    /// - Throws: `ENOMEM`, `EMFILE`, `EAGAIN` where resources are lacking.
    public init() throws(Errno) {
        let page = try Page()
        self.page = page
        let resources = BusResources(
            .cdx(CDXIdentity(vendor: 0x10ee, device: 0x8084, classCode: 0x05_8000)),
            regions: [
                BusRegion(
                    at: 0xe400_0000, byteCount: UInt64(pageSize),
                    memory: BusRegion.Memory(window: page.memory.window, descriptor: page.file.number)),
                BusRegion(at: 0xe401_0000, byteCount: 64),
            ], messageCount: 2, hasBusMaster: true)
        self.resources = resources
        thread = try WorkerThread {
            while !page.isStoppedAfterWaiting {
                ForkGate.passing { page.lock.withLock { Self.look(page, resources) } }
            }
        }
    }

    deinit {
        page.lock.withLock { page.isStopped = true }
        page.stop.wakeAll()
    }

    /// The small region reads as zeros.
    public func readRegister(region: Int, offset: UInt64, width: Int) -> UInt64 { 0 }

    /// The small region can't be changed.
    public func writeRegister(region: Int, offset: UInt64, width: Int, value: UInt64) {}

    /// Forgets all orders.
    public func reset() throws(Errno) {
        page.lock.withLock {
            for offset in stride(from: 0, to: pageSize, by: 8) { page.memory.window.store64(offset, 0) }
            page.seen = 0
        }
    }

    /// Waits until the order under way has been carried out, and forgets the others.
    public func quiesce() { try? reset() }

    /// Carries out a new order. With the lock held.
    private static func look(_ page: Page, _ resources: BusResources) {
        let window = page.memory.window
        let order = window.load64(Register.order)
        guard order != page.seen else { return }
        page.seen = order
        Fence.afterCompletion()
        let address = IOVA(window.load64(Register.address))
        let count = window.load64(Register.byteCount)
        let pattern = UInt8(truncatingIfNeeded: window.load64(Register.pattern))
        var isDone = count <= mostBytes
        if isDone {
            let bytes = [UInt8](repeating: pattern, count: Int(count))
            do throws(DMAFault) {
                // SAFETY: bytes are plain integers, all of them initialised.
                try resources.dma.write(unsafe bytes.span.bytes, to: address)
            } catch {
                isDone = false
            }
        }
        if !isDone { window.store64(Register.failures, window.load64(Register.failures) &+ 1) }
        Fence.beforeDoorbell()
        window.store64(Register.done, order)
        resources.signal(message: isDone ? Message.done : Message.failed)
    }
}
