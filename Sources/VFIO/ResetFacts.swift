import VFIOABI

/// How a device can be reset alone.
public struct ResetFacts: Sendable, Equatable {
    /// Whether the host offers to: `VFIO_DEVICE_FLAGS_RESET`.
    public var isOffered: Bool
    /// Whether the device has a function level reset (PCI Express or Advanced Features): it resets everything.
    public var hasFunctionLevelReset: Bool
    /// Whether going to D3hot and back resets it (`No_Soft_Reset` is clear). Devices are known where that leaves
    /// much as it was.
    public var hasPowerReset: Bool

    /// States facts.
    public init(isOffered: Bool, hasFunctionLevelReset: Bool = false, hasPowerReset: Bool = false) {
        self.isOffered = isOffered
        self.hasFunctionLevelReset = hasFunctionLevelReset
        self.hasPowerReset = hasPowerReset
    }

    /// Whether a hot reset is worth more than the device's own: there is none, or only that by power states.
    public var wantsHotReset: Bool { !isOffered || (!hasFunctionLevelReset && hasPowerReset) }
}

extension Device {
    /// How the device can be reset alone, by what the host offers and what its configuration space says.
    public func resetFacts() throws(VFIOError) -> ResetFacts {
        var facts = ResetFacts(isOffered: canReset)
        guard info.flags.contains(.pci) else { return facts }
        let configuration = configuration
        if let express = try configuration.capability(0x10) {
            // Device Capabilities: Function Level Reset Capability.
            facts.hasFunctionLevelReset = try configuration.load32(express + 4) & 1 << 28 != 0
        }
        if let advanced = try configuration.capability(0x13) {
            // Advanced Features: a reset needs the bit that tells of pending transactions as well.
            let bits = try configuration.load8(advanced + 3)
            facts.hasFunctionLevelReset = facts.hasFunctionLevelReset || bits & 3 == 3
        }
        if let power = try configuration.capability(0x01) {
            // Control and status: No_Soft_Reset.
            facts.hasPowerReset = try configuration.load16(power + 4) & 1 << 3 == 0
        }
        return facts
    }
}
