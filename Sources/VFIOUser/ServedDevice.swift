import DeviceModel
import LinuxSystem
import VFIOABI

/// A device and what a client has set up for it. It outlives the clients, which come one after the other; all of
/// it is used by one thread, except the slot.
///
/// **Configuration space** is the device's own registers: a client that virtualises it, as QEMU does, does so on
/// its side. Two things follow from other requests: SET_IRQS enables the kind of messages that it sets up and
/// disables it again, as for a kernel's vfio-pci; and DEVICE_RESET leaves addresses, COMMAND and the messages in
/// use as they were.
@safe final class ServedDevice {
    let model: any DeviceModel
    let function: PCIFunction
    let configuration: PCIConfiguration
    let slot: ServerSlot
    /// What is counted and traced.
    let monitor: ServerMonitor
    let limits: Limits
    /// What an access to each BAR needs to know.
    let plans: InlineArray<6, PCIBARPlan>
    /// The model's doorbells.
    let doorbells: [DoorbellRegister]
    /// The way to another host.
    var migration: DeviceMigration
    /// Whether the device is stopped: its registers aren't there for the client.
    var isFrozen = false
    /// Unmasks INTx when the client's eventfd asks for it.
    var unmaskSource: UnmaskSource?

    /// An eventfd and who waits for it; the watcher ends first.
    final class UnmaskSource {
        private let watcher: EventWatcher
        private let descriptor: Descriptor

        init(_ descriptor: consuming Descriptor, _ interrupts: PCIInterrupts) throws(Errno) {
            watcher = try EventWatcher(descriptor.number) { interrupts.unmaskLine() }
            self.descriptor = descriptor
        }
    }

    init(_ model: any DeviceModel, _ limits: Limits) {
        self.model = model
        self.limits = limits
        migration = DeviceMigration(model)
        function = model.function
        configuration = function.configuration
        slot = ServerSlot(limits)
        monitor = slot.monitor
        doorbells = model.doorbells
        var plans = InlineArray<6, PCIBARPlan>(repeating: PCIBARPlan())
        for index in 0..<6 { plans[index] = PCIBARPlan(index, of: function) }
        self.plans = plans
        function.plug(into: slot)
    }

    deinit { function.plug(into: nil) }

    /// The client has gone, by whatever way: nothing of what it set up is left, and the next one finds the device
    /// as after power-on.
    func release() {
        // Without Bus Master Enable nothing new begins; then the model ends what it is at.
        let command = configuration.command & ~PCIConfiguration.Command.busMaster
        configuration.write(UInt32(command), at: PCIConfiguration.Register.command, width: 2)
        disableInterrupts()
        slot.interrupts.clear()
        model.quiesce()
        slot.memory.removeAll()
        slot.memory.stopLogging()
        model.performReset(.function)
        endMigration()
    }

    /// `VFIO_USER_DEVICE_RESET`.
    func reset() {
        let saved = PCISavedState(configuration)
        slot.suspendCalls()
        model.performReset(.function)
        endMigration()
        slot.resumeCalls()
        saved.restore(to: configuration)
        restoreMessages()
    }

    /// Does the reset that a write to configuration space asked for: registers as after a reset, but the
    /// client's interrupts stay set up.
    @inline(never)
    func perform(_ asked: ResetKind) {
        slot.suspendCalls()
        model.performReset(asked)
        endMigration()
        slot.resumeCalls()
        restoreMessages()
    }

    // MARK: descriptions

    /// `VFIO_USER_DEVICE_GET_INFO`.
    func describeDevice(_ reply: inout MessageWriter) {
        reply.append(
            UserDeviceInfo(
                flags: [.pci, .reset], regionCount: PCIRegion.count, irqCount: PCIInterrupt.count))
    }

    /// The length of a region in bytes; 0 for one that isn't there.
    func regionByteCount(_ region: UInt32) -> UInt64 {
        switch region {
        case 0...5: plans[Int(region)].byteCount
        case PCIRegion.rom.rawValue: function.romByteCount
        case PCIRegion.config.rawValue: UInt64(configuration.byteCount)
        case PCIRegion.vga.rawValue: function.identity.isVGA ? LegacyVGA.byteCount : 0
        default: 0
        }
    }

    /// `VFIO_USER_DEVICE_GET_REGION_INFO`.
    /// - Returns: a descriptor to send along, or -1. It belongs to the model.
    func describeRegion(_ request: RegionInfo, _ reply: inout MessageWriter) throws(Errno) -> Int32 {
        guard request.index < PCIRegion.count else { throw .invalid }
        var info = RegionInfo(
            argsz: request.argsz, index: request.index, size: regionByteCount(request.index))
        if info.size > 0 {
            info.flags = request.index == PCIRegion.rom.rawValue ? .read : [.read, .write]
        }
        guard request.index < 6, let shared = sharedMemory(bar: Int(request.index)) else {
            info.argsz = UInt32(RegionInfo.byteCount)
            reply.append(info)
            return -1
        }
        info.flags.insert(.mmap)
        info.offset = shared.offset
        var chain = CapabilityBuilder<RegionInfo>()
        do throws(CapabilityBuilderError) {
            try chain.appendSparseMmap(shared.areas.span)
        } catch {
            throw .noMemory
        }
        let fits = chain.complete(&info)
        info.argsz = UInt32(RegionInfo.byteCount + chain.byteCount)
        if !fits { info.flags.remove(.caps) }
        reply.append(info)
        guard fits else { return -1 }
        // SAFETY: a UInt8 has no padding.
        reply.append(unsafe chain.bytes.bytes)
        return shared.descriptor
    }

    /// The areas of a BAR that one descriptor shows, and what is added to an offset in the BAR to have the offset
    /// in the descriptor's file; nil where there are none.
    ///
    /// The protocol has room for one descriptor and one such number. Memory that doesn't fit in is reached by
    /// messages.
    private func sharedMemory(bar: Int) -> (descriptor: Int32, offset: UInt64, areas: [SparseMmapArea])? {
        var descriptor: Int32 = -1
        var offset: UInt64 = 0
        var areas: [SparseMmapArea] = []
        for part in function.memories where part.bar == bar && part.descriptor >= 0 {
            guard part.fileOffset >= part.offset, part.window.byteCount % pageSize == 0 else { continue }
            if areas.isEmpty {
                descriptor = part.descriptor
                offset = part.fileOffset - part.offset
            }
            guard part.descriptor == descriptor, part.fileOffset - part.offset == offset else { continue }
            areas.append(SparseMmapArea(offset: part.offset, size: UInt64(part.window.byteCount)))
        }
        guard !areas.isEmpty else { return nil }
        areas.sort { $0.offset < $1.offset }
        return (descriptor, offset, areas)
    }
}
