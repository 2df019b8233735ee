import LinuxSystem
import VFIOHost

// Devices that come and go while the machine runs.

extension SoftwareHost {
    /// Puts a device into the machine while it runs, and binds it to the driver that it names.
    /// - Parameters:
    ///   - device: the device.
    ///   - group: the number of its IOMMU group, which is made if it doesn't exist; nil for a device that no
    ///     IOMMU stands behind.
    /// - Throws: what is wrong with the device or the group, and nothing has changed; but
    ///   ``MachineError/refused(_:driver:_:)`` leaves the device in the machine without a driver.
    public func plug(_ device: PCIDevice, intoGroup group: Int?) throws(MachineError) {
        try core.lock.withLock { () throws(MachineError) in try core.plug(device, group) }
    }

    /// Puts a device of another bus into the machine while it runs, and binds it to the driver that it names.
    /// - Parameters:
    ///   - device: the device.
    ///   - group: the number of its IOMMU group, which is made if it doesn't exist.
    ///   - isEmulated: whether a group that is made has no IOMMU behind it; see ``IOMMUGroup/isEmulated``.
    /// - Throws: as ``plug(_:intoGroup:)``.
    public func plug(
        _ device: BusDevice, intoGroup group: Int, isEmulated: Bool = false
    ) throws(MachineError) {
        try core.lock.withLock { () throws(MachineError) in try core.plug(device, group, isEmulated) }
    }

    /// Takes a device out of the machine; nothing happens to its model.
    ///
    /// Its driver loses it first, which waits as `bind(_:to:waitingAtMost:)` does while it is open. The last
    /// device takes its IOMMU group with it, a physical function its virtual functions. This is the orderly way (`remove` in sysfs, an attention button).
    /// - Parameter milliseconds: how long to wait at most; nil waits for ever.
    /// - Throws: `ENODEV` for an address without a device; `ETIMEDOUT` if the wait was given up: the device is
    ///   there as before.
    public func unplug(_ address: PCIAddress, waitingAtMost milliseconds: Int? = nil) throws(Errno) {
        try unplug(DeviceID(address), waitingAtMost: milliseconds)
    }

    /// Takes a device of any bus out of the machine; see ``unplug(_:waitingAtMost:)``.
    public func unplug(_ id: DeviceID, waitingAtMost milliseconds: Int? = nil) throws(Errno) {
        try core.changeDriver(of: id, within: milliseconds, isRemoval: true) { _ in
        } then: { device in
            core.discard(device)
        }
    }
}

extension Core {
    /// Adds a device. With `lock` held.
    fileprivate func plug(_ device: PCIDevice, _ number: Int?) throws(MachineError) {
        var names = devices.map { $0.id }
        try device.validate(&names)
        let home = try number.map { (number) throws(MachineError) in try self.home(number, isEmulated: false)
        }
        var drivers: [(MachineDevice, String)] = []
        add(device, to: home, &drivers)
        try bindPlugged(drivers)
    }

    /// Adds a device of another bus. With `lock` held.
    func plug(_ device: BusDevice, _ number: Int, _ isEmulated: Bool) throws(MachineError) {
        var names = devices.map { $0.id }
        try device.id.validate(&names)
        let home = try self.home(number, isEmulated: isEmulated)
        var drivers: [(MachineDevice, String)] = []
        add(device, to: home, &drivers)
        try bindPlugged(drivers)
    }

    /// The IOMMU group of a number, made if it isn't there. With `lock` held.
    private func home(_ number: Int, isEmulated: Bool) throws(MachineError) -> MachineGroup {
        try MachineDescription.validate(group: number, isEmulated ? nil : iommu)
        if let known = iommuGroups.first(where: { $0.number == number }) {
            // A group without an IOMMU got a number that nobody used then.
            if known.isUnprotected { throw .duplicateGroup(number) }
            return known
        }
        let new = MachineGroup(
            number, reserved: isEmulated ? [] : iommu.reserved, isEmulated: isEmulated,
            tracksDirtyPages: iommu.tracksDirtyPages,
            nestsPageTables: iommu.nestsPageTables, endpoint: isEmulated ? nil : newEndpoint())
        iommuGroups.append(new)
        return new
    }

    private func bindPlugged(_ drivers: [(MachineDevice, String)]) throws(MachineError) {
        for (device, driver) in drivers {
            do throws(MachineError) {
                try bindFirst(device, to: driver)
            } catch {
                if case .refused = error {} else { discard(device) }
                throw error
            }
        }
    }

    /// Forgets a device that has no driver. With `lock` held.
    func discard(_ device: MachineDevice) {
        devices.removeAll { $0 === device }
        leaveBus(device)
        forgetMediated(device.id)
        guard let home = device.machineGroup else { return }
        device.machineGroup = nil
        home.members.removeAll { $0 === device }
        if home.members.isEmpty { iommuGroups.removeAll { $0 === home } }
    }

    /// Takes the machine apart at its end: devices and groups know each other and would keep each other for ever.
    /// What somebody still holds beyond the host's handles stays as it is.
    func dismantle() {
        lock.withLock {
            for device in devices where device.fileCount == 0 {
                remove(device)
                discard(device)
            }
        }
    }
}
