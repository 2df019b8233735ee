import DeviceModel
import IOVASpace
import LinuxSystem
import Synchronization

@testable import SoftwareHost

/// A device for stress: a register BAR, a BAR of plain memory, all kinds of interrupts, and work of its own that
/// other threads do for it while a user lets it (as a real device works beside the processor).
final class StressModel: DeviceModel, @unchecked Sendable {
    /// How many there are.
    static let count = Atomic<Int>(0)
    /// Each device has addresses, and memory behind them, that no other has.
    static let span: UInt64 = 1 << 20
    /// How many pages of its addresses users map.
    static let pages = 16

    let function: PCIFunction
    private let index: Int
    private let lock = Lock()
    private var isAwake = false
    private var value: UInt64 = 0
    private let file: Descriptor
    private let memory: Mapping

    init(_ index: Int) throws(Errno) {
        self.index = index
        file = try MemoryFile.create("vfio-stress-bar", byteCount: UInt64(pageSize))
        memory = try Mapping(sharing: file.number, at: 0, byteCount: pageSize)
        function = PCIFunction(
            PCIIdentity(vendor: 0x1234, device: 0x5678, classCode: 0xff0000),
            bars: [
                0: BAR(.memory32, byteCount: 4096), 1: BAR(.memory32, byteCount: UInt64(pageSize)),
                2: BAR(.memory32, byteCount: 4096),
            ], isExpress: true)
        function.addExpress()
        function.addMSI(vectors: 2)
        function.addMSIX(vectors: 4, table: (2, 0), pending: (2, 0x800))
        function.addMemory(
            BARMemory(bar: 1, offset: 0, window: memory.window, descriptor: file.number))
        Self.count.add(1, ordering: .relaxed)
    }

    deinit { Self.count.subtract(1, ordering: .relaxed) }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { lock.withLock { value } }

    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        lock.withLock {
            self.value = value
            isAwake = true
            work(value)
        }
    }

    func reset(_ kind: ResetKind) {
        lock.withLock {
            isAwake = false
            value = 0
        }
    }

    func quiesce() { lock.withLock { isAwake = false } }

    /// What the device does by itself, on a thread of its own.
    func act(_ seed: UInt64) { lock.withLock { if isAwake { work(seed) } } }

    private func work(_ seed: UInt64) {
        let iova = UInt64(index) * Self.span + seed % UInt64(Self.pages * pageSize - 8)
        switch (seed >> 32) % 4 {
        case 0:
            if let word = try? function.dma.load(UInt64(0), from: IOVA(iova)) { value = word }
        case 1: _ = try? function.dma.store(seed, to: IOVA(iova))
        case 2: function.signal(vector: Int(seed >> 40) % 4)
        default: function.setLine(seed & 1 == 0)
        }
    }
}
