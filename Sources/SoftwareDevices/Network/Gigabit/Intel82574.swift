import DeviceModel
import LinuxSystem

/// Intel's 82574L gigabit Ethernet controller (8086:10d3), as its datasheet has it: two queues in each direction,
/// checksums and segmentation done for the driver, five MSI-X vectors. Linux's e1000e and DPDK's em drive it.
///
/// Frames are sent on the thread that writes a ring's tail. They are received on the thread of whoever sends them: into
/// the driver's buffers if there are any, else into the card's packet buffer, and lost (and counted) when that is full.
///
/// Not there: packet split, firmware for management, waking up, time stamps of packets, flow control.
public final class Intel82574: DeviceModel {
    /// The card's PCI side: BAR 0 with the registers, BAR 1 for a flash memory that isn't there, BAR 2 for registers
    /// by way of ports, BAR 3 with the MSI-X table; INTA, one MSI vector.
    public var function: PCIFunction { core.function }
    /// The place at the wire.
    public let port: WirePort
    private let core: Intel82574Core
    /// What lives as long as the card: the other end of its wire, for example.
    public var companion: AnyObject?

    /// A card at a wire.
    /// - Parameters:
    ///   - address: the hardware address in its memory.
    ///   - loopsBack: whether it receives what it sends, and nobody else does.
    public init(_ address: MACAddress, on wire: NetworkWire, loopsBack: Bool = false) {
        let function = PCIFunction(
            PCIIdentity(
                vendor: 0x8086, device: 0x10d3, subsystemVendor: 0x8086, subsystem: 0x0000,
                classCode: 0x020000),
            bars: [
                0: BAR(.memory32, byteCount: UInt64(Intel82574Core.registerByteCount)),
                1: BAR(.memory32, byteCount: 128 << 10),
                2: BAR(.io, byteCount: 32),
                3: BAR(.memory32, byteCount: 16 << 10),
            ],
            isExpress: true)
        function.addPowerManagement(noSoftReset: false)
        function.addMSI(vectors: 1, hasMasks: false)
        function.addExpress(functionLevelReset: false)
        function.addMSIX(vectors: 5, table: (3, 0), pending: (3, 0x2000))
        function.addErrorReporting()
        core = Intel82574Core(function, address)
        port = wire.connect(core, loopsBack: loopsBack)
        core.attach(to: port)
    }

    deinit { core.detach() }

    /// Reads a register; all ones from the flash memory that isn't there.
    public func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        let ones = UInt64.max >> UInt64(64 - 8 * width)
        switch bar {
        case 0 where width == 8:
            return UInt64(core.read(offset)) | UInt64(core.read(offset + 4)) << 32
        case 0: return UInt64(core.read(offset & ~3)) >> (8 * (offset & 3)) & ones
        case 2: return UInt64(core.readPort(offset & ~3)) >> (8 * (offset & 3)) & ones
        default: return ones
        }
    }

    /// Writes a register and does what follows from it. Registers have 32 bits; narrower writes do nothing.
    public func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        guard width >= 4 else { return }
        let low = UInt32(truncatingIfNeeded: value)
        switch bar {
        case 0:
            core.write(offset, low)
            if width == 8 { core.write(offset + 4, UInt32(truncatingIfNeeded: value >> 32)) }
        case 2: core.writePort(offset, low)
        default: break
        }
    }

    /// The card is as after power-on.
    public func reset(_ kind: ResetKind) { core.reset(withPHY: true) }

    /// Nothing is moved any more; what arrives is lost.
    public func quiesce() { core.stop() }

    /// Registers are read under a lock that isn't held during DMA.
    public var answersReadsDuringDMA: Bool { true }
}
