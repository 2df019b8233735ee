import DeviceModel
import LinuxSystem
import VFIOABI

/// The function as ``PCIPassthrough`` reaches it: a model in this process. All of it with the device lock held.
extension PCIBusDriver: PCIPassthrough {
    typealias Failure = Never
    private typealias Register = PCIConfiguration.Register
    private typealias Command = PCIConfiguration.Command

    // MARK: what it is

    var byteCount: Int { configuration.byteCount }
    var bars: [BAR?] { function.bars }
    var romByteCount: UInt64 { function.romByteCount }
    var powerState: UInt8 { configuration.powerState }
    var isKeptAwake: Bool { virtualFunctionCount != 0 }
    var isExpress: Bool { configuration.capability(PCICapabilityShape.Standard.express) != nil }
    func plan(ofBAR index: Int) -> PCIBARPlan { plans[index] }

    // MARK: registers

    func value(at offset: Int, width: Int) -> UInt32 { configuration.value(at: offset, width: width) }

    func set(_ value: UInt32, at offset: Int, width: Int) {
        perform(configuration.store(value, at: offset, width: width))
    }

    func savedState() -> PCISavedState { PCISavedState(configuration) }

    func restore(_ saved: PCISavedState) {
        saved.restore(to: configuration)
        restoreMessages()
    }

    /// Does the reset that a write to configuration space asked for.
    func perform(_ asked: ResetKind?) {
        guard let asked else { return }
        model.performReset(asked)
        endMigration()
    }

    func resetByBit(of capability: PCIResetBit) {
        if offers(capability == .express ? .functionLevel : .advancedFeatures) { try? tryReset() }
    }

    /// Before COMMAND changes: mappings go when memory does, and a device that was reset behind the driver's
    /// back gets its addresses again.
    func prepareCommand(_ value: UInt32) {
        let physical = UInt32(configuration.command)
        let believed = view.value(at: Register.command, width: 2)
        if value & UInt32(Command.memory) == 0 { showMappings(false) }
        let lost = value & believed & ~physical & UInt32(Command.memory | Command.io)
        if lost != 0 || (value & UInt32(Command.memory | Command.io) != 0 && !hasItsAddresses) {
            restoreAddresses()
        }
    }

    /// Whether the hardware still has the addresses that it was given.
    private var hasItsAddresses: Bool {
        for index in 0..<6 {
            let at = Register.bar0 + 4 * index
            if value(at: at, width: 4) != assigned.register(index, of: function) {
                return false
            }
        }
        return true
    }
}
