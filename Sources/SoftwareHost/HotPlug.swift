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

    /// Takes a device out of the machine; nothing happens to its model.
    ///
    /// Its driver loses it first, which waits as ``bind(_:to:waitingAtMost:)`` does while it is open. The last
    /// device takes its IOMMU group with it, a physical function its virtual functions. This is the orderly way (`remove` in sysfs, an attention button).
    /// - Parameter milliseconds: how long to wait at most; nil waits for ever.
    /// - Throws: `ENODEV` for an address without a device; `ETIMEDOUT` if the wait was given up: the device is
    ///   there as before.
    public func unplug(_ address: PCIAddress, waitingAtMost milliseconds: Int? = nil) throws(Errno) {
        try core.changeDriver(ofDeviceAt: address, within: milliseconds, isRemoval: true) { _ in
        } then: { device in
            core.discard(device)
        }
    }
}

extension Core {
    /// Adds a device. With `lock` held.
    fileprivate func plug(_ device: PCIDevice, _ number: Int?) throws(MachineError) {
        var addresses = devices.map { $0.address }
        try device.validate(&addresses)
        var home: MachineGroup?
        if let number {
            try MachineDescription.validate(group: number, iommu)
            home = iommuGroups.first { $0.number == number }
            // A group without an IOMMU got a number that nobody used then.
            if home?.isUnprotected == true { throw .duplicateGroup(number) }
            if home == nil {
                let new = MachineGroup(
                    number, reserved: iommu.reserved, tracksDirtyPages: iommu.tracksDirtyPages,
                    endpoint: newEndpoint())
                iommuGroups.append(new)
                home = new
            }
        }
        var drivers: [(MachineDevice, String)] = []
        add(device, to: home, &drivers)
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
