import IOVASpace
import LinuxSystem
import VFIO

/// DMA memory that begins with one of the controller's pages, also where those are larger than the machine's.
struct QueueMemory: ~Copyable, Sendable {
    private let memory: DMAMemory
    private let offset: Int
    /// How many bytes were asked for.
    let byteCount: Int

    /// Zeroed memory.
    /// - Parameter alignment: a power of two.
    init(in space: AddressSpace, byteCount: Int, alignment: Int) throws(VFIOError) {
        let slack = alignment > pageSize ? alignment : 0
        memory = try space.allocate(byteCount: byteCount + slack)
        offset = Int((0 &- memory.iova.rawValue) & UInt64(alignment - 1))
        self.byteCount = byteCount
    }

    /// Where it begins for the device.
    var iova: IOVA { memory.iova.at(offset) }
    /// The memory here.
    var window: MemoryWindow { memory.window.window(at: offset, byteCount: byteCount) }
}
