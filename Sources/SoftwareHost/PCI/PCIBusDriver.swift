import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOABI

import VFIOHost

/// The vfio-pci driver of the software host, for one function: what Linux's vfio-pci answers (kernel.md D),
/// with a ``DeviceModel`` in place of the hardware.
///
/// **Locks.** ``lock`` plays the part of Linux's memory lock and interrupt gate: one call into the model, one
/// access to configuration space, one change of interrupts at a time. Inside it, and from the device's own
/// threads without it, only ``PCIInterrupts``' lock and the slot's gate are taken.
///
/// **Where it differs from Linux.** A BAR can be mapped only where the model declares plain memory: a
/// register whose accesses have effects can't be mapped into the process that carries them out. So a BAR
/// that is memory in parts is described with `VFIO_REGION_INFO_CAP_SPARSE_MMAP`, which Linux's own vfio-pci
/// doesn't use. The same memory, and no other, can be exported as a DMA-BUF.
final class PCIBusDriver: BusDriver, @unchecked Sendable {
    // SAFETY: everything that changes is guarded by `lock`, or guards itself.

    /// The device.
    let model: any DeviceModel
    /// Its PCI side.
    let function: PCIFunction
    /// Its registers of configuration space as the hardware holds them.
    let configuration: PCIConfiguration
    /// Where it sits.
    let address: PCIAddress
    /// The bus addresses of its BARs.
    let assigned: PCIAssignedAddresses
    /// The bus that it sits on; a root bus, which can't be reset, until the core says otherwise.
    var pciBus = PCIBus()
    /// Whether the function is alone on a bus below a bridge, which can then be reset for it.
    var isAloneOnBus: Bool { pciBus.isResettable && pciBus.functionCount == 1 }
    /// Whether MSI-X vectors may be added while others are in use.
    let hasDynamicVectors: Bool
    /// What becomes of its interrupts.
    let interrupts = PCIInterrupts()
    /// What it is plugged into.
    let slot: PCIDriverSlot
    /// What an access to each BAR needs to know.
    let plans: InlineArray<6, PCIBARPlan>

    /// Serialises calls into the model and guards all that follows.
    let lock = Lock()
    /// Configuration space as the user sees it; made anew at every first open.
    var view: PCIConfigurationView
    /// Whether the user's MEM bit is set and the device is in D0: BARs answer.
    var isMemoryOn: Bool {
        get { unsafe uncheckedMemoryOn }
        set { unsafe uncheckedMemoryOn = newValue }
    }
    /// Whether the user lets the device sleep: every use then wakes it first.
    var sleepsWhenUnused: Bool {
        get { unsafe uncheckedSleeps }
        set { unsafe uncheckedSleeps = newValue }
    }
    // SAFETY: all are read on every access to a register, and `lock` already excludes overlapping accesses:
    // checking that again at run time would cost as much as the access itself.
    @exclusivity(unchecked) private var uncheckedMemoryOn = false
    @exclusivity(unchecked) private var uncheckedSleeps = false
    @exclusivity(unchecked) private var uncheckedStopped = false
    /// Whether the device is stopped for migration: it answers none of its registers.
    var isStopped: Bool {
        get { unsafe uncheckedStopped }
        set { unsafe uncheckedStopped = newValue }
    }
    /// What a variant of the driver does to move the device; nil where there is none.
    var migration: PCIMigration?
    /// The registers of migration by version 1, for a variant that has those.
    var historicMigration: HistoricMigration?
    /// The mappings of BARs that users hold.
    var mappings: [PCIMapping] = []
    /// The memory of BARs that was exported.
    let exports = DMABufs()
    /// The empty file that stands in for memory that is off; made when first needed.
    var nothing: Int32 = -1
    /// Whether the function sits in this driver's slot.
    private(set) var isInSlot = true
    /// The parameters of the kernel's modules.
    var parameters = Shared(ModuleParameters())
    /// Whether the user has the legacy VGA windows.
    private(set) var hasLegacyVGA = false
    /// Whether a function reset worked when the device was opened.
    var canReset = false
    /// Whether what a user left in the device is still there, since it has no reset of its own.
    var needsReset = false
    /// `nointxmask`, as it was when the device was bound: Interrupt Disable isn't relied upon.
    var ignoresInterruptDisable = false
    /// What a close restores.
    var baseline: PCISavedState?
    /// What leaving D3hot restores.
    var savedForWake: PCISavedState?
    /// Unmasks INTx when the user's eventfd asks for it.
    var unmaskWatcher: EventWatcher?
    /// Whether the user lets the device sleep, and whether it does.
    var lowPower = PCILowPower() {
        didSet { sleepsWhenUnused = lowPower.isAllowed }
    }
    /// The writes that eventfds set off.
    var eventWrites = PCIEventWrites()
    /// What an administrator decided about resets; the device's, and shared with whoever drives it next.
    var resetPolicy = PCIResetPolicy()
    /// How many virtual functions the function has: it stays awake as long as there are any.
    var virtualFunctionCount = 0
    /// How many requests are being answered.
    var useCount = 0
    /// What the machine around the device adds to what is told of it.
    var surroundings = PCISurroundings()
    /// How many interrupt vectors the platform grants; nil for all that a device has.
    var vectorLimit: Int?

    var pci: PCIBusDriver? { self }

    /// Takes over a device and gives it bus addresses, as firmware would.
    /// - Parameters:
    ///   - address: where it sits.
    ///   - hasDynamicVectors: whether MSI-X vectors can be added while others are in use (Linux 6.6 and later
    ///     on machines with per-device MSI domains).
    ///   - faults: what goes wrong between the device and the rest.
    init(
        model: any DeviceModel, address: PCIAddress, hasDynamicVectors: Bool = true,
        faults: DeviceFaults = DeviceFaults()
    ) {
        self.model = model
        self.address = address
        self.hasDynamicVectors = hasDynamicVectors
        function = model.function
        configuration = function.configuration
        assigned = PCIAssignedAddresses(
            function.bars, romByteCount: function.romByteCount, function.virtualFunctions, bus: address.bus,
            deviceFunction: address.deviceFunction)
        slot = PCIDriverSlot(interrupts: interrupts, faults: faults)
        var plans = InlineArray<6, PCIBARPlan>(repeating: PCIBARPlan())
        for index in 0..<6 { plans[index] = PCIBARPlan(index, of: function) }
        self.plans = plans
        view = PCIConfigurationView(configuration)
        restoreAddresses()
        configuration.write(UInt32(decodedSpaces), at: PCIConfiguration.Register.command, width: 2)
        function.plug(into: slot)
    }

    deinit {
        withdraw()
        if nothing >= 0 { _ = Descriptor(owning: nothing) }
    }

    // MARK: what the host may report

    /// How many accesses to memory by the device were refused.
    var refusedDMACount: UInt64 { function.dma.refusedCount }
    /// The latest of them.
    var lastDMAFault: DMAFault? { function.dma.lastFault }

    /// Asks the user to give the device back: signals `VFIO_PCI_REQ_IRQ_INDEX`.
    /// - Returns: whether somebody listens.
    @discardableResult
    func requestRelease() -> Bool { interrupts.signal(.request) }

    func requestRelease(count: Int) { requestRelease() }

    /// Only once: after it the function may sit in another driver's slot.
    func withdraw() {
        lock.lock()
        defer { lock.unlock() }
        guard isInSlot else { return }
        isInSlot = false
        function.plug(into: nil)
    }

    /// Tells the user of an uncorrectable error: signals `VFIO_PCI_ERR_IRQ_INDEX`.
    /// - Returns: whether somebody listens.
    @discardableResult
    func reportError() -> Bool { interrupts.signal(.error) }

    func attach(to addressSpace: (any DMAAddressSpace)?) { slot.attach(to: addressSpace) }

    // MARK: open and close

    func openDevice() throws(Errno) {
        lock.lock()
        defer { lock.unlock() }
        typealias Command = PCIConfiguration.Command
        setPowerState(0)
        setHardwareCommand(set: decodedSpaces, clear: Command.busMaster)
        do throws(Errno) {
            try tryReset()
            canReset = true
        } catch {
            // Somebody else is at it: not now. Anything else means that this device can't be reset.
            if error == .again { throw error }
            canReset = false
        }
        baseline = PCISavedState(configuration)
        setHardwareCommand(set: 0, clear: Command.interruptDisable)
        interrupts.clear()
        view = PCIConfigurationView(configuration)
        if function.isVirtual { view.becomeVirtualFunction() }
        showOperationRegion()
        if function.identity.hasBrokenLine && !ignoresInterruptDisable {
            // As if it had no line: it is never let through.
            setHardwareCommand(set: Command.interruptDisable, clear: 0)
            view.set(0, at: PCIConfiguration.Register.interruptPin, width: 1)
        }
        hasLegacyVGA = function.identity.isVGA && !parameters.value.disableVGA
        lowPower = PCILowPower()
        for index in 0..<6 {
            view.set(
                assigned.register(index, of: function), at: PCIConfiguration.Register.bar0 + 4 * index,
                width: 4)
        }
        view.set(
            UInt32(truncatingIfNeeded: assigned.rom) | view.value(at: PCIConfiguration.Register.rom, width: 4)
                & 1,
            at: PCIConfiguration.Register.rom, width: 4)
        updateMemory()
    }

    func closeDevice() {
        lock.lock()
        // Its thread takes the lock, so it is waited for after that was given back.
        let watcher = eventWrites.removeAll()
        defer {
            lock.unlock()
            withExtendedLifetime(watcher) {}
        }
        leaveLowPower()
        setHardwareCommand(set: 0, clear: PCIConfiguration.Command.busMaster)
        disableInterrupts()
        interrupts.clear()
        model.quiesce()
        endMigration()
        migration?.tellsPrecopyFlags = false
        setPowerState(0)
        if let baseline { restore(baseline) }
        needsReset = true
        if canReset { needsReset = (try? tryReset()) == nil }
        if let baseline { restore(baseline) }
        setHardwareCommand(set: 0, clear: PCIConfiguration.Command.busMaster)
        baseline = nil
        isMemoryOn = false
        showMappings(false)
        exports.removeAll()
    }

    /// COMMAND's bits for the kinds of BARs that the function has.
    var decodedSpaces: UInt16 {
        var bits: UInt16 = 0
        for index in 0..<6 {
            guard let bar = function.bars[index] else { continue }
            bits |= bar.kind == .io ? PCIConfiguration.Command.io : PCIConfiguration.Command.memory
        }
        if !function.rom.isEmpty { bits |= PCIConfiguration.Command.memory }
        return bits
    }

    /// Changes bits of the hardware's COMMAND.
    func setHardwareCommand(set: UInt16, clear: UInt16) {
        let command = configuration.command & ~clear | set
        configuration.write(UInt32(command), at: PCIConfiguration.Register.command, width: 2)
    }

    /// Writes the BARs' addresses into the hardware.
    func restoreAddresses() {
        for index in 0..<6 {
            configuration.write(
                assigned.register(index, of: function), at: PCIConfiguration.Register.bar0 + 4 * index,
                width: 4)
        }
        let enable = configuration.value(at: PCIConfiguration.Register.rom, width: 4) & 1
        configuration.write(
            UInt32(truncatingIfNeeded: assigned.rom) | enable, at: PCIConfiguration.Register.rom, width: 4)
        guard let layout = function.virtualFunctions else { return }
        for index in 0..<6 {
            configuration.write(
                assigned.register(index, of: layout),
                at: layout.place + PCIFunction.VirtualizationRegister.bar0 + 4 * index, width: 4)
        }
    }

    // MARK: requests

    func control(_ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        let argument = HostAddress(rawValue: argument)
        switch Request(rawValue: UInt(request)) {
        case .deviceGetInfo: return try describeDevice(argument)
        case .deviceGetIRQInfo: try describeInterrupt(argument)
        case .deviceSetIRQs: return try setInterrupts(argument)
        case .deviceReset: return try resetOnRequest()
        case .deviceIOEventFD: try setEventWrite(argument)
        default: throw .noSuchRequest
        }
        return 0
    }

    /// `VFIO_DEVICE_GET_INFO` (kernel.md D.2).
    private func describeDevice(_ argument: HostAddress) throws(Errno) -> Int32 {
        var info = try UserMemory.load(DeviceInfo(), from: argument, count: DeviceInfo.minimumSize)
        guard info.argsz >= UInt32(DeviceInfo.minimumSize) else { throw .invalid }
        lock.lock()
        info.flags = canReset ? [.pci, .reset] : .pci
        info.regionCount = regionCount
        lock.unlock()
        info.irqCount = PCIInterrupt.count
        info.capabilityOffset = 0
        try describeSurroundings().copyOut(info, to: argument)
        return 0
    }
}
