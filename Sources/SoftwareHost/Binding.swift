import LinuxSystem
import VFIOHost

// Who drives a device, while the machine runs.
//
// A device is taken from a VFIO driver in three steps, as in Linux (kernel.md A.11): nobody can open it any more;
// its users are asked to release it, again and again, until the last file and the last mapping have gone; then
// the driver loses it. Nothing is locked while it waits: all else goes on, on the device as well.

extension SoftwareHost {
    /// Binds a device to a driver, or takes it from its driver (nil).
    ///
    /// A device that is bound to another driver is taken from that one first; if the new one refuses it, it
    /// has no driver afterwards. From a VFIO driver it is taken as soon as nobody has it open, and this waits for
    /// that, as Linux does: in the meantime the device can't be opened, goes on working for those who have it,
    /// and its request interrupt (`VFIO_PCI_REQ_IRQ_INDEX`) is raised at once and at intervals
    /// (``MachineDescription/releaseRequestMilliseconds``). So whoever calls this on the only thread that could
    /// close the device waits for ever.
    /// - Parameter milliseconds: how long to wait at most; nil waits for ever, as Linux does, where unbinding
    ///   can't be given up.
    /// - Throws: `ENODEV` for an address without a device, and for a VFIO driver and a device that is only
    ///   there; `EBUSY` for a device that has this driver already, or whose DMA a user owns and the driver wants
    ///   for itself; `EINVAL` for a VFIO driver and a device without a group on a machine that doesn't allow that;
    ///   `ETIMEDOUT` if the wait was given up: the device has its driver as before, and can be opened again;
    ///   what the driver answers.
    public func bind(
        _ address: PCIAddress, to driver: String?, waitingAtMost milliseconds: Int? = nil
    ) throws(Errno) {
        try bind(DeviceID(address), to: driver, waitingAtMost: milliseconds)
    }

    /// Binds a device of any bus to a driver, or takes it from its driver (nil); see ``bind(_:to:waitingAtMost:)``.
    public func bind(
        _ id: DeviceID, to driver: String?, waitingAtMost milliseconds: Int? = nil
    ) throws(Errno) {
        try core.changeDriver(of: id, within: milliseconds) { (device) throws(Errno) in
            guard let driver = driver.map({ device.record(of: $0) }) else { return }
            if let old = device.driver, driver.name.utf8.elementsEqual(old.name.utf8) { throw .busy }
            guard driver.isVFIO else { return }
            if device.pci?.identity.isBridge == true { throw .invalid }
            guard device.isUsable else { throw .noDevice }
            guard device.machineGroup != nil || core.allowsUnprotectedGroups else { throw .invalid }
        } then: { (device) throws(Errno) in
            if let driver { try core.probe(device, device.record(of: driver)) }
        }
    }
}

extension Core {
    /// Takes a device from its driver, and does something with it right after that. No lock may be held.
    ///
    /// One at a time for each device: others who want the same wait for their turn.
    /// - Parameters:
    ///   - milliseconds: how long to wait at most; nil waits for ever.
    ///   - isRemoval: whether the device itself goes: with its virtual functions, whoever made them.
    ///   - check: looks whether it may be done at all; with `lock` held, before anything changes.
    ///   - change: what comes then; with `lock` held, the device has no driver.
    /// - Throws: `ENODEV` for a name without a device; `ETIMEDOUT`, and nothing has changed; what the two
    ///   closures throw.
    func changeDriver(
        of id: DeviceID, within milliseconds: Int?, isRemoval: Bool = false,
        check: (MachineDevice) throws(Errno) -> Void, then change: (MachineDevice) throws(Errno) -> Void
    ) throws(Errno) {
        let deadline = milliseconds.map { Clock.moment(inMilliseconds: $0) }
        try changeDriver(
            of: id, until: deadline, isRemoval: isRemoval, check: check, then: change)
    }

    /// The same, until a moment.
    func changeDriver(
        of id: DeviceID, until deadline: UInt64?, isRemoval: Bool = false,
        check: (MachineDevice) throws(Errno) -> Void, then change: (MachineDevice) throws(Errno) -> Void
    ) throws(Errno) {
        try withTurn(of: id, until: deadline) { (device) throws(Errno) in
            try changeDriver(of: device, until: deadline, isRemoval, check: check, then: change)
        }
    }

    /// Does something while nobody else changes a device's driver. `lock` must not be held, and is held inside.
    func withTurn(
        of id: DeviceID, until deadline: UInt64?,
        _ body: (MachineDevice) throws(Errno) -> Void
    ) throws(Errno) {
        lock.lock()
        defer { lock.unlock() }
        let device = try takeTurn(id, until: deadline)
        defer {
            device.isChangingDriver = false
            changes.wakeAll()
        }
        try body(device)
    }

    /// The same, when it is one's turn. With `lock` held, which is given back while it waits.
    private func changeDriver(
        of device: MachineDevice, until deadline: UInt64?, _ isRemoval: Bool,
        check: (MachineDevice) throws(Errno) -> Void, then change: (MachineDevice) throws(Errno) -> Void
    ) throws(Errno) {
        try check(device)
        // A VFIO driver takes its virtual functions with it, and until then the device can still be opened.
        if let place = device.pci, place.virtualFunctionCount > 0 && (isRemoval || place.token != nil) {
            try disableVirtualFunctions(of: device, until: deadline)
        }
        device.isLeaving = device.group != nil
        guard waitForRelease(of: device, until: deadline) else {
            device.isLeaving = false
            throw .timedOut
        }
        remove(device)
        try change(device)
    }

    /// Waits until nobody else changes the device's driver. With `lock` held, which is given back meanwhile.
    private func takeTurn(_ id: DeviceID, until deadline: UInt64?) throws(Errno) -> MachineDevice {
        while true {
            // Anew each time: it may have been unplugged.
            guard let device = devices.first(where: { $0.id == id }) else { throw .noDevice }
            guard device.isChangingDriver else {
                device.isChangingDriver = true
                return device
            }
            if let deadline, Clock.now >= deadline { throw .timedOut }
            changes.wait(for: lock, until: deadline)
        }
    }

    /// Waits until nobody has the device open, and asks for it meanwhile. With `lock` held, which is given back
    /// meanwhile.
    /// - Returns: whether nobody has it open.
    private func waitForRelease(of device: MachineDevice, until deadline: UInt64?) -> Bool {
        var count = 0
        while device.fileCount > 0 {
            if let bus = device.bus {
                lock.unlock()
                bus.requestRelease(count: count)
                lock.lock()
            }
            count &+= 1
            let next = min(deadline ?? .max, Clock.moment(inMilliseconds: requestInterval))
            while device.fileCount > 0 && Clock.now < next { changes.wait(for: lock, until: next) }
            if let deadline, device.fileCount > 0, Clock.now >= deadline { return false }
        }
        return true
    }

    /// Somebody has one file of a device less. Takes `lock`.
    func letGo(of device: MachineDevice) {
        lock.withLock {
            device.fileCount -= 1
            if device.fileCount == 0 && device.isLeaving { changes.wakeAll() }
        }
    }
}
