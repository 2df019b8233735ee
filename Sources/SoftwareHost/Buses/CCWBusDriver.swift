import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOABI

/// The vfio-ccw driver of the software host: a mainframe's subchannel with a device at its end (kernel.md G.4).
///
/// Programs are carried out on the thread that writes them into the I/O region, unless the device isn't ready.
///
/// **Where it differs from Linux.** Who writes while somebody else does waits, and isn't told `EAGAIN`. No page stays
/// pinned while a program waits for the device.
final class CCWBusDriver: BusDriver, @unchecked Sendable {
    // SAFETY: `isInSlot` is guarded by `lock`; all else is constant, or guards itself.

    private let device: any ChannelDevice
    private let slot: PCIDriverSlot
    private let interrupts = NoticeInterrupts(count: Int(CCWInterrupt.count))
    private let state: SubchannelState
    private let lock = Lock()
    private var isInSlot = true

    /// Where in the handle's offsets a region begins: `VFIO_CCW_OFFSET_SHIFT`.
    private static let offsetShift: UInt64 = 10

    init(_ device: any ChannelDevice, _ faults: DeviceFaults) {
        self.device = device
        slot = PCIDriverSlot(interrupts: PCIInterrupts(), faults: faults)
        state = SubchannelState(slot, interrupts, deviceNumber: device.subchannel.deviceNumber)
        device.subchannel.plug(into: state)
    }

    deinit { withdraw() }

    // MARK: open and close

    func openDevice() throws(Errno) {
        interrupts.clear()
        state.enable()
    }

    func closeDevice() {
        state.disable(device)
        interrupts.clear()
    }

    // MARK: requests

    func control(_ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        let argument = HostAddress(rawValue: argument)
        switch Request(rawValue: UInt(request)) {
        case .deviceGetInfo:
            try DeviceInfo.answer(
                argument, [.ccw, .reset],
                regionCount: CCWRegion.count + UInt32(CCWRegionKind.allCases.count - 1),
                irqCount: CCWInterrupt.count)
        case .deviceGetIRQInfo: try interrupts.describe(argument)
        case .deviceSetIRQs: try interrupts.set(argument)
        case .deviceReset: state.reset(device)
        default: throw .noSuchRequest
        }
        return 0
    }

    func feature(
        _ id: UInt32, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32 { throw .noSuchRequest }

    // MARK: regions

    func regionInfo(index: UInt32) throws(Errno) -> RegionDescription {
        guard let region = CCWRegionKind(rawValue: Int(index)) else { throw .invalid }
        let flags: RegionFlags = region.isWritable ? [.read, .write] : .read
        var description = RegionDescription(
            flags: flags.rawValue, size: UInt64(region.byteCount), offset: UInt64(index) << Self.offsetShift)
        let subtype: RegionSubtype? =
            switch region {
            case .io: nil
            case .command: .ccwAsyncCommand
            case .schib: .ccwSCHIB
            case .crw: .ccwCRW
            }
        if let subtype { description.type = (RegionType.ccw.rawValue, subtype.rawValue) }
        return description
    }

    /// The region of an access, all of which must lie inside.
    private func place(_ offset: UInt64, _ byteCount: Int) throws(Errno) -> (
        region: CCWRegionKind, start: Int
    ) {
        let start = Int(offset & (1 << Self.offsetShift - 1))
        guard let region = CCWRegionKind(rawValue: Int(truncatingIfNeeded: offset >> Self.offsetShift)) else {
            throw .invalid
        }
        guard byteCount <= region.byteCount, start <= region.byteCount - byteCount else { throw .invalid }
        return (region, start)
    }

    func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        let (region, start) = try place(offset, bytes.byteCount)
        let contents = state.contents(of: region)
        for index in 0..<bytes.byteCount {
            bytes.storeBytes(of: contents[start + index], toByteOffset: index, as: UInt8.self)
        }
        return bytes.byteCount
    }

    func write(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let (region, start) = try place(offset, bytes.byteCount)
        guard region.isWritable else { throw .invalid }
        let new = (0..<bytes.byteCount).map { UInt8(truncatingIfNeeded: bytes.loadUnit(1, at: $0)) }
        try state.write(new, to: region, at: start, device)
        return new.count
    }

    // MARK: its place

    func map(
        at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow { throw .invalid }

    func unmap(_ window: MemoryWindow) {}

    func attach(to addressSpace: (any DMAAddressSpace)?) { slot.attach(to: addressSpace) }

    func requestRelease(count: Int) { interrupts.signal(Int(CCWInterrupt.req.rawValue)) }

    func withdraw() {
        let isLast = lock.withLock { () -> Bool in
            defer { isInSlot = false }
            return isInSlot
        }
        if isLast { device.subchannel.plug(into: nil) }
    }

    // MARK: a device that doesn't answer

    func readAbsent(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        _ = try place(offset, bytes.byteCount)
        throw .noDevice
    }

    func writeAbsent(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        _ = try place(offset, bytes.byteCount)
        throw .noDevice
    }

    func resetAbsent() throws(Errno) -> Int32 { throw .invalid }

    func presenceChanged(isAbsent: Bool, reportsError: Bool) {}
}
