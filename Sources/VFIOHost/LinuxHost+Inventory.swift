import LinuxSystem

extension LinuxHost {
    /// What a device's `vfio-dev` folder says.
    private struct DeviceEntry {
        /// The number of the device's node, where it has one.
        let number: Int?
    }

    /// The most devices, groups, members and lines that are looked at; more are left out.
    private static let limit = 65_536

    /// What sysfs tells (kernel.md H).
    ///
    /// A device or group that disappears meanwhile, or whose attributes can't be understood, is left out; an
    /// attribute of no importance that can't be understood is as if absent.
    /// - Throws: when a folder of devices or groups is there and can't be listed.
    public func inventory() throws(InventoryError) -> Inventory {
        let groups = try groupRecords()
        var devices: [DeviceRecord] = []
        for name in try names(in: sysfs + "/bus/pci/devices") {
            guard let address = PCIAddress(name), let record = deviceRecord(at: address, name, groups) else {
                continue
            }
            devices.append(record)
        }
        var others: [DeviceSummary] = []
        for bus in DeviceID.Bus.allCases where bus != .pci {
            for name in try names(in: sysfs + "/bus/\(bus.name)/devices") {
                if let id = DeviceID(bus, name), let summary = summary(of: id, groups) {
                    others.append(summary)
                }
            }
        }
        var inventory = Inventory(
            devices: devices, otherDevices: others, groups: groups,
            hasContainers: FileSystem.exists(self.devices + "/" + Node.container.path),
            hasIOMMUFD: FileSystem.exists(self.devices + "/" + Node.iommu.path))
        inventory.lockedMemoryLimit = ProcessLimits.lockedMemory
        return inventory
    }

    /// The names in a folder that need not be there.
    private func names(in path: String) throws(InventoryError) -> [String] {
        do throws(Errno) {
            return try FileSystem.names(in: path, limit: Self.limit)
        } catch {
            if error == .noSuchEntry { return [] }
            throw InventoryError(path: path, errno: error)
        }
    }

    private func groupRecords() throws(InventoryError) -> [GroupRecord] {
        let root = sysfs + "/kernel/iommu_groups"
        var groups: [GroupRecord] = []
        for name in try names(in: root) {
            guard let number = AttributeText.decimal(name.utf8), number >= 0 else { continue }
            let path = root + "/" + name
            // A group that disappears while it is looked at has no members.
            let folder = path + "/devices"
            let members = (try? FileSystem.names(in: folder, limit: Self.limit)) ?? []
            let others = members.compactMap { otherMember(folder, $0) }.sorted()
            // The kernel gives this name to the groups of mediated devices too, which need no IOMMU.
            let hasNone = text(path + "/name")?.utf8.elementsEqual("vfio-noiommu".utf8) ?? false
            var group = GroupRecord(
                number: number, devices: members.compactMap { PCIAddress($0) }.sorted(), otherDevices: others,
                isUnprotected: hasNone && !others.contains { $0.bus == .mdev })
            group.reservedRegions = reservedRegions(path + "/reserved_regions")
            group.domainType = text(path + "/type")
            groups.append(group)
        }
        return groups
    }

    /// The member of a group that a link there leads to, if it isn't a PCI function.
    private func otherMember(_ folder: String, _ name: String) -> DeviceID? {
        guard PCIAddress(name) == nil,
            let bus = link(folder + "/" + name + "/subsystem").flatMap({ DeviceID.Bus(named: $0) })
        else { return nil }
        return DeviceID(bus, name)
    }

    /// A device of another bus; nil for one that VFIO has nothing to do with.
    private func summary(of id: DeviceID, _ groups: [GroupRecord]) -> DeviceSummary? {
        let path = sysfs + "/bus/\(id.bus.name)/devices/\(id.name)"
        let group = link(path + "/iommu_group").flatMap { AttributeText.decimal($0.utf8) }
        let node = deviceNode(path + "/vfio-dev")
        // Whatever drives a mediated device is a VFIO driver.
        let driver = driver(path + "/driver", hasVFIODevice: node != nil || id.bus == .mdev)
        guard group != nil || driver?.isVFIO == true else { return nil }
        var summary = DeviceSummary(
            id, driver: driver, group: group,
            isUnprotected: groups.first { $0.number == group }?.isUnprotected ?? false,
            isMediated: id.bus == .mdev, deviceNode: node?.number)
        if driver?.isVFIO == true && (id.bus == .platform || id.bus == .amba) {
            summary.firmware = firmware(path)
        }
        return summary
    }

    /// What firmware says about a device; nil where it doesn't say anything.
    private func firmware(_ path: String) -> FirmwareRecord? {
        if let names = try? FileSystem.names(in: path + "/of_node", limit: 1024) {
            var properties: [FirmwareRecord.Property] = []
            for name in names {
                // What can't be read is a node below this one.
                guard let value = try? FileSystem.bytes(of: path + "/of_node/" + name) else { continue }
                properties.append(FirmwareRecord.Property(name, value))
            }
            return FirmwareRecord(properties: properties)
        }
        return text(path + "/firmware_node/hid").map { FirmwareRecord(acpiID: $0) }
    }

    private func deviceRecord(
        at address: PCIAddress, _ name: String, _ groups: [GroupRecord]
    ) -> DeviceRecord? {
        let path = sysfs + "/bus/pci/devices/" + name
        // Without these two nobody could tell what it is.
        guard let vendor = number(path + "/vendor", most: 0xffff),
            let device = number(path + "/device", most: 0xffff)
        else { return nil }
        let group = link(path + "/iommu_group").flatMap { AttributeText.decimal($0.utf8) }
        let node = deviceNode(path + "/vfio-dev")
        var record = DeviceRecord(
            address: address, vendor: UInt16(vendor), device: UInt16(device),
            subsystemVendor: UInt16(number(path + "/subsystem_vendor", most: 0xffff) ?? 0),
            subsystem: UInt16(number(path + "/subsystem_device", most: 0xffff) ?? 0),
            classCode: UInt32(number(path + "/class", most: 0xff_ffff) ?? 0),
            revision: UInt8(number(path + "/revision", most: 0xff) ?? 0),
            driver: driver(path + "/driver", hasVFIODevice: node != nil), group: group,
            isUnprotected: groups.first { $0.number == group }?.isUnprotected ?? false,
            deviceNode: node?.number)
        if let text = text(path + "/numa_node"), let node = AttributeText.decimal(text.utf8), node >= 0 {
            record.numaNode = node
        }
        if let methods = text(path + "/reset_method") {
            record.resetMethods = AttributeText.words(Array(methods.utf8)).map { word in
                String(decoding: word, as: UTF8.self)
            }
        }
        record.resources = resources(path + "/resource")
        if let only = text(path + "/driver_override"), !only.utf8.isEmpty,
            !only.utf8.elementsEqual("(null)".utf8)
        {
            record.driverOverride = only
        }
        record.physicalFunction = link(path + "/physfn").flatMap { PCIAddress($0) }
        record.totalVirtualFunctions =
            text(path + "/sriov_totalvfs").flatMap { AttributeText.decimal($0.utf8) } ?? 0
        record.virtualFunctionCount =
            text(path + "/sriov_numvfs").flatMap { AttributeText.decimal($0.utf8) } ?? 0
        return record
    }

    /// The driver that a device's link leads to.
    ///
    /// Which drivers are VFIO's can't be told from their names alone: a device that has a `vfio-dev` folder
    /// is bound to one of them, whatever it is called.
    private func driver(_ path: String, hasVFIODevice: Bool) -> DriverRecord? {
        guard let name = link(path) else { return nil }
        if hasVFIODevice { return DriverRecord(named: name, isVFIO: true, letsGroupBeUsed: true) }
        return DriverRecord(named: name)
    }

    /// The entry of a device's `vfio-dev` folder; nil where there is no such folder.
    private func deviceNode(_ path: String) -> DeviceEntry? {
        guard let names = try? FileSystem.names(in: path, limit: 16) else { return nil }
        for name in names {
            guard let number = AttributeText.number(in: name, after: "vfio") else { continue }
            // The entry is there on kernels without cdev too; only its `dev` attribute promises a node.
            return DeviceEntry(number: FileSystem.exists(path + "/" + name + "/dev") ? number : nil)
        }
        return DeviceEntry(number: nil)
    }

    private func reservedRegions(_ path: String) -> [ReservedRegion] {
        guard let bytes = try? FileSystem.bytes(of: path) else { return [] }
        var regions: [ReservedRegion] = []
        for line in AttributeText.lines(bytes) {
            let words = AttributeText.words(line)
            guard words.count == 3, let first = AttributeText.hexadecimal(words[0]),
                let last = AttributeText.hexadecimal(words[1]), first <= last
            else { continue }
            let kind = String(decoding: words[2], as: UTF8.self)
            regions.append(ReservedRegion(first: first, last: last, kind: kind))
        }
        return regions
    }

    private func resources(_ path: String) -> [ResourceRecord] {
        guard let bytes = try? FileSystem.bytes(of: path) else { return [] }
        var resources: [ResourceRecord] = []
        for line in AttributeText.lines(bytes) {
            let words = AttributeText.words(line)
            guard words.count == 3, let first = AttributeText.hexadecimal(words[0]),
                let last = AttributeText.hexadecimal(words[1]),
                let flags = AttributeText.hexadecimal(words[2])
            else {
                // The position tells which resource it is: a line that isn't understood counts as absent.
                resources.append(ResourceRecord(first: 0, last: 0, flags: 0))
                continue
            }
            resources.append(ResourceRecord(first: first, last: last, flags: flags))
        }
        return resources
    }

    /// A hexadecimal attribute that is at most `most`.
    private func number(_ path: String, most: UInt64) -> UInt64? {
        guard let text = text(path), let value = AttributeText.hexadecimal(text.utf8), value <= most else {
            return nil
        }
        return value
    }

    private func text(_ path: String) -> String? { try? FileSystem.text(of: path) }

    private func link(_ path: String) -> String? {
        guard let target = try? FileSystem.linkTarget(path) else { return nil }
        return AttributeText.lastComponent(target)
    }
}
