import LinuxSystem
import VFIO
import VFIOABI

/// A device's interrupt line as a guest has it: INTx of a PCI function, or a level-triggered one of a device on the
/// platform or AMBA bus.
///
/// The host masks the line when it signals it. It is let through again when the guest acknowledges: by an eventfd
/// that the hypervisor signals (resampling), or by an access to the device's registers.
public final class GuestLine: @unchecked Sendable {
    private let device: Device
    /// Which of the device's interrupts it is.
    public let index: InterruptIndex
    private let regions: [GuestRegion]
    private let trigger: Int32
    private let resample: Int32?
    private let lock = Lock()
    // Guarded by `lock`.
    private var isPending = false
    private var isOn = false
    private var isResetting = false

    /// Enables the line.
    /// - Parameters:
    ///   - trigger: the eventfd that is signalled when the line is raised.
    ///   - resample: the eventfd by which the hypervisor tells that the guest has acknowledged. Without one, whoever
    ///     takes the trigger calls ``raised()``, and the guest's next access to one of the regions acknowledges.
    ///   - regions: the device's regions.
    ///   - index: which of the device's interrupts; a PCI function has only one line.
    public init(
        _ device: Device, trigger: Int32, resample: Int32? = nil, regions: [GuestRegion] = [],
        index: InterruptIndex = .intx
    ) throws(VFIOGuestError) {
        self.device = device
        self.index = index
        self.regions = regions
        self.trigger = trigger
        self.resample = resample
        try enable()
    }

    /// Whether the line is enabled.
    public var isEnabled: Bool { lock.withLock { isOn } }

    /// Enables the line once more, with the same eventfds, after ``disable()``.
    public func enable() throws(VFIOGuestError) {
        try device.setSignalling(.trigger, index, 0, trigger)
        lock.withLock { isOn = true }
        guard let resample else {
            for region in regions {
                region.setAccessHook { [weak self] in self?.acknowledge() }
            }
            return
        }
        do throws(VFIOGuestError) {
            try device.setSignalling(.unmask, index, 0, resample)
        } catch {
            try? device.disableInterrupts(index)
            lock.withLock { isOn = false }
            throw error
        }
    }

    /// The line was raised: the guest's accesses are carried out one by one until ``resumeMapping()``, because one of
    /// them acknowledges.
    public func raised() {
        lock.withLock { isPending = true }
        for region in regions { region.setMapped(false) }
    }

    /// Whether the line was raised and not acknowledged yet.
    public var isRaised: Bool { lock.withLock { isPending } }

    /// Lets the line through again if it was raised. A device that wants more raises it once more.
    public func acknowledge() {
        let wasPending = lock.withLock {
            defer { isPending = false }
            return isPending
        }
        // A host that refuses has lost the device; the guest then waits, as for a broken one.
        if wasPending { try? device.setMasked(false, index) }
    }

    /// Lets the guest reach the mapped parts of the regions directly again, unless the line is raised. Call it when the
    /// line has been quiet for a while (QEMU waits 1.1 seconds): each change of the memory map costs more than many
    /// accesses.
    /// - Returns: whether it does.
    @discardableResult
    public func resumeMapping() -> Bool {
        guard let memory = regions.first?.memory.memory else { return !isRaised }
        // A line that is raised meanwhile waits for this lock to take the mapped parts away again.
        return memory.lock.withLock {
            if isRaised { return false }
            for region in regions { region.setMapped(true) }
            return true
        }
    }

    /// Ends the line.
    public func disable() throws(VFIOGuestError) {
        for region in regions {
            region.setAccessHook(nil)
            region.setMapped(true)
        }
        lock.withLock {
            isPending = false
            isOn = false
        }
        try device.disableInterrupts(index)
    }
}

/// A line that is enabled when its device is reset is enabled again afterwards: a device that was reset has nothing
/// else to signal by.
extension GuestLine: GuestResetParticipant {
    /// Ends the line.
    public func resetBegins() throws(VFIOGuestError) {
        guard isEnabled else { return }
        lock.withLock { isResetting = true }
        try disable()
    }

    /// Enables the line if it was.
    public func resetEnds(succeeded: Bool) throws(VFIOGuestError) {
        let wasEnabled = lock.withLock {
            defer { isResetting = false }
            return isResetting
        }
        if wasEnabled { try enable() }
    }
}
