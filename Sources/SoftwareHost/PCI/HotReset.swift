import DeviceModel
import LinuxSystem
import VFIOABI
import VFIOHost

// Hot reset: a bus is reset with all functions on it (kernel.md A.1 device sets, D.9).

extension Core {
    /// The functions that the reset of a device's bus hits, whoever drives them, by address. With `lock` held.
    fileprivate func functionsOnBus(of device: MachineDevice) -> [MachineDevice] {
        guard let bus = device.pci?.bus else { return [] }
        return devices.filter { $0.pci?.bus === bus }.sortedCompactly { $0.id < $1.id }
    }

    /// Those that VFIO knows as sharing their resets with a device: a virtual function, and one on a bus that can't
    /// be reset, shares them with nobody. With `lock` held.
    fileprivate func deviceSet(of device: MachineDevice) -> [MachineDevice] {
        guard let place = device.pci, place.sharesResets else { return [device] }
        return devices.filter {
            $0.pci?.bus === place.bus && $0.pci?.physicalFunction == nil && $0.bus?.pci != nil
        }
    }

    /// The drivers of all functions on a device's bus; nil where VFIO doesn't have them all. With `lock` held.
    fileprivate func resettableSet(of device: MachineDevice) -> [PCIBusDriver]? {
        let set = deviceSet(of: device)
        for function in functionsOnBus(of: device) {
            guard set.contains(where: { $0 === function }) else { return nil }
        }
        return set.compactMap { $0.bus?.pci }
    }

    /// A device has been closed and may still hold what its user left in it: where it has no reset of its own, its
    /// bus is reset as soon as nobody uses any function on it. With the device's `openLock` held, and the device
    /// still counted as open.
    func resetUnusedBus(of device: MachineDevice) {
        guard device.pci?.bus.isResettable == true else { return }
        let drivers = lock.withLock { () -> [PCIBusDriver] in
            let openCount = deviceSet(of: device).reduce(0) { $0 + $1.openCount }
            guard openCount == 1, let drivers = resettableSet(of: device) else { return [] }
            return drivers
        }
        guard drivers.contains(where: { driver in driver.lock.withLock { driver.needsReset } }) else {
            return
        }
        try? PCIBusDriver.resetBus(of: drivers)
    }
}

extension PCIBusDriver {
    /// Resets a bus: all functions on it, each of which is put back as after its own reset.
    /// - Throws: `EAGAIN` if somebody else is resetting one of them; nothing has happened then.
    static func resetBus(of drivers: [PCIBusDriver]) throws(Errno) {
        var taken = 0
        defer { for driver in drivers[..<taken] { driver.resetPolicy.giveBack() } }
        for driver in drivers {
            guard driver.resetPolicy.take() else { throw .again }
            taken += 1
        }
        for driver in drivers { driver.lock.withLock { driver.resetWithBus() } }
    }

    /// The function's part of the reset of its bus. With the device lock held.
    private func resetWithBus() {
        guard isInSlot else { return }
        wake()
        reset(by: .bus)
        needsReset = false
        fallAsleep()
    }
}

extension DeviceFile {
    /// `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`
    func describeHotReset(_ address: HostAddress) throws(Errno) -> Int32 {
        var header = try UserMemory.load(PCIHotResetInfo(), from: address)
        guard header.argsz >= UInt32(PCIHotResetInfo.minimumSize) else { throw .invalid }
        guard device.pci?.bus.isResettable == true else { throw .noDevice }
        let (flags, records) = try core.lock.withLock {
            () throws(Errno) -> (PCIHotResetFlags, [PCIDependentDevice]) in
            try listHotReset()
        }
        header.flags = []
        header.count = UInt32(records.count)
        let room = (Int(header.argsz) - PCIHotResetInfo.byteCount) / PCIDependentDevice.byteCount
        guard records.count <= room else {
            try UserMemory.store(header, to: address)
            throw .noSpace
        }
        header.flags = flags
        var place = address + PCIHotResetInfo.byteCount
        for record in records {
            try UserMemory.store(record, to: place)
            place = place + PCIDependentDevice.byteCount
        }
        try UserMemory.store(header, to: address)
        return 0
    }

    /// What a hot reset would hit, as this file's user sees it. With `Core.lock` held.
    /// - Throws: `EPERM` for a device without a group, if groups are told.
    private func listHotReset() throws(Errno) -> (PCIHotResetFlags, [PCIDependentDevice]) {
        let set = core.deviceSet(of: device)
        var flags: PCIHotResetFlags = group == nil ? [.deviceID, .deviceIDOwned] : []
        var records: [PCIDependentDevice] = []
        for function in core.functionsOnBus(of: device) {
            guard let place = function.address else { continue }
            var record = PCIDependentDevice(
                segment: UInt16(truncatingIfNeeded: place.segment), bus: place.bus,
                deviceFunction: place.deviceFunction)
            if group == nil {
                let isKnown = set.contains { $0 === function }
                record.deviceID = isKnown ? owned(function) : .notOwned
                if record.deviceID == .notOwned { flags.remove(.deviceIDOwned) }
            } else {
                guard let home = function.machineGroup else { throw .notPermitted }
                record.groupID = UInt32(truncatingIfNeeded: home.number)
            }
            records.append(record)
        }
        return (flags, records)
    }

    /// What a device is to the iommufd that this file is bound to. With `Core.lock` held.
    private func owned(_ function: MachineDevice) -> PCIDependentDeviceID {
        guard let iommufd = binding?.iommufd else { return .notOwned }
        if let other = function.binding, other.iommufd === iommufd {
            return PCIDependentDeviceID(rawValue: other.id)
        }
        let members = function.machineGroup?.members ?? []
        return members.contains { $0.binding?.iommufd === iommufd } ? .owned : .notOwned
    }

    /// `VFIO_DEVICE_PCI_HOT_RESET`
    func hotReset(_ address: HostAddress) throws(Errno) -> Int32 {
        let header = try UserMemory.load(PCIHotReset(), from: address)
        guard header.argsz >= UInt32(PCIHotReset.minimumSize), header.flags == 0 else { throw .invalid }
        // Groups prove what is owned, except where devices are opened without them.
        guard (header.count == 0) == (group == nil) else { throw .invalid }
        guard device.pci?.bus.isResettable == true else { throw .noDevice }
        let groups = try holdGroups(Int(header.count), at: address + PCIHotReset.byteCount)
        defer { for file in groups { file.letGo() } }
        try device.openLock.withLock { () throws(Errno) in
            let drivers = try core.lock.withLock { () throws(Errno) -> [PCIBusDriver] in
                guard let drivers = core.resettableSet(of: device) else { throw .invalid }
                for member in core.deviceSet(of: device) {
                    let isOwned =
                        group == nil
                        ? owned(member) != .notOwned : groups.contains { $0.group === member.group }
                    guard isOwned else { throw .invalid }
                }
                return drivers
            }
            try PCIBusDriver.resetBus(of: drivers)
        }
        return 0
    }

    /// The groups whose descriptors stand at an address. The caller lets go of them.
    private func holdGroups(_ count: Int, at address: HostAddress) throws(Errno) -> [GroupFile] {
        guard count <= core.lock.withLock({ core.functionsOnBus(of: device).count }) else { throw .invalid }
        var numbers: [Int32] = []
        for index in 0..<count {
            numbers.append(try UserMemory.load(Int32(0), from: address + 4 * index))
        }
        var groups: [GroupFile] = []
        do throws(Errno) {
            for number in numbers { groups.append(try holdGroup(number)) }
        } catch {
            for file in groups { file.letGo() }
            throw error
        }
        return groups
    }

    private func holdGroup(_ number: Int32) throws(Errno) -> GroupFile {
        let file: OpenFile
        do throws(Errno) {
            file = try core.files.hold(number)
        } catch {
            // A descriptor of somebody else's is open, but no group.
            throw UserDescriptor.isOpen(number) ? .invalid : .badDescriptor
        }
        guard case .group(let group) = file else {
            file.object.letGo()
            throw .invalid
        }
        return group
    }
}
