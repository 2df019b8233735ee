import LinuxSystem
import VFIO

/// How a queue tells the controller its new tail or head: a doorbell register, and where the controller has
/// them, a shadow of it in memory that saves most of the register writes.
public struct QueueDoorbell: Sendable {
    /// The register where it is mapped, or memory in place of one: a store is a single instruction, and no
    /// reference is touched.
    private let mapped: MemoryWindow?
    /// The register, which also keeps the mapping alive; nil for memory in place of one.
    private let register: Register32?
    /// The shadow doorbell (4 bytes) and the value at which the controller wants to be told (4 bytes).
    private var shadow: (value: MemoryWindow, eventIndex: MemoryWindow)?

    /// A doorbell register of a controller.
    /// - Parameters:
    ///   - offset: where it lies in the region.
    ///   - region: the controller's BAR 0.
    public init(at offset: Int, of region: Region) throws(VFIOError) {
        register = try region.register32(at: offset)
        mapped = region.window(at: offset, byteCount: 4)
    }

    /// Four bytes of memory that take the place of a register: a controller in this process looks there.
    /// - Precondition: the window holds at least four bytes.
    public init(memory: MemoryWindow) {
        precondition(memory.byteCount >= 4, "a doorbell has four bytes")
        mapped = memory
        register = nil
    }

    /// Uses a shadow doorbell from now on (NVMe Base 2.0, 5.8 "Doorbell Buffer Config").
    /// - Parameters:
    ///   - value: four bytes of the shadow doorbell buffer.
    ///   - eventIndex: four bytes of the event index buffer.
    public mutating func useShadow(value: MemoryWindow, eventIndex: MemoryWindow) {
        precondition(value.byteCount >= 4 && eventIndex.byteCount >= 4, "a shadow doorbell has four bytes")
        shadow = (value, eventIndex)
    }

    /// Whether a shadow is in use.
    public var hasShadow: Bool { shadow != nil }

    /// Tells the controller a new value.
    ///
    /// The ring entries that the value stands for have to be in memory already; the caller's fence sees to it.
    /// - Parameters:
    ///   - value: the new tail or head.
    ///   - old: the value told before.
    @inline(__always)
    func ring(_ value: UInt16, after old: UInt16) {
        if let shadow {
            // The fence before this call orders ring entries before the shadow value, too: a polling
            // controller acts on the shadow alone.
            shadow.value.store32(0, UInt32(value))
            // The store has to be visible before the event index is looked at, else both sides may take the
            // other one to be awake.
            Fence.full()
            let eventIndex = UInt16(truncatingIfNeeded: shadow.eventIndex.load32(0))
            // Rung if eventIndex lies in old..<value, counted modulo 2^16.
            if value &- eventIndex &- 1 >= value &- old { return }
        }
        if let mapped {
            mapped.store32(0, UInt32(value))
        } else {
            storeThroughHost(UInt32(value))
        }
    }

    @inline(never)
    private func storeThroughHost(_ value: UInt32) { register?.store(value) }
}
