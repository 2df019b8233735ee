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
        // What isn't there needs no removing.
        for driver in (try? FileSystem.names(in: tree.sysfs + "/bus/pci/drivers")) ?? [] {
            try? FileSystem.unlink(tree.sysfs + "/bus/pci/drivers/\(driver)/\(address)")
        }
        try? FileSystem.unlink(tree.sysfs + "/" + path + "/driver")
        for name in (try? FileSystem.names(in: tree.sysfs + "/" + path + "/vfio-dev")) ?? [] {
            try? FileSystem.unlink(tree.sysfs + "/class/vfio-dev/" + name)
            try? FileSystem.unlink(tree.devices + "/vfio/devices/" + name)
        }
        FileSystem.removeFolder(tree.sysfs + "/" + path + "/vfio-dev")
        try tree.driver(path, "pci", "\(address)", device.driver, device.deviceNode)
        let nodes = tree.presentNodes
        if let group = device.group {
            for node in [Node.group(group), .unprotectedGroup(group)] where !nodes.contains(node) {
                try? FileSystem.unlink(tree.devices + "/" + node.path)
            }
        }
        for node in nodes where !FileSystem.exists(tree.devices + "/" + node.path) { try tree.make(node) }
    }
}
