import DeviceModel
import IOVASpace
import LinuxSystem

/// QEMU's educational device (`edu`, docs/specs/edu): a factorial unit, an interrupt that software raises by
/// hand, and a DMA engine with a buffer of 4096 bytes. The smallest device that has everything a driver needs
/// to learn.
///
/// Work is done on the thread that writes the register, so the factorial unit and the DMA engine are never seen
/// busy. A transfer outside the buffer, or refused by the host, moves nothing and is counted; it completes, with
/// its interrupt, as in hardware: the driver finds out by looking at the data.
public final class Educational: DeviceModel {
    /// Offsets in BAR 0. Below 0x80 all accesses are 32 bits wide, from there on 32 or 64.
    public enum Register {
        /// Read only: 0xMMmm00ed with the major and minor version, here ``Educational/identification``.
        public static let identification: UInt64 = 0x00
        /// Reads as the complement of what was written.
        public static let liveness: UInt64 = 0x04
        /// A number is written, its factorial (modulo 2^32) is read.
        public static let factorial: UInt64 = 0x08
        /// ``Status`` bits.
        public static let status: UInt64 = 0x20
        /// Read only: the values that raised the interrupt and aren't acknowledged yet.
        public static let interruptStatus: UInt64 = 0x24
        /// Write only: sets bits of the interrupt status and raises the interrupt.
        public static let interruptRaise: UInt64 = 0x60
        /// Write only: clears bits of the interrupt status.
        public static let interruptAcknowledge: UInt64 = 0x64
        /// Where a transfer reads.
        public static let source: UInt64 = 0x80
        /// Where a transfer writes.
        public static let destination: UInt64 = 0x88
        /// How many bytes a transfer moves.
        public static let count: UInt64 = 0x90
        /// ``Command`` bits; writing starts the transfer.
        public static let command: UInt64 = 0x98
    }

    /// Bits of ``Register/status``.
    public enum Status {
        /// Read only: the factorial is being computed.
        public static let computing: UInt64 = 0x01
        /// Raise an interrupt when the factorial is there.
        public static let interruptWhenComputed: UInt64 = 0x80
    }

    /// Bits of ``Register/command``.
    public enum Command {
        /// Start the transfer; reads as set while it lasts.
        public static let start: UInt64 = 0x01
        /// The direction: clear from memory to the buffer, set from the buffer to memory.
        public static let toMemory: UInt64 = 0x02
        /// Raise an interrupt when the transfer is done.
        public static let interruptWhenDone: UInt64 = 0x04
    }

    /// Bits that the device itself sets in ``Register/interruptStatus``.
    public enum Cause {
        /// The factorial is there.
        public static let factorial: UInt64 = 0x001
        /// The transfer is done.
        public static let transfer: UInt64 = 0x100
    }

    /// What the identification register holds: version 1.0.
    public static let identification: UInt64 = 0x0100_00ed
    /// The device's own address of its buffer, for ``Register/source`` and ``Register/destination``.
    public static let bufferAddress: UInt64 = 0x40000
    /// The buffer's length in bytes.
    public static let bufferByteCount = 4096
    /// The bits of memory addresses that the engine drives unless asked otherwise: 28.
    public static let defaultDMAMask: UInt64 = (1 << 28) - 1

    /// The device's PCI side: 1234:11e8, BAR 0 of 1 MiB, INTA and one MSI vector without a mask, not PCI Express, no function
    /// level reset.
    public let function: PCIFunction
    /// The bits of a memory address that the DMA engine drives; the others are lost.
    public let dmaMask: UInt64
    /// How it can be moved to another host: stopped and copied, by default with a description before, and kept from
    /// beginning transfers.
    public let migrationCapabilities: MigrationCapabilities
    /// How many transfers moved nothing because they lay outside the buffer or the host refused them. The
    /// refusals of the host are also in ``/DeviceModel/DMAPort/lastFault``.
    public private(set) var refusedTransferCount: UInt64 = 0

    /// What the registers hold.
    struct Registers {
        var liveness: UInt32 = 0
        var factorial: UInt32 = 0
        var interruptsWhenComputed = false
        var interruptStatus: UInt32 = 0
        var source: UInt64 = 0
        var destination: UInt64 = 0
        var count: UInt64 = 0
        var command: UInt64 = 0
    }

    var registers = Registers()
    /// Whether it is stopped for migration.
    var isFrozen = false
    /// Whether it begins no transfer, since it may be one to another device: it doesn't know what is at an address.
    var sparesPeers = false
    var buffer = [UInt8](repeating: 0, count: bufferByteCount)

    /// Makes the device.
    /// - Parameters:
    ///   - dmaMask: the bits of a memory address that its DMA engine drives.
    ///   - moves: how it can be moved to another host, besides being stopped and copied.
    public init(
        dmaMask: UInt64 = defaultDMAMask, moves: MigrationCapabilities = [.peerToPeer, .preCopy]
    ) {
        self.dmaMask = dmaMask
        migrationCapabilities = moves.union(.stopCopy)
        // The subsystem is the one that QEMU gives to its devices.
        function = PCIFunction(
            PCIIdentity(
                vendor: 0x1234, device: 0x11e8, subsystemVendor: 0x1af4, subsystem: 0x1100,
                classCode: 0x00ff00, revision: 0x10),
            bars: [0: BAR(.memory32, byteCount: 1 << 20)])
        function.addMSI(vectors: 1, hasMasks: false)
    }

    /// The same engine behind another function, which has BAR 0 of 1 MiB.
    init(
        _ function: PCIFunction, dmaMask: UInt64, moves: MigrationCapabilities = [.peerToPeer, .preCopy]
    ) {
        self.function = function
        self.dmaMask = dmaMask
        migrationCapabilities = moves.union(.stopCopy)
    }

    /// While a transfer is under way its command reads as started.
    public var answersReadsDuringDMA: Bool { true }

    /// Makes a virtual function: an engine of its own, as the physical function's.
    /// - Returns: nil if the device was made without virtual functions.
    public func makeVirtualFunction(index: Int) -> (any DeviceModel)? {
        guard let layout = function.virtualFunctions, index >= 0 && index < layout.total else { return nil }
        return Self.virtualFunction(of: function.identity, layout, dmaMask: dmaMask)
    }

    /// Reads a register; all ones where there is none or the width is wrong.
    public func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        let ones = UInt64.max >> UInt64(64 - 8 * width)
        guard bar == 0, isAllowed(offset: offset, width: width) else { return ones }
        switch offset {
        case Register.identification: return Educational.identification
        case Register.liveness: return UInt64(registers.liveness)
        case Register.factorial: return UInt64(registers.factorial)
        case Register.status: return registers.interruptsWhenComputed ? Status.interruptWhenComputed : 0
        case Register.interruptStatus: return UInt64(registers.interruptStatus)
        case Register.source: return registers.source & ones
        case Register.destination: return registers.destination & ones
        case Register.count: return registers.count & ones
        case Register.command: return registers.command & ones
        default: return ones
        }
    }

    /// Writes a register and does what follows from it.
    public func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        guard bar == 0, isAllowed(offset: offset, width: width) else { return }
        let value32 = UInt32(truncatingIfNeeded: value)
        switch offset {
        case Register.liveness: registers.liveness = ~value32
        case Register.factorial: compute(value32)
        case Register.status: registers.interruptsWhenComputed = value & Status.interruptWhenComputed != 0
        case Register.interruptRaise: raise(value32)
        case Register.interruptAcknowledge: acknowledge(value32)
        // A 32-bit write gives the whole register its value: a driver for addresses below 4 GiB does just that.
        // While a transfer is under way they are locked.
        case Register.source where !isTransferring: registers.source = value
        case Register.destination where !isTransferring: registers.destination = value
        case Register.count where !isTransferring: registers.count = value
        case Register.command where !isTransferring: start(value)
        default: break
        }
    }

    /// All registers and the buffer go to 0.
    public func reset(_ kind: ResetKind) {
        registers = Registers()
        for index in buffer.indices { buffer[index] = 0 }
        function.setLine(false)
    }

    private func isAllowed(offset: UInt64, width: Int) -> Bool {
        width == 4 || (width == 8 && offset >= Register.source)
    }

    // MARK: the factorial unit

    private func compute(_ number: UInt32) {
        var product: UInt32 = 1
        var factor = number
        // Any 34 numbers in a row hold 32 factors of 2, so the product is 0 before a big number takes long.
        while factor > 1 && product != 0 {
            product = product &* factor
            factor -= 1
        }
        registers.factorial = product
        if registers.interruptsWhenComputed { raise(UInt32(Cause.factorial)) }
    }

    // MARK: the interrupt

    private func raise(_ bits: UInt32) {
        registers.interruptStatus |= bits
        guard registers.interruptStatus != 0 else { return }
        function.setLine(true)
        function.signal(vector: 0)
    }

    private func acknowledge(_ bits: UInt32) {
        registers.interruptStatus &= ~bits
        if registers.interruptStatus == 0 { function.setLine(false) }
    }

    // MARK: the DMA engine

    private func start(_ bits: UInt64) {
        registers.command = bits
        carryOut()
    }

    /// Whether a transfer was started and isn't done.
    private var isTransferring: Bool { registers.command & Command.start != 0 }

    /// Carries out the transfer that was started, unless it has to wait.
    func carryOut() {
        guard isTransferring, !isFrozen, !sparesPeers else { return }
        if !transfer() { refusedTransferCount &+= 1 }
        registers.command &= ~Command.start
        if registers.command & Command.interruptWhenDone != 0 { raise(UInt32(Cause.transfer)) }
    }

    private func transfer() -> Bool {
        let isToMemory = registers.command & Command.toMemory != 0
        guard let range = bufferRange(isToMemory ? registers.source : registers.destination) else {
            return false
        }
        if range.isEmpty { return true }
        let memory = IOVA((isToMemory ? registers.destination : registers.source) & dmaMask)
        return isToMemory ? store(range, at: memory) : load(range, from: memory)
    }

    /// The part of the buffer that a transfer names; nil if any of it lies outside.
    private func bufferRange(_ address: UInt64) -> Range<Int>? {
        guard address >= Educational.bufferAddress, registers.count <= UInt64(Educational.bufferByteCount)
        else {
            return nil
        }
        let offset = address - Educational.bufferAddress
        guard offset <= UInt64(Educational.bufferByteCount) - registers.count else { return nil }
        return Int(offset)..<Int(offset + registers.count)
    }

    // The host's copying works on memory of its own: should it ever lead back into this device, nothing of the
    // device's state is in the middle of a change.

    private func load(_ range: Range<Int>, from memory: IOVA) -> Bool {
        var bytes = [UInt8](repeating: 0, count: range.count)
        do throws(DMAFault) {
            var span = bytes.mutableSpan
            // SAFETY: any bit pattern is a UInt8.
            var raw = unsafe span.mutableBytes
            try function.dma.read(memory, into: &raw)
        } catch {
            return false
        }
        for index in range { buffer[index] = bytes[index - range.lowerBound] }
        return true
    }

    private func store(_ range: Range<Int>, at memory: IOVA) -> Bool {
        let bytes = buffer
        do throws(DMAFault) {
            // SAFETY: a UInt8 has no padding.
            try function.dma.write(unsafe bytes.span.bytes.extracting(range), to: memory)
            return true
        } catch {
            return false
        }
    }
}
