import DeviceModel
import IOVASpace
import LinuxSystem

/// Calxeda's 10 Gigabit network controller of the Highbank processors (`calxeda,hb-xgmac`), on the platform bus,
/// with its port looped back: every frame that it transmits, it receives.
///
/// It has what a driver needs to move frames: the two rings of descriptors in memory, their start and stop bits, the
/// interrupt status and enable registers, and one level-triggered line for both. Filters, statistics and the PHY are
/// registers that keep what is written.
///
/// Work is done on the thread that writes a poll demand register. A descriptor or a buffer that can't be reached ends
/// it with ``Status/fatalBusError``.
public final class CalxedaXGMAC: BusDeviceModel {
    /// Offsets in region 0.
    public enum Register {
        /// ``MACControl`` bits.
        public static let macControl: UInt64 = 0x000
        /// Bit 0 resets the DMA engine and reads as 0.
        public static let busMode: UInt64 = 0xf00
        /// Written with anything: look for frames to transmit.
        public static let transmitPoll: UInt64 = 0xf04
        /// Written with anything: look for room to receive.
        public static let receivePoll: UInt64 = 0xf08
        /// The first descriptor of the ring for reception.
        public static let receiveBase: UInt64 = 0xf0c
        /// The first descriptor of the ring for transmission.
        public static let transmitBase: UInt64 = 0xf10
        /// ``Status`` bits; written ones clear them.
        public static let status: UInt64 = 0xf14
        /// ``DMAControl`` bits.
        public static let dmaControl: UInt64 = 0xf18
        /// The ``Status`` bits that interrupt.
        public static let interruptEnable: UInt64 = 0xf1c
    }

    /// Bits of ``Register/macControl``.
    public enum MACControl {
        /// Frames are received.
        public static let receiver: UInt32 = 0x4
        /// Frames are transmitted.
        public static let transmitter: UInt32 = 0x8
    }

    /// Bits of ``Register/dmaControl``.
    public enum DMAControl {
        /// The ring for reception is used.
        public static let startReception: UInt32 = 0x2
        /// The ring for transmission is used.
        public static let startTransmission: UInt32 = 0x2000
    }

    /// Bits of ``Register/status`` and ``Register/interruptEnable``.
    public enum Status {
        /// A frame was transmitted.
        public static let transmitted: UInt32 = 0x1
        /// There is nothing to transmit.
        public static let transmitBufferUnavailable: UInt32 = 0x4
        /// A frame was received.
        public static let received: UInt32 = 0x40
        /// There is no room to receive.
        public static let receiveBufferUnavailable: UInt32 = 0x80
        /// Memory couldn't be reached; both rings stop.
        public static let fatalBusError: UInt32 = 0x2000
        /// Any of the abnormal ones that is enabled.
        public static let abnormalSummary: UInt32 = 0x8000
        /// Any of the normal ones that is enabled.
        public static let normalSummary: UInt32 = 0x1_0000

        static let normal = transmitted | transmitBufferUnavailable | received
        static let abnormal = receiveBufferUnavailable | fatalBusError
    }

    /// A descriptor: 32 bytes in memory, of which the device uses the first three words.
    public enum Descriptor {
        /// How long one is, in bytes.
        public static let byteCount: UInt32 = 32
        /// Word 0: the device owns it.
        public static let owned: UInt32 = 0x8000_0000
        /// Word 0 for transmission: the last of a frame. Frames of several descriptors aren't transmitted.
        public static let lastSegment: UInt32 = 0x2000_0000
        /// Word 0 for transmission: the first of a frame.
        public static let firstSegment: UInt32 = 0x1000_0000
        /// Word 0 for transmission: the ring begins anew after this one.
        public static let transmitRingEnd: UInt32 = 0x0020_0000
        /// Word 0 after reception: the frame is here from its beginning to its end.
        public static let wholeFrame: UInt32 = 0x300
        /// Word 0 after reception: the place of the frame's length.
        public static let lengthShift: UInt32 = 16
        /// Word 1 for reception: the ring begins anew after this one.
        public static let receiveRingEnd: UInt32 = 0x8000
        /// Word 1: how long the buffer is, in bytes. Word 2 is its address.
        public static let sizeMask: UInt32 = 0x1fff
    }

    /// Where the machine has its registers.
    public static let address: UInt64 = 0xfff5_1000

    /// The name that Linux gives to it there.
    public static let name = "fff51000.ethernet"

    /// One region of a page; three lines: the controller's, and those of power management and statistics, which
    /// stay quiet.
    public let resources: BusResources
    private var words = [UInt32](repeating: 0, count: 1024)
    private var transmitAt: UInt32 = 0
    private var receiveAt: UInt32 = 0

    private static let busMode = Int(Register.busMode / 4)
    private static let status = Int(Register.status / 4)
    private static let dmaControl = Int(Register.dmaControl / 4)
    private static let interruptEnable = Int(Register.interruptEnable / 4)

    /// A controller that has just been switched on.
    public init() {
        resources = BusResources(
            .platform(
                FirmwareNode(
                    compatible: ["calxeda,hb-xgmac"], properties: [FirmwareNode.Property("dma-coherent", [])])
            ),
            regions: [BusRegion(at: Self.address, byteCount: 4096)], lines: [.level, .level, .level])
    }

    /// A register.
    public func readRegister(region: Int, offset: UInt64, width: Int) -> UInt64 {
        // Parts of registers are read as such.
        UInt64(words[Int(offset / 4)]) >> (8 * (offset % 4)) & UInt64.max >> UInt64(64 - 8 * width)
    }

    /// Writes a register of 32 bits; nothing happens for other widths.
    public func writeRegister(region: Int, offset: UInt64, width: Int, value: UInt64) {
        guard width == 4 else { return }
        let value = UInt32(truncatingIfNeeded: value)
        switch offset {
        case Register.busMode where value & 1 != 0: clear()
        case Register.transmitPoll: transmit()
        case Register.receivePoll: break
        case Register.receiveBase:
            words[Int(offset / 4)] = value
            receiveAt = value
        case Register.transmitBase:
            words[Int(offset / 4)] = value
            transmitAt = value
        case Register.status: words[Self.status] &= ~value
        default: words[Int(offset / 4)] = value
        }
        updateLine()
    }

    /// Firmware has no reset for it.
    public func reset() throws(Errno) { throw .notSupported }

    private func clear() {
        for index in words.indices { words[index] = 0 }
        transmitAt = 0
        receiveAt = 0
    }

    private func updateLine() {
        let enabled = words[Self.interruptEnable]
        var status = words[Self.status] & ~(Status.normalSummary | Status.abnormalSummary)
        if status & enabled & Status.normal != 0 { status |= Status.normalSummary }
        if status & enabled & Status.abnormal != 0 { status |= Status.abnormalSummary }
        words[Self.status] = status
        let summaries = Status.normalSummary | Status.abnormalSummary
        resources.setLine(0, status & enabled & summaries != 0)
    }

    // MARK: frames

    private func isOn(_ control: UInt32, _ mac: UInt32) -> Bool {
        words[Self.dmaControl] & control != 0 && words[0] & mac != 0
    }

    /// Carries out the descriptors that there are, at most as many as one visit of a ring should have.
    private func transmit() {
        do throws(DMAFault) {
            for _ in 0..<1024 {
                guard isOn(DMAControl.startTransmission, MACControl.transmitter) else { return }
                guard try transmitNext() else {
                    words[Self.status] |= Status.transmitBufferUnavailable
                    return
                }
            }
        } catch {
            words[Self.status] |= Status.fatalBusError
            words[Self.dmaControl] &= ~(DMAControl.startTransmission | DMAControl.startReception)
        }
    }

    private func transmitNext() throws(DMAFault) -> Bool {
        let place = transmitAt
        let flags = try resources.dma.load(UInt32(0), from: IOVA(UInt64(place)))
        guard flags & Descriptor.owned != 0 else { return false }
        let size = try resources.dma.load(UInt32(0), from: IOVA(UInt64(place) + 4)) & Descriptor.sizeMask
        let address = try resources.dma.load(UInt32(0), from: IOVA(UInt64(place) + 8))
        let whole = Descriptor.firstSegment | Descriptor.lastSegment
        if flags & whole == whole && size > 0 {
            var frame = [UInt8](repeating: 0, count: Int(size))
            var span = frame.mutableSpan
            // SAFETY: plain bytes: any value is one of theirs.
            var bytes = unsafe span.mutableBytes
            try resources.dma.read(IOVA(UInt64(address)), into: &bytes)
            try receive(frame)
        }
        try resources.dma.store(flags & ~Descriptor.owned, to: IOVA(UInt64(place)))
        words[Self.status] |= Status.transmitted
        let isLast = flags & Descriptor.transmitRingEnd != 0
        transmitAt =
            isLast ? words[Int(Register.transmitBase / 4)] : transmitAt &+ Descriptor.byteCount
        return true
    }

    /// A frame comes in; it gets lost where there is no room for it.
    private func receive(_ frame: [UInt8]) throws(DMAFault) {
        guard isOn(DMAControl.startReception, MACControl.receiver) else { return }
        let place = receiveAt
        let flags = try resources.dma.load(UInt32(0), from: IOVA(UInt64(place)))
        let sizes = try resources.dma.load(UInt32(0), from: IOVA(UInt64(place) + 4))
        guard flags & Descriptor.owned != 0, sizes & Descriptor.sizeMask >= UInt32(frame.count) else {
            words[Self.status] |= Status.receiveBufferUnavailable
            return
        }
        let address = try resources.dma.load(UInt32(0), from: IOVA(UInt64(place) + 8))
        // SAFETY: bytes are plain integers, all of them initialised.
        try resources.dma.write(unsafe frame.span.bytes, to: IOVA(UInt64(address)))
        try resources.dma.store(
            Descriptor.wholeFrame | UInt32(frame.count) << Descriptor.lengthShift, to: IOVA(UInt64(place)))
        words[Self.status] |= Status.received
        let isLast = sizes & Descriptor.receiveRingEnd != 0
        receiveAt =
            isLast ? words[Int(Register.receiveBase / 4)] : receiveAt &+ Descriptor.byteCount
    }
}
