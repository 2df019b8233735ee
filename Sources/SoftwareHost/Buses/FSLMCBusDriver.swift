import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOABI

/// The vfio-fsl-mc driver of the software host, for one object of Freescale's management complex (kernel.md G.3).
///
/// A region is read and written as a portal only: a command of 64 bytes goes in, and after it was carried out the answer
/// lies in its place.
final class FSLMCBusDriver: MappedBusDriver, @unchecked Sendable {
    // SAFETY: `patience` is constant once the device can be opened.
    private let isContainer: Bool
    /// How often a command's state is looked at before it is given up, every half millisecond.
    var patience = 10_000

    private static let commandByteCount = 64

    /// Takes over an object.
    /// - Throws: `EINVAL` for a device of another bus.
    override init(_ model: any BusDeviceModel, _ faults: DeviceFaults) {
        if case .fslMC(let identity) = model.resources.identity {
            isContainer = identity.isContainer
        } else {
            isContainer = false
        }
        super.init(model, faults)
    }

    override var deviceFlags: DeviceFlags { isContainer ? [.fslMC, .reset] : .fslMC }

    /// Everything of a container goes through commands.
    override func isMappable(_ region: BusRegion) -> Bool { region.kind == .memory && !isContainer }

    override func closeDevice() {
        try? reset()
        super.closeDevice()
    }

    /// Works for every object, although only containers are said to have it.
    override func reset() throws(Errno) { try lock.withLock { () throws(Errno) in try model.reset() } }

    override func resetAbsent() throws(Errno) -> Int32 { throw .timedOut }

    // MARK: commands

    override func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        let index = try region(at: offset, for: .read)
        try checkCommand(index, offset, bytes.byteCount)
        lock.lock()
        defer { lock.unlock() }
        for word in (0..<8).reversed() {
            bytes.storeUnit(model.loadRegion(index, offset: UInt64(8 * word), width: 8), 8, at: 8 * word)
        }
        return Self.commandByteCount
    }

    override func write(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let index = try region(at: offset, for: .write)
        try checkCommand(index, offset, bytes.byteCount)
        lock.lock()
        defer { lock.unlock() }
        // The header last: it starts the command.
        for word in (0..<8).reversed() {
            model.storeRegion(
                index, offset: UInt64(8 * word), width: 8, value: bytes.loadUnit(8, at: 8 * word))
        }
        for _ in 0..<patience {
            let status = model.loadRegion(index, offset: 0, width: 8) >> 16 & 0xff
            // 1: the complex hasn't carried it out yet.
            if status != 1 { return Self.commandByteCount }
            Clock.sleep(nanoseconds: 500_000)
        }
        throw .timedOut
    }

    private func checkCommand(_ index: Int, _ offset: UInt64, _ byteCount: Int) throws(Errno) {
        guard offset & PCIRegionOffset.mask == 0, byteCount == Self.commandByteCount,
            resources.regions[index].byteCount >= UInt64(Self.commandByteCount)
        else { throw .invalid }
    }

    // MARK: interrupts

    override func interruptInfo(_ index: Int) throws(Errno) -> (count: Int, flags: IRQFlags) { (1, .eventFD) }

    override func setInterrupts(_ request: PCIInterruptRequest) throws(Errno) {
        guard request.flags.contains(.actionTrigger) else { throw .invalid }
        try setLineEvent(request)
    }
}
