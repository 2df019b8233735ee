import DeviceModel
import LinuxSystem
import VFIOHost

// Virtual functions: devices that a physical function makes and takes away (kernel.md D.13).

extension SoftwareHost {
    /// Enables so many virtual functions of a device, or disables them (0): sysfs's `sriov_numvfs`.
    ///
    /// They sit behind the device, at the addresses that its SR-IOV capability tells, each in an IOMMU group of
    /// its own. Those of a device that is bound to a VFIO driver are bound to the same; all others have no driver.
    /// Disabling waits for users of theirs as `bind(_:to:waitingAtMost:)` does, one function after the other.
    /// - Parameters:
    ///   - count: 0 to the capability's TotalVFs.
    ///   - address: the physical function.
    ///   - milliseconds: how long to wait at most; nil waits for ever, as Linux does.
    /// - Throws: `ENODEV` for an address without a device; `ENOENT` for a device that can't have any, whose driver
    ///   can't make any (all but VFIO drivers, with ``ModuleParameters/enableSRIOV``, and `pci-pf-stub`), or
    ///   without a driver; `EINVAL` for a count that doesn't fit into 16 bits; `ERANGE` for more than TotalVFs;
    ///   `EBUSY` if another number of them is enabled, or an address is taken; `ENOMEM` for addresses beyond the
    ///   last bus; `ENODEV` if the model doesn't make them; `ETIMEDOUT` if the wait was given up: those that are
    ///   left go on working.
    public func setVirtualFunctionCount(
        _ count: Int, of address: PCIAddress, waitingAtMost milliseconds: Int? = nil
    ) throws(Errno) {
        let deadline = milliseconds.map { Clock.moment(inMilliseconds: $0) }
        try core.withTurn(of: DeviceID(address), until: deadline) { (device) throws(Errno) in
            guard let place = device.pci, let layout = place.model?.function.virtualFunctions else {
                throw .noSuchEntry
            }
            guard count >= 0 && count <= 0xffff else { throw .invalid }
            guard count <= layout.total else { throw .outOfRange }
            if count == place.virtualFunctionCount { return }
            guard let driver = device.driver, core.mayMakeVirtualFunctions(driver) else { throw .noSuchEntry }
            if count == 0 { return try core.disableVirtualFunctions(of: device, until: deadline) }
            guard place.virtualFunctionCount == 0 else { throw .busy }
            try core.enableVirtualFunctions(count, layout, of: device)
        }
    }
}

extension Core {
    fileprivate func mayMakeVirtualFunctions(_ driver: DriverRecord) -> Bool {
        driver.isVFIO
            ? parameters.value.enableSRIOV : driver.name.utf8.elementsEqual("pci-pf-stub".utf8)
    }

    /// With `lock` held and the device's turn taken; the lock is given back while the model is asked.
    fileprivate func enableVirtualFunctions(
        _ count: Int, _ layout: VirtualFunctions, of device: MachineDevice
    ) throws(Errno) {
        guard let place = device.pci, let model = place.model else { throw .noDevice }
        var addresses: [PCIAddress] = []
        for index in 0..<count {
            guard let address = place.address.virtualFunction(index, layout) else { throw .noMemory }
            addresses.append(address)
        }
        let isTaken = devices.contains { device in device.address.map(addresses.contains) == true }
        guard !isTaken else { throw .busy }
        let bus = device.bus?.pci
        lock.unlock()
        bus?.lock.lock()
        bus?.setPowerState(0)
        var models: [any DeviceModel] = []
        for index in 0..<count {
            guard let function = model.makeVirtualFunction(index: index) else { break }
            models.append(function)
        }
        let isComplete = models.count == count
        if isComplete { model.function.setVirtualFunctions(count, layout) }
        bus?.virtualFunctionCount = isComplete ? count : 0
        bus?.lock.unlock()
        lock.lock()
        guard isComplete else { throw .noDevice }
        place.virtualFunctionCount = count
        for (model, address) in zip(models, addresses) { add(model, at: address, below: device) }
    }

    /// One virtual function appears, and its driver finds it. With `lock` held.
    private func add(_ model: any DeviceModel, at address: PCIAddress, below device: MachineDevice) {
        var home: MachineGroup?
        if iommu.kind != .none {
            let group = MachineGroup(
                unusedGroupNumber(), reserved: iommu.reserved, tracksDirtyPages: iommu.tracksDirtyPages,
                nestsPageTables: iommu.nestsPageTables,
                endpoint: newEndpoint())
            iommuGroups.append(group)
            home = group
        }
        let function = MachineDevice(
            PCIPlace(
                address, on: enterBus(of: address, isVirtual: true), model, model.function.identity,
                physicalFunction: device.address),
            home, faults(of: DeviceID(address), home))
        devices.append(function)
        home?.members.append(function)
        guard let driver = device.driver, driver.isVFIO else { return }
        function.driverOverride = driver.name
        // A driver that refuses it leaves it without one, as in Linux; the others aren't touched by that.
        try? probe(function, driver)
    }

    /// Takes all virtual functions of a device away, each when nobody uses it any more. With `lock` held and the
    /// device's turn taken; the lock is given back meanwhile.
    /// - Throws: `ETIMEDOUT`
    func disableVirtualFunctions(of device: MachineDevice, until deadline: UInt64?) throws(Errno) {
        for function in virtualFunctions(of: device) {
            lock.unlock()
            defer { lock.lock() }
            do throws(Errno) {
                try changeDriver(of: function.id, until: deadline, isRemoval: true) { _ in
                } then: {
                    discard($0)
                }
            } catch .noDevice {
                // Somebody else has unplugged it.
            }
        }
        device.pci?.virtualFunctionCount = 0
        guard let hardware = device.pci?.model?.function, let layout = hardware.virtualFunctions else {
            return
        }
        let bus = device.bus?.pci
        lock.unlock()
        bus?.lock.lock()
        hardware.setVirtualFunctions(0, layout)
        bus?.virtualFunctionCount = 0
        bus?.lock.unlock()
        lock.lock()
    }
}

extension PCIFunction {
    /// Writes NumVFs, VF Enable and VF MSE, as a kernel does.
    fileprivate func setVirtualFunctions(_ count: Int, _ layout: VirtualFunctions) {
        typealias Register = VirtualizationRegister
        let enable = UInt32(Self.virtualizationEnable)
        let control = configuration.value(at: layout.place + Register.control, width: 2) & ~enable
        configuration.write(control, at: layout.place + Register.control, width: 2)
        configuration.write(UInt32(count), at: layout.place + Register.count, width: 2)
        if count > 0 {
            configuration.write(control | enable, at: layout.place + Register.control, width: 2)
        }
    }
}

extension PCIAddress {
    /// Where a function's virtual function sits: its routing ID, which may carry over into the bus; nil beyond
    /// the last bus.
    func virtualFunction(_ index: Int, _ layout: VirtualFunctions) -> PCIAddress? {
        let id = Int(bus) << 8 | Int(deviceFunction)
        let place = id + layout.offset + layout.stride * index
        guard place <= 0xffff else { return nil }
        return PCIAddress(
            segment: segment, bus: UInt8(place >> 8), device: UInt8(place >> 3 & 0x1f),
            function: UInt8(place & 7))
    }
}
