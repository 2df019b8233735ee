import DeviceModel
import LinuxSystem
import VFIOABI
import VFIOHost

/// The driver of a mediated device: what those that come with Linux as samples answer (kernel.md G.6 to G.9), with a
/// ``MediatedDevice`` for what is different from one to the other.
///
/// **Locks.** ``lock`` serialises all calls into the device. Inside it only that of the interrupts is taken.
final class MediatedBusDriver: BusDriver, @unchecked Sendable {
    // SAFETY: everything that changes is guarded by `lock`, or guards itself.

    /// The device.
    let device: any MediatedDevice
    /// Serialises calls into the device and guards all that follows.
    let lock = Lock()
    /// How many kinds of interrupts the driver believes the device to have.
    private var interruptKindCount: UInt32
    /// The device's way to another host; nil where it stays.
    var migration: MediatedMigration?
    /// The mappings of regions that users hold.
    private var mappings: [PCIMapping] = []

    init(_ device: any MediatedDevice) {
        self.device = device
        interruptKindCount = device.remembersInterruptCount ? 0 : PCIInterrupt.count
        migration = device.movable.map { MediatedMigration($0) }
    }

    func openDevice() throws(Errno) {}

    func closeDevice() {
        device.port.interrupts.clear()
        lock.withLock {
            migration?.reset()
            device.close()
        }
    }

    /// It reaches no memory.
    func attach(to addressSpace: (any DMAAddressSpace)?) {}

    /// Nobody could be asked: these devices have no such interrupt.
    func requestRelease(count: Int) {}

    func withdraw() {}

    // MARK: requests

    func control(_ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        let argument = HostAddress(rawValue: argument)
        switch Request(rawValue: UInt(request)) {
        case .deviceGetInfo: try describeDevice(argument)
        case .deviceGetIRQInfo: try describeInterrupt(argument)
        case .deviceSetIRQs: try setInterrupts(argument)
        case .deviceReset:
            lock.withLock {
                device.reset()
                migration?.reset()
            }
        case .deviceQueryGFXPlane: try describePlane(argument)
        default: throw .noSuchRequest
        }
        return 0
    }

    /// `VFIO_DEVICE_GET_INFO`
    private func describeDevice(_ argument: HostAddress) throws(Errno) {
        // That it can be reset isn't told, though it can.
        try DeviceInfo.answer(
            argument, .pci, regionCount: device.regionCount, irqCount: PCIInterrupt.count)
        lock.withLock { interruptKindCount = PCIInterrupt.count }
    }

    /// `VFIO_DEVICE_GET_IRQ_INFO`
    private func describeInterrupt(_ argument: HostAddress) throws(Errno) {
        var info = try UserMemory.load(IRQInfo(), from: argument)
        guard info.argsz >= UInt32(IRQInfo.minimumSize), info.index < lock.withLock({ interruptKindCount })
        else { throw .invalid }
        if device.port.hasInterrupt {
            switch PCIInterrupt(rawValue: info.index) {
            case .intx: info.flags = [.eventFD, .maskable, .automasked]
            case .msi: info.flags = [.eventFD, .noResize]
            default: throw .invalid
            }
            info.count = 1
        } else {
            // The flags stay what the user had there.
            info.count = 0
        }
        try UserMemory.store(info, to: argument)
    }

    /// `VFIO_DEVICE_SET_IRQS`
    private func setInterrupts(_ argument: HostAddress) throws(Errno) {
        guard device.port.hasInterrupt else { throw .invalid }
        // As Linux's sample has it: as many interrupts of each kind as there are kinds.
        let request = try PCIInterruptRequest(from: argument) { _ in
            Int(lock.withLock { interruptKindCount })
        }
        try device.port.interrupts.carryOut(request)
    }

    /// `VFIO_DEVICE_QUERY_GFX_PLANE`
    private func describePlane(_ argument: HostAddress) throws(Errno) {
        guard isDisplay else { throw .noSuchRequest }
        // Up to the last field that has a meaning.
        let byteCount = GFXPlaneInfo.minimumSize - 4
        var plane = try UserMemory.load(GFXPlaneInfo(), from: argument, count: byteCount)
        guard plane.argsz >= UInt32(byteCount) else { throw .invalid }
        try lock.withLock { () throws(Errno) in try device.describePlane(&plane) }
        try UserMemory.store(plane, to: argument, count: byteCount)
    }

    /// Whether the device has a picture, in whatever form.
    private var isDisplay: Bool { offersPlane(.region) || offersPlane(.dmabuf) }

    var hasPlaneMemory: Bool { offersPlane(.dmabuf) }

    private func offersPlane(_ kind: GFXPlaneFlags) -> Bool {
        var probe = GFXPlaneInfo(flags: [.probe, kind])
        return lock.withLock { (try? device.describePlane(&probe)) != nil }
    }

    func planeMemory(_ id: UInt32) throws(Errno) -> PlaneMemory {
        try lock.withLock { () throws(Errno) in try device.planeMemory(id) }
    }

    func feature(
        _ id: UInt32, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32 {
        let feature = Feature(rawValue: UInt16(truncatingIfNeeded: id))
        if let answer = try migrationFeature(
            feature, operation, isProbe: isProbe, payload: payload, room: room)
        {
            return answer
        }
        throw feature == .migrationPrecopyInfoV2 ? .invalid : .noSuchRequest
    }

    // MARK: regions

    func regionInfo(index: UInt32) throws(Errno) -> RegionDescription {
        for region in device.regions where region.index == index {
            var flags: RegionFlags = [.read, .write]
            if region.memory != nil { flags.insert(.mmap) }
            var description = RegionDescription(
                flags: flags.rawValue, size: region.byteCount, offset: region.offset)
            description.type = region.kind.map { ($0.type.rawValue, $0.subtype.rawValue) }
            return description
        }
        guard index < device.regionCount else { throw .invalid }
        return RegionDescription(flags: 0, size: 0, offset: 0)
    }

    /// The region that an offset of the handle lies in.
    /// - Throws: `EFAULT` where there is none: all that these drivers say when something is wrong.
    private func region(at offset: UInt64) throws(Errno) -> MediatedRegion {
        for region in device.regions
        where offset >= region.offset && offset - region.offset < region.byteCount {
            return region
        }
        throw .badAddress
    }

    func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        lock.lock()
        defer { lock.unlock() }
        var done = 0
        while done < bytes.byteCount {
            let at = offset &+ UInt64(done)
            let region = try region(at: at)
            let width = NaturalAccess.width(at: at, UInt64(bytes.byteCount - done))
            let place = at - region.offset
            let value: UInt64
            if let window = region.memory?.window {
                value = window.loadRegister(Int(place), width: width)
            } else {
                value = UInt64(device.read(region: region.index, at: place, width: width))
            }
            bytes.storeUnit(value, width, at: done)
            done += width
        }
        return done
    }

    func write(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        lock.lock()
        defer { lock.unlock() }
        var done = 0
        while done < bytes.byteCount {
            let at = offset &+ UInt64(done)
            let region = try region(at: at)
            let width = NaturalAccess.width(at: at, UInt64(bytes.byteCount - done))
            let place = at - region.offset
            let value = bytes.loadUnit(width, at: done)
            if let window = region.memory?.window {
                window.storeRegister(Int(place), width: width, value: value)
            } else {
                device.write(
                    region: region.index, at: place, width: width, value: UInt32(truncatingIfNeeded: value))
            }
            done += width
        }
        return done
    }

    /// A region of memory, from its beginning: nothing else can be mapped.
    func map(
        at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        lock.lock()
        defer { lock.unlock() }
        for region in device.regions where region.offset == offset {
            guard let memory = region.memory, UInt64(byteCount) <= region.byteCount else { continue }
            let mapping = try PCIMapping(
                memory.descriptor, at: 0, byteCount: byteCount, protection: protection)
            mappings.append(mapping)
            return mapping.mapping.window
        }
        throw .invalid
    }

    func unmap(_ window: MemoryWindow) {
        lock.withLock {
            let index = mappings.firstIndex { $0.mapping.window.address == window.address }
            if let index { mappings.remove(at: index) }
        }
    }

    // MARK: faults on demand

    /// Nothing could be missing: the device is its driver's own.
    func readAbsent(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        try read(at: offset, into: &bytes)
    }

    func writeAbsent(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        try write(at: offset, bytes)
    }

    func resetAbsent() throws(Errno) -> Int32 {
        try control(UInt32(truncatingIfNeeded: Request.deviceReset.rawValue), 0)
    }

    func presenceChanged(isAbsent: Bool, reportsError: Bool) {}
}
