import LinuxSystem
import VFIOABI

/// What Linux's vfio-pci does between a user and a PCI function (kernel.md D), wherever the function is: in this
/// process, or at the other end of a socket.
///
/// Whoever conforms gives access to the function itself (as ``PCIWritableRegisters``: registers as the hardware
/// has them) and keeps the state; the rules are in the extensions. All of it is used with ``lock`` held, unless
/// said otherwise.
package protocol PCIPassthrough: AnyObject, Sendable, PCIWritableRegisters {
    /// Guards all that follows: one access to configuration space, one change of interrupts at a time.
    var lock: Lock { get }
    /// Configuration space as the user sees it; made anew at every first open.
    var view: PCIConfigurationView { get set }
    /// Whether the user's MEM bit is set and the device is in D0: BARs answer.
    var isMemoryOn: Bool { get set }
    /// Whether the user lets the device sleep, and whether it does.
    var lowPower: PCILowPower { get set }
    /// What leaving D3hot restores.
    var savedForWake: PCISavedState? { get set }
    /// The writes that eventfds set off.
    var eventWrites: PCIEventWrites { get set }
    /// What becomes of its interrupts.
    var interrupts: PCIInterrupts { get }

    // MARK: what the function is

    /// What the six Base Address Registers decode.
    var bars: [BAR?] { get }
    /// What an access to a BAR needs to know.
    func plan(ofBAR index: Int) -> PCIBARPlan
    /// How much the expansion ROM's BAR decodes, in bytes; 0 without a ROM.
    var romByteCount: UInt64 { get }
    /// The power state: 0 for D0 … 3 for D3hot.
    var powerState: UInt8 { get }
    /// Whether others depend on the device being awake.
    var isKeptAwake: Bool { get }
    /// How many requests are being answered.
    var useCount: Int { get }

    // MARK: what the function does

    /// Reads what a reset of the function would lose.
    func savedState() throws(Failure) -> PCISavedState
    /// Puts registers back, and the messages in use with them.
    func restore(_ saved: PCISavedState) throws(Failure)
    /// COMMAND is about to be written.
    func prepareCommand(_ value: UInt32) throws(Failure)
    /// The user has asked for a reset by the bit of a capability, which the function may not offer. Nobody hears of
    /// a failure.
    func resetByBit(of capability: PCIResetBit)
    /// Shows all mappings of BARs or takes them away.
    func showMappings(_ visible: Bool)
    /// Ends the user's leave to sleep.
    func forbidSleep() throws(Errno)
    /// Writes to a BAR (kernel.md D.4).
    /// - Throws: `EIO` while memory is off; `EINVAL` behind its end.
    func writeBAR(_ index: Int, _ position: UInt64, _ bytes: RawSpan) throws(Errno) -> Int

    // MARK: its interrupts

    /// How many interrupts an index has.
    func interruptCount(_ index: PCIInterrupt) -> Int
    /// Whether it is a device of PCI Express, which can tell of errors.
    var isExpress: Bool { get }
    /// Whether MSI-X vectors may be added while others are in use.
    var hasDynamicVectors: Bool { get }
    /// How many interrupt vectors the platform grants; nil for all that a device has.
    var vectorLimit: Int? { get }

    /// The user's own view of COMMAND's Interrupt Disable has changed.
    func setLineDisabled(_ disabled: Bool) throws(Failure)
    /// Keeps the line quiet for the time of a sleep.
    /// - Returns: whether that changed anything.
    func silenceLine() throws(Failure) -> Bool
    /// Ends that.
    func releaseLine() throws(Failure)
    /// Ends the kind of interrupt in use, in the hardware and here.
    func disableInterrupts() throws(Errno)
    /// Takes the line into use, or gives it another eventfd. With none it is in use all the same.
    func enableLine(_ trigger: PCITrigger?) throws(Errno)
    /// Masks the line, which is in use, or unmasks it.
    func setLineMask(_ masked: Bool) throws(Errno)
    /// Unmasks whenever an eventfd is signalled; a number below 0 ends that.
    /// - Throws: `EBADF`, `EINVAL`, and after these `EBUSY` while another one does.
    func setUnmaskEvent(_ number: Int32) throws(Errno)
    /// Takes messages into use.
    /// - Parameters:
    ///   - count: how many were asked for.
    ///   - room: for how many there is room.
    func enableMessages(_ kind: PCIInterrupts.Kind, count: Int, room: Int) throws(Errno)
    /// Gives vectors that are in use their eventfds, or takes them away.
    func setTriggers(
        _ triggers: [PCITrigger?], from start: Int, _ kind: PCIInterrupts.Kind
    ) throws(Errno)
    /// Gives a notice its eventfd, or takes it away.
    func setTrigger(_ trigger: PCITrigger?, for notice: PCIInterrupts.Notice) throws(Errno)
}

/// The capabilities with a bit that resets the function.
package enum PCIResetBit {
    /// PCI Express: Device Control, Initiate Function Level Reset.
    case express
    /// Advanced Features: Initiate FLR.
    case advancedFeatures
}

extension PCIPassthrough {
    /// Whether a touch of a mapping reaches the BAR.
    package var mappingsAreShown: Bool { isMemoryOn && !lowPower.isAllowed }

    /// Finds out anew whether BARs answer, and shows or hides their mappings accordingly.
    package func updateMemory() {
        let command = view.value(at: PCIConfiguration.Register.command, width: 2)
        isMemoryOn = command & UInt32(PCIConfiguration.Command.memory) != 0 && powerState < 3
        showMappings(mappingsAreShown)
    }
}
