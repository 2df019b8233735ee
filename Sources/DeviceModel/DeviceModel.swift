import IOVASpace
import LinuxSystem

/// A PCI device in software: registers, DMA and interrupts, written once, whoever hosts it.
///
/// A host plugs the model into a slot and from then on calls it for every access to its registers. The model
/// reaches memory through ``PCIFunction/dma`` and raises interrupts through ``PCIFunction``; it never learns
/// whether a software kernel, a vfio-user socket or something else is at the other end.
///
/// **Threads.** The host makes one call at a time, on the thread that touched the device, and expects the
/// model to do its work there and return: the guest of a register write is the one who wrote it. A model that
/// runs threads of its own synchronises them itself; DMA and interrupts may be used from any thread, except
/// that no call into the host may be made while a lock is held that a register access also takes.
///
/// **Hostile input.** Offsets are inside the BAR and naturally aligned, widths are 1, 2, 4 or 8: the host sees
/// to that. Everything else (values, sequences, addresses, lengths found in memory) comes from an untrusted
/// driver and must never trap, loop without bound or allocate without bound.
public protocol DeviceModel: AnyObject {
    /// The device's PCI side. The model makes it in its initialiser and keeps it.
    var function: PCIFunction { get }

    /// Answers a read of a register.
    /// - Parameters:
    ///   - bar: which BAR, 0...5.
    ///   - offset: bytes from its beginning.
    ///   - width: 1, 2, 4 or 8 bytes.
    /// - Returns: the value in the low `width` bytes.
    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64

    /// Carries out a write to a register, with everything that follows from it.
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64)

    /// Puts the device into its state after the given reset. Configuration space has been reset already.
    func reset(_ kind: ResetKind)

    /// The last user has gone: end all DMA and interrupts and finish what is under way before returning. The
    /// host resets the device before the next user comes, and not necessarily now.
    func quiesce()

    /// Whether registers may be read while a register write of the model is under way and waits in a DMA access:
    /// false unless the model says otherwise. Such a read comes on the same thread, from within the access.
    ///
    /// Where memory is another process's, which has to be asked for it, the guest may read a register at any
    /// moment, and that process may not answer until it has the value. A model that says true answers at once,
    /// as hardware does; with one that says false the DMA access fails after a while. Doorbells that were rung before
    /// such a read may be carried out after it.
    var answersReadsDuringDMA: Bool { get }

    /// The registers whose writes may come as signals, the most important first; none unless the model says
    /// otherwise. A host may make use of all, some or none of them, and writes come otherwise too.
    var doorbells: [DoorbellRegister] { get }

    /// Makes one of the virtual functions that ``PCIFunction/virtualFunctions`` tells of; none unless the model
    /// says otherwise. The host calls it for each when they are enabled, and lets go of them when they are
    /// disabled.
    /// - Parameter index: which one, from 0 on, below the total.
    /// - Returns: a new model whose function is virtual; nil if it can't be made.
    func makeVirtualFunction(index: Int) -> (any DeviceModel)?

    /// What it takes to move the device to another host, mostly the model itself; nil, unless the model says
    /// otherwise, where that can't be done.
    var migratable: (any MigratableDevice)? { get }

    /// Answers a read of a legacy VGA window, which only functions of class VGA have (``PCIIdentity/isVGA``).
    /// - Parameters:
    ///   - address: in 0x3b0..<0x3bc or 0x3c0..<0x3e0 (ports) or in 0xa0000..<0xc0000 (the frame buffer).
    ///   - width: 1, 2 or 4 bytes, aligned.
    /// - Returns: the value in the low `width` bytes; all ones unless the model says otherwise.
    func readLegacyVGA(_ address: UInt32, width: Int) -> UInt64

    /// Carries out a write to a legacy VGA window; nothing happens unless the model says otherwise.
    func writeLegacyVGA(_ address: UInt32, width: Int, value: UInt64)

    // What follows is for hosts, and answered below for every model. These are requirements and no mere extensions
    // because Embedded Swift can't call an extension's method on `any DeviceModel`: the call would end in a trap.

    /// Reads from a BAR as the bus sees it: the MSI-X table and pending bits are answered by the function, all
    /// else by the model. For hosts; models don't implement it.
    ///
    /// - Parameters:
    ///   - offset: inside the BAR and a multiple of `width`.
    ///   - width: 1, 2, 4 or 8.
    /// - Returns: the value; all ones where the BAR doesn't exist.
    func loadBAR(_ bar: Int, offset: UInt64, width: Int) -> UInt64

    /// Writes to a BAR as the bus sees it. For hosts; models don't implement it. See
    /// ``loadBAR(_:offset:width:)``. A write where no BAR is changes nothing.
    func storeBAR(_ bar: Int, offset: UInt64, width: Int, value: UInt64)

    /// Resets the function and then the model. For hosts; models don't implement it.
    func performReset(_ kind: ResetKind)
}

/// How a device is reset.
public enum ResetKind: Sendable, Equatable {
    /// Function level reset, by the PCI Express or Advanced Features capability.
    case function
    /// The bus or slot above is reset ("hot reset").
    case bus
    /// D3hot and back to D0, without No_Soft_Reset.
    case power
}

extension DeviceModel {
    /// Nothing to end: a model that only ever acts inside a register access.
    public func quiesce() {}

    /// Nothing answers.
    public func readLegacyVGA(_ address: UInt32, width: Int) -> UInt64 {
        UInt64.max >> UInt64(64 - 8 * width)
    }

    /// Nothing happens.
    public func writeLegacyVGA(_ address: UInt32, width: Int, value: UInt64) {}

    /// One call at a time.
    public var answersReadsDuringDMA: Bool { false }

    /// No registers that are rung.
    public var doorbells: [DoorbellRegister] { [] }

    /// No virtual functions.
    public func makeVirtualFunction(index: Int) -> (any DeviceModel)? { nil }

    /// Stays where it is.
    public var migratable: (any MigratableDevice)? { nil }

    /// Asks the function first, then the model.
    public func loadBAR(_ bar: Int, offset: UInt64, width: Int) -> UInt64 {
        guard function.contains(bar: bar, offset: offset, width: width) else {
            return UInt64.max >> UInt64(64 - 8 * width)
        }
        if let msix = function.msix, let value = msix.load(bar: bar, offset: offset, width: width) {
            return value
        }
        if let memory = function.memory(bar: bar, offset: offset, width: width) {
            return memory.window.loadRegister(memory.offset, width: width)
        }
        return readRegister(bar: bar, offset: offset, width: width)
    }

    /// Tells the function first, then the model.
    public func storeBAR(_ bar: Int, offset: UInt64, width: Int, value: UInt64) {
        guard function.contains(bar: bar, offset: offset, width: width) else { return }
        if let msix = function.msix, msix.store(bar: bar, offset: offset, width: width, value: value) {
            return
        }
        if let memory = function.memory(bar: bar, offset: offset, width: width) {
            memory.window.storeRegister(memory.offset, width: width, value: value)
            return
        }
        writeRegister(bar: bar, offset: offset, width: width, value: value)
    }

    /// Resets the function, then the model.
    public func performReset(_ kind: ResetKind) {
        function.resetConfiguration()
        reset(kind)
    }
}

extension MemoryWindow {
    /// One load of 1, 2, 4 or 8 bytes.
    public func loadRegister(_ offset: Int, width: Int) -> UInt64 {
        switch width {
        case 1: UInt64(load8(offset))
        case 2: UInt64(load16(offset))
        case 4: UInt64(load32(offset))
        default: load64(offset)
        }
    }

    /// One store of 1, 2, 4 or 8 bytes.
    public func storeRegister(_ offset: Int, width: Int, value: UInt64) {
        switch width {
        case 1: store8(offset, UInt8(truncatingIfNeeded: value))
        case 2: store16(offset, UInt16(truncatingIfNeeded: value))
        case 4: store32(offset, UInt32(truncatingIfNeeded: value))
        default: store64(offset, value)
        }
    }
}
