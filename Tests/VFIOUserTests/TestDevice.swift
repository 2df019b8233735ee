import DeviceModel
import IOVASpace
import LinuxSystem

/// A device with everything that a server has to carry: registers that tell how they were touched, ports, an MSI-X
/// table, memory that can be mapped, a ROM and DMA.
///
/// - BAR 0, 8 KiB: registers, the last values written by offset; writing to `Trigger` registers does something.
/// - BAR 1, 32 ports.
/// - BAR 2, 64-bit, 64 KiB: the first page is the MSI-X table, the second has its pending bits, the last two are plain
///   memory.
final class TestDevice: DeviceModel, @unchecked Sendable {
    enum Trigger {
        /// Raises the vector that is written.
        static let vector: UInt64 = 0x100
        /// Asserts (1) or releases (0) the line.
        static let line: UInt64 = 0x104
        /// The address for DMA.
        static let address: UInt64 = 0x108
        /// Reads 8 bytes of memory at the address into `data`; all ones if refused.
        static let load: UInt64 = 0x110
        /// Writes the value to memory at the address.
        static let store: UInt64 = 0x118
        /// What was loaded.
        static let data: UInt64 = 0x120
        /// Reads so many bytes at the address and writes them behind those.
        static let copy: UInt64 = 0x128
        /// Read: what `load` does, in the read.
        static let loadNow: UInt64 = 0x130
    }

    let function: PCIFunction
    let memory: MappedFile
    private var registers: [UInt64: UInt64] = [:]
    /// What a test looks at while the server's thread may be adding to it.
    private struct Record {
        var accesses: [String] = []
        var resets: [ResetKind] = []
        var quiesceCount = 0
        var faults: [DMAFault] = []
    }
    private let lock = Lock()
    private var record = Record()
    var accesses: [String] {
        get { lock.withLock { record.accesses } }
        set { lock.withLock { record.accesses = newValue } }
    }
    var resets: [ResetKind] { lock.withLock { record.resets } }
    var quiesceCount: Int { lock.withLock { record.quiesceCount } }
    var faults: [DMAFault] { lock.withLock { record.faults } }
    private var address: UInt64 = 0
    let answersReadsDuringDMA: Bool
    let doorbells: [DoorbellRegister]
    private var data: UInt64 = 0

    /// A file in memory and where it is mapped.
    final class MappedFile {
        let file: Descriptor
        let mapping: Mapping

        init(byteCount: Int) throws(Errno) {
            file = try MemoryFile.create("test device", byteCount: UInt64(byteCount))
            mapping = try Mapping(sharing: file.number, at: 0, byteCount: byteCount)
        }
    }

    init(vectors: Int = 70, answersReadsDuringDMA: Bool = false, doorbells: [DoorbellRegister] = [])
        throws(Errno)
    {
        self.doorbells = doorbells
        self.answersReadsDuringDMA = answersReadsDuringDMA
        // Two pages that lie in the file where they lie in the BAR.
        memory = try MappedFile(byteCount: 0x10000)
        function = PCIFunction(
            PCIIdentity(vendor: 0x1234, device: 0x4242, classCode: 0xff0000),
            bars: [
                0: BAR(.memory32, byteCount: 0x2000), 1: BAR(.io, byteCount: 32),
                2: BAR(.memory64, byteCount: 0x10000),
            ], isExpress: true, rom: [0x55, 0xaa] + [UInt8](repeating: 7, count: 1000))
        function.addExpress()
        function.addMSI(vectors: 8)
        function.addMSIX(vectors: vectors, table: (2, 0), pending: (2, 0x1000))
        function.addMemory(
            BARMemory(
                bar: 2, offset: 0xe000, window: memory.mapping.window.window(at: 0xe000, byteCount: 0x2000),
                descriptor: memory.file.number, fileOffset: 0xe000))
    }

    private func note(_ access: String) {
        lock.withLock { if record.accesses.count < 10_000 { record.accesses.append(access) } }
    }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        note("read \(bar):\(offset) \(width)")
        if bar == 0 && offset == Trigger.data { return data }
        if bar == 0 && offset == Trigger.loadNow { load() }
        return registers[UInt64(bar) << 32 | offset] ?? 0
    }

    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        note("write \(bar):\(offset) \(width) \(value)")
        registers[UInt64(bar) << 32 | offset] = value
        guard bar == 0 else { return }
        switch offset {
        case Trigger.vector: function.signal(vector: Int(truncatingIfNeeded: value & 0xffff))
        case Trigger.line: function.setLine(value & 1 != 0)
        case Trigger.address: address = value
        case Trigger.load: load()
        case Trigger.copy: copy(Int(truncatingIfNeeded: value & 0xff_ffff))
        case Trigger.store:
            do throws(DMAFault) {
                try function.dma.store(value, to: IOVA(address))
            } catch {
                lock.withLock { record.faults.append(error) }
            }
        default: break
        }
    }

    private func load() {
        do throws(DMAFault) {
            data = try function.dma.load(UInt64(0), from: IOVA(address))
        } catch {
            lock.withLock { record.faults.append(error) }
            data = .max
        }
    }

    private func copy(_ count: Int) {
        var bytes = [UInt8](repeating: 0, count: count)
        do throws(DMAFault) {
            var span = bytes.mutableSpan
            var room = span.mutableBytes
            try function.dma.read(IOVA(address), into: &room)
            try function.dma.write(bytes.span.bytes, to: IOVA(address &+ UInt64(count)))
        } catch {
            lock.withLock { record.faults.append(error) }
        }
    }

    func reset(_ kind: ResetKind) {
        lock.withLock { record.resets.append(kind) }
        registers = [:]
        address = 0
        data = 0
        function.setLine(false)
    }

    func quiesce() { lock.withLock { record.quiesceCount += 1 } }
}
