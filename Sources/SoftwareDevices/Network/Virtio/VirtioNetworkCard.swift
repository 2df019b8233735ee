import DeviceModel
import LinuxSystem

/// A virtio network card as it was before virtio 1.0 ("legacy", 1af4:1000): registers in port space, one queue for
/// each direction and one for commands. The card with the least to it that drivers everywhere know.
///
/// Frames are sent on the thread that notifies the queue. They are received on the thread of whoever sends them: into
/// the driver's buffers if there are any, else into a memory of 64 KiB, and lost when that is full.
public final class VirtioNetworkCard: DeviceModel {
    /// The card's PCI side: BAR 0 of 64 ports, BAR 1 with the MSI-X table of three vectors; INTA.
    public var function: PCIFunction { core.function }
    /// The place at the wire.
    public let port: WirePort
    private let core: VirtioNetworkCore
    /// What lives as long as the card: the other end of its wire, for example.
    public var companion: AnyObject?

    /// A card at a wire.
    /// - Parameters:
    ///   - address: the hardware address that it has at first.
    ///   - loopsBack: whether it receives what it sends, and nobody else does.
    public init(_ address: MACAddress, on wire: NetworkWire, loopsBack: Bool = false) {
        let function = PCIFunction(
            PCIIdentity(
                vendor: 0x1af4, device: 0x1000, subsystemVendor: 0x1af4, subsystem: 0x0001,
                classCode: 0x020000),
            bars: [0: BAR(.io, byteCount: 64), 1: BAR(.memory32, byteCount: 4096)])
        function.addMSIX(vectors: Queue.count, table: (1, 0), pending: (1, 0x800))
        core = VirtioNetworkCore(function, address)
        port = wire.connect(core, loopsBack: loopsBack)
        core.attach(to: port)
    }

    deinit { core.detach() }

    /// The hardware address, which the driver can change.
    public var address: MACAddress { core.currentAddress }

    /// How many queues don't work any more since the driver broke the rules, until it resets the device.
    public var brokenQueueCount: Int { core.brokenQueueCount }

    /// Reads a register; 0 where there is none, as for those that are written only.
    public func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        guard bar == 0 else { return UInt64.max >> UInt64(64 - 8 * width) }
        return core.read(offset, width: width)
    }

    /// Writes a register and does what follows from it.
    public func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        guard bar == 0 else { return }
        core.write(offset, width: width, value: value)
    }

    /// The card is as it was at first.
    public func reset(_ kind: ResetKind) { core.reset() }

    /// Nothing is moved any more; what arrives is lost.
    public func quiesce() { core.stop() }

    /// Registers are read under a lock that isn't held during DMA.
    public var answersReadsDuringDMA: Bool { true }
}
