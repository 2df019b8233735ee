import IOVASpace
import DeviceModel
import LinuxSystem
import VFIOHost

extension Core {
    /// Opens a node. With `lock` held.
    func file(for node: Node) throws(Errno) -> OpenFile {
        switch node {
        case .container:
            guard hasContainers else { throw .noSuchEntry }
            return .container(Container(self))
        case .group(let number): return .group(try openGroup(number, isUnprotected: false))
        case .unprotectedGroup(let number): return .group(try openGroup(number, isUnprotected: true))
        case .device(let number):
            // The node goes as soon as somebody takes the device from its driver.
            let found = devices.first { $0.node == number && !$0.isLeaving }
            guard let device = found, let bus = device.bus else { throw .noSuchEntry }
            if device.faults.presence == .vanished { throw .noDevice }
            return .device(DeviceFile(self, device, bus))
        case .iommu:
            guard hasIOMMUFD else { throw .noSuchEntry }
            return .iommufd(IOMMUFD(self))
        }
    }

    private func openGroup(_ number: Int, isUnprotected: Bool) throws(Errno) -> GroupFile {
        let found = groups.first { $0.number == number && $0.isUnprotected == isUnprotected }
        guard let group = found else { throw .noSuchEntry }
        return try GroupFile.open(group, self)
    }

    /// What sysfs would tell. With `lock` held.
    var inventory: Inventory {
        let records = devices.compactMap { device -> DeviceRecord? in
            guard let place = device.pci else { return nil }
            let identity = place.identity
            var record = DeviceRecord(
                address: place.address, vendor: identity.vendor, device: identity.device,
                subsystemVendor: identity.subsystemVendor, subsystem: identity.subsystem,
                classCode: identity.classCode, revision: identity.revision,
                driver: device.isLeaving ? nil : device.driver, group: device.machineGroup?.number,
                isUnprotected: device.machineGroup?.isUnprotected ?? false,
                deviceNode: device.isLeaving ? nil : device.node)
            record.isMediated = device.machineGroup?.isEmulated ?? false
            record.driverOverride = device.driverOverride
            record.resources = place.resources
            record.physicalFunction = place.physicalFunction
            record.totalVirtualFunctions = place.model?.function.virtualFunctions?.total ?? 0
            record.virtualFunctionCount = place.virtualFunctionCount
            return record
        }
        let others = devices.filter { $0.pci == nil }.map { device in
            var summary = DeviceSummary(
                device.id, driver: device.isLeaving ? nil : device.driver, group: device.machineGroup?.number,
                isUnprotected: device.machineGroup?.isUnprotected ?? false,
                isMediated: device.machineGroup?.isEmulated ?? false,
                deviceNode: device.isLeaving ? nil : device.node)
            summary.firmware = device.other?.firmware
            return summary
        }
        let groups = iommuGroups.map { group in
            var record = GroupRecord(
                number: group.number, devices: group.members.compactMap { $0.address },
                otherDevices: group.members.filter { $0.pci == nil }.map { $0.id },
                isUnprotected: group.isUnprotected)
            if !group.isUnprotected {
                record.reservedRegions = group.reserved.map { $0.record }
                record.reservedRegions.sortCompactly { $0.first < $1.first }
            }
            return record
        }
        var inventory = Inventory(
            devices: records, otherDevices: others, groups: groups,
            hasContainers: hasContainers && !isMissing(.container),
            hasIOMMUFD: hasIOMMUFD && !isMissing(.iommu))
        inventory.lockedMemoryLimit = process.lockedMemoryLimit
        return inventory
    }

    private func isMissing(_ node: Node) -> Bool {
        obstacles.contains { $0.node == node && $0.obstacle == .missing }
    }
}

extension ReservedRange {
    /// The range as sysfs's `reserved_regions` tells it.
    fileprivate var record: ReservedRegion {
        let word =
            switch kind {
            case .direct: "direct"
            case .relaxable: "direct-relaxable"
            case .reserved: "reserved"
            case .messageWindow: "msi"
            }
        return ReservedRegion(first: range.first.rawValue, last: range.last.rawValue, kind: word)
    }
}
