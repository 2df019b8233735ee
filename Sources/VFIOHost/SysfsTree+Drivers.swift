import LinuxSystem

extension SysfsTree {
    /// Brings a tree up to date with who drives a PCI function now: its driver, its own node and that of its group.
    /// - Parameters:
    ///   - address: the function; nothing is changed for one that the inventory doesn't have.
    ///   - inventory: how things are now.
    ///   - root: where the tree was written.
    /// - Throws: the path that couldn't be changed, and why.
    public static func update(
        _ address: PCIAddress, to inventory: Inventory, in root: String
    ) throws(InventoryError) {
        guard let device = inventory.devices.first(where: { $0.address == address }) else { return }
        let tree = SysfsTree(inventory, root)
        let path = tree.path(of: device)
        tree.removeDriver(of: address, FileSystem.path(tree.sysfs, path))
        try tree.driver(path, "pci", address.description, device.driver, device.deviceNode)
        if let group = device.group {
            let nodes = tree.presentNodes
            for node in [Node.group(group), .unprotectedGroup(group)] where !nodes.contains(node) {
                try? FileSystem.unlink(FileSystem.path(tree.devices, node.path))
            }
        }
        try tree.bringNodes()
    }

    /// Takes away what a function has by its driver, from its folder and elsewhere. What isn't there needs no removing.
    func removeDriver(of address: PCIAddress, _ folder: String) {
        let drivers = sysfs + "/bus/pci/drivers"
        for driver in (try? FileSystem.names(in: drivers)) ?? [] {
            try? FileSystem.unlink(FileSystem.path(drivers, driver, address.description))
        }
        try? FileSystem.unlink(folder + "/driver")
        for name in (try? FileSystem.names(in: folder + "/vfio-dev")) ?? [] {
            try? FileSystem.unlink(FileSystem.path(sysfs, "class/vfio-dev", name))
            try? FileSystem.unlink(FileSystem.path(devices, "vfio/devices", name))
        }
        FileSystem.removeFolder(folder + "/vfio-dev")
    }

    /// Makes the nodes that aren't there yet.
    func bringNodes() throws(InventoryError) {
        for node in presentNodes where !FileSystem.exists(FileSystem.path(devices, node.path)) {
            try make(node)
        }
    }
}
