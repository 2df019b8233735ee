import LinuxSystem

// Virtual functions: how many there are and can be, and which.

extension SysfsTree {
    /// What a physical function's folder tells of them.
    func virtualFunctions(of device: DeviceRecord, _ path: String) throws(InventoryError) {
        guard device.totalVirtualFunctions > 0 else { return }
        try attribute(path + "/sriov_totalvfs", device.totalVirtualFunctions.description)
        try attribute(path + "/sriov_numvfs", device.virtualFunctionCount.description)
        var index = 0
        // By their addresses, which is by their numbers.
        for function in inventory.devices where function.physicalFunction == device.address {
            try attempt(FileSystem.path(sysfs, path, "virtfn" + index.description)) { link throws(Errno) in
                try FileSystem.makeLink(link, to: "../" + function.address.description)
            }
            index += 1
        }
    }

    /// Brings a tree up to date with the virtual functions that a PCI function has now.
    /// - Parameters:
    ///   - address: the physical function; nothing is changed for one that the inventory doesn't have.
    ///   - inventory: how things are now.
    ///   - root: where the tree was written.
    ///   - configuration: what a function's `config` holds; none for nil.
    /// - Throws: the path that couldn't be changed, and why.
    public static func updateVirtualFunctions(
        of address: PCIAddress, to inventory: Inventory, in root: String,
        configuration: (PCIAddress) -> [UInt8]?
    ) throws(InventoryError) {
        guard let device = inventory.devices.first(where: { $0.address == address }) else { return }
        let tree = SysfsTree(inventory, root)
        let path = tree.path(of: device)
        let folder = FileSystem.path(tree.sysfs, path)
        for name in (try? FileSystem.names(in: folder)) ?? []
        where name.utf8.starts(with: "virtfn".utf8) {
            let link = FileSystem.path(folder, name)
            if let target = try? FileSystem.linkTarget(link),
                let function = AttributeText.lastComponent(target).flatMap({ PCIAddress($0) })
            {
                tree.remove(function, of: device)
            }
            try? FileSystem.unlink(link)
        }
        for function in inventory.devices where function.physicalFunction == address {
            if let group = inventory.groups.first(where: { $0.number == function.group }) {
                try tree.group(group)
            }
            try tree.function(function, configuration(function.address))
        }
        try tree.virtualFunctions(of: device, path)
        try tree.bringNodes()
    }

    /// Removes what a virtual function has in the tree, its group with it, which is its own.
    private func remove(_ address: PCIAddress, of device: DeviceRecord) {
        var record = device
        record.address = address
        let folder = FileSystem.path(sysfs, path(of: record))
        removeDriver(of: address, folder)
        if let group = try? FileSystem.linkTarget(folder + "/iommu_group"),
            let number = AttributeText.lastComponent(group)
        {
            FileSystem.removeFolder(FileSystem.path(sysfs, "kernel/iommu_groups", number))
            for node in [number, "noiommu-" + number] {
                try? FileSystem.unlink(FileSystem.path(devices, "vfio", node))
            }
        }
        try? FileSystem.unlink(FileSystem.path(sysfs, "bus/pci/devices", address.description))
        FileSystem.removeFolder(folder)
    }
}
