import DeviceModel
import LinuxSystem
import VFIOABI

/// vfio-pci on this side of a socket: what Linux's driver does between a user and a PCI function (kernel.md D), for
/// a function that a vfio-user server has.
///
/// A server shows its function's own registers. So what a kernel keeps from its users is kept here: they get a
/// view of configuration space, memory that is off doesn't answer, bus mastering is off after opening, and interrupts
/// are set up by SET_IRQS alone.
///
/// **Locks.** ``lock`` is taken first, then that of ``RemoteDevice``. Accesses to BARs take the latter only.
final class RemotePCI: @unchecked Sendable {
    // SAFETY: everything that changes is guarded by `lock`, or guards itself.

    /// The function, over one connection after the other.
    let remote: RemoteDevice
    /// What it is.
    let shape: RemoteShape
    let lock = Lock()
    /// One opening or closing at a time; taken before `lock`.
    private let openLock = Lock()
    /// How many files there are. Guarded by `openLock`.
    private var openCount = 0

    var view: PCIConfigurationView
    var isMemoryOn = false { didSet { publishSpaces() } }
    var lowPower = PCILowPower() { didSet { sleeps.store(lowPower.isAllowed ? 1 : 0) } }
    var savedForWake: PCISavedState?
    var eventWrites = PCIEventWrites()
    var useCount = 0
    private(set) var powerState: UInt8 = 0
    /// Whether a reset worked when the device was opened.
    private var canReset = false
    /// What a close restores.
    private var baseline: PCISavedState?
    /// Which of the connections all of this is about.
    private var connectionNumber = 0
    /// Not 0 while the user lets the device sleep: every use then wakes it first.
    let sleeps = AtomicWord()

    /// - Throws: ``ClientFailure``: the server doesn't answer, or has no configuration space that makes sense.
    init(_ remote: RemoteDevice) throws(ClientFailure) {
        self.remote = remote
        let count = Int(truncatingIfNeeded: remote.description.regions[7].size)
        let registers: PCIRegisterSnapshot
        do throws(Errno) {
            registers = try remote.registers(0..<count)
        } catch {
            throw .lost(error)
        }
        shape = RemoteShape(remote.description, registers)
        view = PCIConfigurationView(registers)
    }

    /// Whether `VFIO_DEVICE_RESET` works.
    var isResettable: Bool { lock.withLock { canReset } }

    // MARK: open and close

    /// A file of the device is about to be made. With the first one the device begins anew (kernel.md D.1).
    /// - Throws: what the server answers.
    func open() throws(Errno) {
        openLock.lock()
        defer { openLock.unlock() }
        if openCount == 0 { try begin() }
        openCount += 1
    }

    /// A file has gone; with the last one the device is reset.
    func close() {
        openLock.lock()
        defer { openLock.unlock() }
        openCount -= 1
        if openCount == 0 { end() }
    }

    private func begin() throws(Errno) {
        typealias Command = PCIConfiguration.Command
        lock.lock()
        defer { lock.unlock() }
        interrupts.clear()
        lowPower = PCILowPower()
        savedForWake = nil
        try readPowerState()
        try setPowerState(0)
        try setHardwareCommand(set: shape.decodedSpaces, clear: Command.busMaster)
        canReset = false
        if remote.description.info.flags.contains(.reset) {
            do throws(Errno) {
                try resetFunction()
                canReset = true
            } catch {
                // One that can't be reset now is used as it is, as by Linux; a server that has gone can't be.
                guard remote.isConnected else { throw error }
            }
        }
        try setHardwareCommand(set: shape.decodedSpaces, clear: Command.busMaster | Command.interruptDisable)
        let registers = try remote.registers(0..<byteCount)
        baseline = PCISavedState(registers)
        view = PCIConfigurationView(registers)
        showAddresses()
        connectionNumber = remote.connectionNumber
        try readPowerState()
        updateMemory()
    }

    /// The user finds addresses as firmware would have given them; the server's registers stay as they are.
    private func showAddresses() {
        typealias Register = PCIConfiguration.Register
        for index in 0..<6 {
            view.set(
                shape.assigned.register(index, of: shape.bars), at: Register.bar0 + 4 * index, width: 4)
        }
        let enable = view.value(at: Register.rom, width: 4) & 1
        view.set(UInt32(truncatingIfNeeded: shape.assigned.rom) | enable, at: Register.rom, width: 4)
    }

    private func end() {
        lock.lock()
        // Its thread takes the lock, so it is waited for after that was given back.
        let watcher = eventWrites.removeAll()
        defer {
            lock.unlock()
            withExtendedLifetime(watcher) {}
        }
        isMemoryOn = false
        showMappings(false)
        // Nobody hears of a failure. A server that has gone isn't looked for only to be told of the end.
        if remote.isConnected {
            try? leaveLowPower()
            try? setHardwareCommand(set: 0, clear: PCIConfiguration.Command.busMaster)
            try? disableInterrupts()
            for notice in [PCIInterrupts.Notice.error, .request] where interrupts.hasTrigger(notice) {
                try? setTrigger(nil, for: notice)
            }
            try? setPowerState(0)
            if let baseline { try? baseline.restore(to: self) }
            if canReset { try? resetFunction() }
            try? setHardwareCommand(set: 0, clear: PCIConfiguration.Command.busMaster)
        }
        lowPower = PCILowPower()
        isMemoryOn = false
        baseline = nil
        interrupts.clear()
        remote.endUse()
    }

    // MARK: a use

    /// A request or an access begins: a sleeping device wakes up, and a server that has come back gets to know what
    /// it has to.
    func beginUse() throws(Errno) {
        lock.lock()
        defer { lock.unlock() }
        useCount += 1
        noticeReturn()
        do throws(Errno) {
            try wake()
        } catch {
            useCount -= 1
            throw .inputOutput
        }
    }

    /// It has ended.
    func endUse() {
        lock.lock()
        defer { lock.unlock() }
        useCount -= 1
        // One that can't be sent to sleep stays awake.
        try? fallAsleep()
    }

    /// Where the server has gone and come back: its function is awake, whatever the former one was. With the lock held.
    func noticeReturn() {
        guard connectionNumber != remote.connectionNumber else { return }
        connectionNumber = remote.connectionNumber
        powerState = 0
        savedForWake = nil
        lowPower.isAsleep = false
        updateMemory()
    }

    // MARK: reset and power

    /// `VFIO_DEVICE_RESET`.
    /// - Throws: `EINVAL` if no reset worked when the device was opened; what the server answers.
    func reset() throws(Errno) {
        lock.lock()
        defer { lock.unlock() }
        guard canReset else { throw .invalid }
        // Whatever comes of it, a user's D3hot ends.
        try setPowerState(0)
        try resetFunction()
    }

    /// Resets and puts back what a kernel puts back.
    private func resetFunction() throws(Errno) {
        showMappings(false)
        let saved = try savedState()
        try remote.reset()
        try restore(saved)
        updateMemory()
    }

    func resetByBit(of capability: PCIResetBit) {
        let isOffered = capability == .express ? shape.hasExpressReset : shape.hasAdvancedReset
        if isOffered { try? resetFunction() }
    }

    func forbidSleep() throws(Errno) { try leaveLowPower() }

    /// Changes bits of the hardware's COMMAND.
    func setHardwareCommand(set: UInt16, clear: UInt16) throws(Errno) {
        let old = UInt16(truncatingIfNeeded: try value(at: PCIConfiguration.Register.command, width: 2))
        let new = old & ~clear | set
        if new != old { try self.set(UInt32(new), at: PCIConfiguration.Register.command, width: 2) }
    }

    private func readPowerState() throws(Errno) {
        guard view.power != 0 else { return }
        powerState = UInt8(truncatingIfNeeded: try value(at: view.power + 4, width: 1) & 3)
    }
}

/// The function as ``PCIPassthrough`` reaches it: by messages. All of it with the lock held.
extension RemotePCI: PCIPassthrough {
    typealias Failure = Errno

    var byteCount: Int { view.byteCount }
    var bars: [BAR?] { shape.bars }
    var romByteCount: UInt64 { shape.romByteCount }
    var isExpress: Bool { shape.isExpress }
    var isKeptAwake: Bool { false }
    func plan(ofBAR index: Int) -> PCIBARPlan { shape.plans[index] }

    func value(at offset: Int, width: Int) throws(Errno) -> UInt32 {
        guard offset >= 0, offset + width <= byteCount else { return 0 }
        return try remote.registers(offset..<offset + width).value(at: offset, width: width)
    }

    func set(_ value: UInt32, at offset: Int, width: Int) throws(Errno) {
        guard offset >= 0, offset + width <= byteCount else { return }
        try remote.setRegisters(value, at: offset, width: width)
        if view.power != 0, offset < view.power + 5, offset + width > view.power + 4 { try readPowerState() }
    }

    func savedState() throws(Errno) -> PCISavedState { PCISavedState(try remote.registers(0..<byteCount)) }
    func restore(_ saved: PCISavedState) throws(Errno) { try saved.restore(to: self) }

    func prepareCommand(_ value: UInt32) {
        if value & UInt32(PCIConfiguration.Command.memory) == 0 { showMappings(false) }
    }

    func showMappings(_ visible: Bool) { remote.showWindows(visible) }

    /// Tells which spaces the user has turned on: that is looked at in accesses, without the lock.
    private func publishSpaces() {
        let command = view.value(at: PCIConfiguration.Register.command, width: 2)
        remote.setSpaces(
            memory: isMemoryOn,
            ports: command & UInt32(PCIConfiguration.Command.io) != 0 && powerState == 0)
    }
}
