import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

/// What the drivers of devices that aren't PCI functions have in common: regions at addresses of the machine,
/// interrupts, DMA. Each bus has a subclass with what only it does (kernel.md G.1 to G.3).
///
/// **Locks.** ``lock`` allows one call into the model at a time. Inside it, and from the device's own threads
/// without it, only the locks of interrupts and the slot's gate are taken.
///
/// **Where it differs from Linux.** A region can be mapped only where the model declares it to be plain memory: a
/// register whose accesses have effects can't be mapped into the process that carries them out.
class MappedBusDriver: BusDriver, @unchecked Sendable {
    // SAFETY: what changes is guarded by `lock`, or guards itself.

    /// The device.
    let model: any BusDeviceModel
    /// What it has.
    let resources: BusResources
    /// What it is plugged into.
    let slot: PCIDriverSlot
    /// What becomes of its messages.
    let messages = PCIInterrupts()
    /// What becomes of its interrupt lines.
    let lines: LineInterrupts
    /// Serialises calls into the model and guards all that follows.
    let lock = Lock()
    /// The mappings that users hold.
    private var mappings: [PCIMapping] = []
    /// The empty file that stands in for memory that can't be shown; made when first needed.
    private var nothing: Int32 = -1
    private var isInSlot = true

    init(_ model: any BusDeviceModel, _ faults: DeviceFaults) {
        self.model = model
        resources = model.resources
        slot = PCIDriverSlot(interrupts: messages, faults: faults)
        lines = LineInterrupts(model.resources.lineTriggers, faults.counters)
        resources.plug(into: slot, lines: lines)
    }

    deinit {
        withdraw()
        if nothing >= 0 { _ = Descriptor(owning: nothing) }
    }

    // MARK: what each bus does its own way

    /// `VFIO_DEVICE_GET_INFO`'s flags.
    var deviceFlags: DeviceFlags { [] }
    /// How many interrupt indices there are.
    var interruptIndexCount: Int { lines.count }
    /// Whether what can be mapped of a region may be.
    func isMappable(_ region: BusRegion) -> Bool { region.kind == .memory }
    /// What is said to who maps a region for what it can't.
    var wrongProtection: Errno { .invalid }

    func admit(_ parameters: ModuleParameters) throws(Errno) {}

    func openDevice() throws(Errno) {
        lines.clear()
        messages.clear()
    }

    func closeDevice() {
        lines.clear()
        messages.clear()
        lock.withLock { model.quiesce() }
    }

    func interruptInfo(_ index: Int) throws(Errno) -> (count: Int, flags: IRQFlags) { throw .invalid }
    func setInterrupts(_ request: PCIInterruptRequest) throws(Errno) { throw .invalid }
    /// How many interrupts each index has.
    var interruptsPerIndex: Int { lines.count }
    func reset() throws(Errno) { throw .noSuchRequest }

    func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int { throw .invalid }
    func write(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int { throw .invalid }

    func feature(
        _ id: UInt32, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32 { throw .noSuchRequest }

    func requestRelease(count: Int) {}

    // MARK: requests

    func control(_ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        let argument = HostAddress(rawValue: argument)
        switch Request(rawValue: UInt(request)) {
        case .deviceGetInfo: try describeDevice(argument)
        case .deviceGetIRQInfo: try describeInterrupt(argument)
        case .deviceSetIRQs:
            let request = try PCIInterruptRequest(
                from: argument, indexCount: UInt32(clamping: interruptIndexCount)
            ) { _ in interruptsPerIndex }
            try setInterrupts(request)
        case .deviceReset: try reset()
        default: throw .noSuchRequest
        }
        return 0
    }

    private func describeDevice(_ argument: HostAddress) throws(Errno) {
        try DeviceInfo.answer(
            argument, deviceFlags, regionCount: UInt32(clamping: resources.regions.count),
            irqCount: UInt32(clamping: interruptIndexCount))
    }

    private func describeInterrupt(_ argument: HostAddress) throws(Errno) {
        var info = try UserMemory.load(IRQInfo(), from: argument)
        guard info.argsz >= UInt32(IRQInfo.minimumSize), Int(info.index) < interruptIndexCount else {
            throw .invalid
        }
        let answer = try interruptInfo(Int(info.index))
        info.flags = answer.flags
        info.count = UInt32(clamping: answer.count)
        try UserMemory.store(info, to: argument)
    }

    /// Gives a line its eventfd, takes it away, or does as if it had interrupted: `VFIO_IRQ_SET_ACTION_TRIGGER` of an
    /// index that is one line.
    func setLineEvent(_ request: PCIInterruptRequest) throws(Errno) {
        let index = Int(request.index.rawValue)
        if request.count == 0 && request.data == .dataNone {
            lines.setEvent(nil, index)
            return
        }
        guard request.start == 0, request.count == 1 else { throw .invalid }
        if request.data == .dataEventFD {
            // The old one is gone in any case.
            lines.setEvent(nil, index)
            let number = request.descriptors[0]
            if number >= 0 { lines.setEvent(try PCITrigger(number), index) }
        } else if request.isSet(0) {
            lines.loop(index)
        }
    }

    // MARK: regions

    func regionInfo(index: UInt32) throws(Errno) -> RegionDescription {
        guard Int(index) < resources.regions.count else { throw .invalid }
        let region = resources.regions[Int(index)]
        return RegionDescription(
            flags: flags(of: region).rawValue, size: region.byteCount,
            offset: UInt64(index) << PCIRegionOffset.shift)
    }

    func flags(of region: BusRegion) -> RegionFlags {
        guard region.kind == .memory else { return [] }
        var flags: RegionFlags = .read
        if !region.isReadOnly { flags.insert(.write) }
        if region.memory != nil && region.isPageAligned && isMappable(region) { flags.insert(.mmap) }
        return flags
    }

    /// The region of an offset of the handle, if it allows an access.
    func region(at offset: UInt64, for access: RegionFlags) throws(Errno) -> Int {
        let index = offset >> PCIRegionOffset.shift
        guard index < UInt64(resources.regions.count),
            flags(of: resources.regions[Int(index)]).contains(access)
        else { throw .invalid }
        return Int(index)
    }

    /// How much of an access lies in a region.
    private func clip(_ index: Int, _ position: UInt64, _ byteCount: Int) throws(Errno) -> UInt64 {
        let size = resources.regions[index].byteCount
        guard position < size else { throw .invalid }
        return min(UInt64(byteCount), size - position)
    }

    /// Reads registers, by accesses of 4, 2 and 1 bytes.
    func readRegisters(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        let index = try region(at: offset, for: .read)
        let position = offset & PCIRegionOffset.mask
        let count = try clip(index, position, bytes.byteCount)
        lock.lock()
        defer { lock.unlock() }
        var done: UInt64 = 0
        while done < count {
            let width = NaturalAccess.width(at: position + done, count - done)
            bytes.storeUnit(
                model.loadRegion(index, offset: position + done, width: width), width, at: Int(done))
            done += UInt64(width)
        }
        return Int(count)
    }

    /// Writes registers, by accesses of 4, 2 and 1 bytes.
    func writeRegisters(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let index = try region(at: offset, for: .write)
        let position = offset & PCIRegionOffset.mask
        let count = try clip(index, position, bytes.byteCount)
        lock.lock()
        defer { lock.unlock() }
        var done: UInt64 = 0
        while done < count {
            let width = NaturalAccess.width(at: position + done, count - done)
            model.storeRegion(
                index, offset: position + done, width: width, value: bytes.loadUnit(width, at: Int(done)))
            done += UInt64(width)
        }
        return Int(count)
    }

    func map(
        at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        guard offset % UInt64(pageSize) == 0, byteCount > 0,
            let rounded = byteCount.roundedUp(toMultipleOf: pageSize)
        else { throw .invalid }
        let index = try region(at: offset, for: .mmap)
        let region = resources.regions[index]
        if protection.contains(.write) && region.isReadOnly { throw wrongProtection }
        let start = offset & PCIRegionOffset.mask
        guard let memory = region.memory, start < region.byteCount,
            UInt64(rounded) <= region.byteCount - start
        else { throw .invalid }
        lock.lock()
        defer { lock.unlock() }
        if nothing < 0 { nothing = try MemoryFile.create("vfio region gone", byteCount: 0).release() }
        let mapping = try PCIMapping(
            memory.descriptor, at: memory.fileOffset + start, byteCount: rounded, protection: protection)
        if slot.faults.isSilent { mapping.showAbsence(true, nothing: nothing) }
        mappings.append(mapping)
        return mapping.mapping.window
    }

    func unmap(_ window: MemoryWindow) {
        lock.lock()
        defer { lock.unlock() }
        if let index = mappings.firstIndex(where: { $0.mapping.window.address == window.address }) {
            mappings.remove(at: index)
        }
    }

    // MARK: its place

    func attach(to addressSpace: (any DMAAddressSpace)?) { slot.attach(to: addressSpace) }

    /// Only once: after it the device may sit in another driver's slot.
    func withdraw() {
        lock.lock()
        defer { lock.unlock() }
        guard isInSlot else { return }
        isInSlot = false
        resources.plug(into: nil, lines: nil)
    }

    // MARK: a device that doesn't answer

    func readAbsent(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        let index = try region(at: offset, for: .read)
        let count = Int(try clip(index, offset & PCIRegionOffset.mask, bytes.byteCount))
        for place in 0..<count { bytes.storeBytes(of: 0xff, toByteOffset: place, as: UInt8.self) }
        return count
    }

    func writeAbsent(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let index = try region(at: offset, for: .write)
        return Int(try clip(index, offset & PCIRegionOffset.mask, bytes.byteCount))
    }

    func resetAbsent() throws(Errno) -> Int32 { throw .invalid }

    func presenceChanged(isAbsent: Bool, reportsError: Bool) {
        // It may be out of reach for another reason as well.
        let isSilent = isAbsent || slot.faults.isSilent
        lock.lock()
        defer { lock.unlock() }
        for mapping in mappings { mapping.showAbsence(isSilent, nothing: nothing) }
    }
}
