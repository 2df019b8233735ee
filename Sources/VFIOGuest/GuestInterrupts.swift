import LinuxSystem
import VFIO
import VFIOABI

/// What is to be done with an interrupt: `VFIO_IRQ_SET_ACTION_…`.
public enum InterruptAction: Sendable, CustomStringConvertible {
    /// Tell that it happened.
    case trigger
    /// Hold it back.
    case mask
    /// Let it through again.
    case unmask

    var flags: IRQSetFlags {
        switch self {
        case .trigger: .actionTrigger
        case .mask: .actionMask
        case .unmask: .actionUnmask
        }
    }

    /// The uAPI's word.
    public var description: String {
        switch self {
        case .trigger: "TRIGGER"
        case .mask: "MASK"
        case .unmask: "UNMASK"
        }
    }
}

/// A device's interrupts with eventfds that a VMM brings along (a hypervisor's irqfds, say). To have eventfds made,
/// and waited for, use ``Device/enableInterrupts(_:count:)``.
extension Device {
    /// Has an eventfd signalled, or listened to: `VFIO_DEVICE_SET_IRQS` with one eventfd.
    /// - Parameters:
    ///   - descriptor: for ``InterruptAction/trigger`` what is signalled, for the others what the host listens to. nil
    ///     takes it away. It stays the caller's, and must stay open.
    /// - Throws: an error that names the action, the kind, the vector and the errno.
    public func setSignalling(
        _ action: InterruptAction, _ index: InterruptIndex, _ vector: Int = 0, _ descriptor: Int32?
    ) throws(VFIOGuestError) {
        do throws(Errno) {
            try setEvents(action, index, from: vector, [descriptor ?? -1])
        } catch {
            throw interruptError(
                descriptor == nil ? "tear down" : "set up", "\(action) signalling", index, vector, error)
        }
    }

    /// Ends all vectors of a kind.
    public func disableInterrupts(_ index: InterruptIndex) throws(VFIOGuestError) {
        do throws(Errno) {
            _ = try setInterrupts([.dataNone, .actionTrigger], index, start: 0, count: 0)
        } catch {
            throw interruptError("tear down", "all vectors", index, nil, error)
        }
    }

    /// Holds an interrupt back, or lets it through again.
    public func setMasked(
        _ isMasked: Bool, _ index: InterruptIndex, _ vector: Int = 0
    ) throws(VFIOGuestError) {
        let action = isMasked ? IRQSetFlags.actionMask : .actionUnmask
        do throws(Errno) {
            _ = try setInterrupts([.dataNone, action], index, start: vector, count: 1)
        } catch {
            throw interruptError(isMasked ? "mask" : "unmask", "it", index, vector, error)
        }
    }

    /// - Returns: how many could be had, if they are fewer; nothing is changed then.
    @discardableResult
    func setEvents(
        _ action: InterruptAction, _ index: InterruptIndex, from start: Int, _ descriptors: [Int32]
    ) throws(Errno) -> Int32 {
        var data: [UInt8] = []
        for number in descriptors {
            let bits = UInt32(bitPattern: number)
            for shift in [0, 8, 16, 24] as [UInt32] { data.append(UInt8(truncatingIfNeeded: bits >> shift)) }
        }
        let flags = action.flags.union(.dataEventFD)
        return try setInterrupts(flags, index, start: start, count: descriptors.count, data)
    }

    func interruptError(
        _ verb: String, _ what: String, _ index: InterruptIndex, _ vector: Int?, _ errno: Errno
    ) -> VFIOGuestError {
        VFIOGuestError(
            operation: "\(verb) \(what) of \(index)" + (vector.map { ", vector \($0)" } ?? ""),
            object: "\(address)", errno: errno, cause: "VFIO_DEVICE_SET_IRQS failed")
    }
}

/// A device's interrupt line (INTx) as a guest has it.
///
/// The host masks the line when it signals it. It is let through again when the guest acknowledges: by an eventfd
/// that the hypervisor signals (resampling), or by an access to the device's registers.
public final class GuestLine: @unchecked Sendable {
    private let device: Device
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
    public init(
        _ device: Device, trigger: Int32, resample: Int32? = nil, regions: [GuestRegion] = []
    ) throws(VFIOGuestError) {
        self.device = device
        self.regions = regions
        self.trigger = trigger
        self.resample = resample
        try enable()
    }

    /// Whether the line is enabled.
    public var isEnabled: Bool { lock.withLock { isOn } }

    /// Enables the line once more, with the same eventfds, after ``disable()``.
    public func enable() throws(VFIOGuestError) {
        try device.setSignalling(.trigger, .intx, 0, trigger)
        lock.withLock { isOn = true }
        guard let resample else {
            for region in regions {
                region.setAccessHook { [weak self] in self?.acknowledge() }
            }
            return
        }
        do throws(VFIOGuestError) {
            try device.setSignalling(.unmask, .intx, 0, resample)
        } catch {
            try? device.disableInterrupts(.intx)
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
        if wasPending { try? device.setMasked(false, .intx) }
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
        try device.disableInterrupts(.intx)
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

/// A device's message-signalled interrupts as a guest has them: vectors are enabled when the guest uses them.
public final class GuestMessages: @unchecked Sendable {
    private let device: Device
    /// ``InterruptIndex/msi`` or ``InterruptIndex/msix``.
    public let index: InterruptIndex
    /// How many vectors the device has.
    public let limit: Int
    /// Whether the host can't add vectors one by one (`VFIO_IRQ_INFO_NORESIZE`): to have more, all are ended for a
    /// moment and enabled anew.
    public let isFixedSize: Bool
    private let lock = Lock()
    // Guarded by `lock`.
    private var descriptors: [Int32] = []

    /// Nothing is enabled yet.
    public init(_ index: InterruptIndex, of device: Device) throws(VFIOGuestError) {
        let info = try device.interruptInfo(index)
        self.device = device
        self.index = index
        limit = info.count
        isFixedSize = info.isFixedSize
    }

    deinit { if !descriptors.isEmpty { try? device.disableInterrupts(index) } }

    /// How many vectors are enabled on the host, used or not.
    public var enabledCount: Int { lock.withLock { descriptors.count } }

    /// Has an eventfd signalled for a vector, which is enabled if it isn't yet.
    /// - Throws: ``VFIOError/Code/tooFewVectors`` if the device or the host has fewer. Vectors that were in use are
    ///   in use still.
    public func use(_ vector: Int, _ descriptor: Int32) throws(VFIOGuestError) {
        let operation = "use vector \(vector) of \(index)"
        guard vector >= 0, vector < limit else {
            throw VFIOGuestError(
                operation: operation, object: "\(device.address)", code: .tooFewVectors,
                cause: "the device has \(limit)")
        }
        try lock.withLock { () throws(VFIOGuestError) in
            if vector < descriptors.count {
                try device.setSignalling(.trigger, index, vector, descriptor)
                descriptors[vector] = descriptor
                return
            }
            var wanted = descriptors + [Int32](repeating: -1, count: vector + 1 - descriptors.count)
            wanted[vector] = descriptor
            do throws(Errno) {
                if descriptors.isEmpty {
                    try enable(wanted, from: 0)
                } else if isFixedSize {
                    try enableAnew(wanted)
                } else {
                    try enable(Array(wanted[descriptors.count...]), from: descriptors.count)
                }
            } catch {
                var failure = device.interruptError("set up", "signalling", index, vector, error)
                if error == .noSpace { failure.code = .tooFewVectors }
                throw failure
            }
            descriptors = wanted
        }
    }

    private func enable(_ wanted: [Int32], from start: Int) throws(Errno) {
        // A positive answer: so many could be had, and none was enabled.
        if try device.setEvents(.trigger, index, from: start, wanted) > 0 { throw .noSpace }
    }

    /// Ends all vectors and enables more; if that fails, as many as before.
    private func enableAnew(_ wanted: [Int32]) throws(Errno) {
        _ = try device.setInterrupts([.dataNone, .actionTrigger], index, start: 0, count: 0)
        do throws(Errno) {
            try enable(wanted, from: 0)
        } catch {
            try? enable(descriptors, from: 0)
            throw error
        }
    }

    /// The guest no longer uses a vector. It stays enabled on the host, and signals nobody.
    public func release(_ vector: Int) throws(VFIOGuestError) {
        try lock.withLock { () throws(VFIOGuestError) in
            guard descriptors.indices.contains(vector), descriptors[vector] >= 0 else { return }
            try device.setSignalling(.trigger, index, vector, nil)
            descriptors[vector] = -1
        }
    }

    /// Ends all vectors.
    public func disable() throws(VFIOGuestError) {
        try lock.withLock { () throws(VFIOGuestError) in
            guard !descriptors.isEmpty else { return }
            try device.disableInterrupts(index)
            descriptors = []
        }
    }
}

/// A device that was reset has no vectors enabled: the guest's driver enables them anew.
extension GuestMessages: GuestResetParticipant {
    /// Ends all vectors.
    public func resetBegins() throws(VFIOGuestError) { try disable() }

    /// Nothing is enabled.
    public func resetEnds(succeeded: Bool) throws(VFIOGuestError) {}
}
