import LinuxSystem

/// Writes an inventory out as a folder tree that looks as /sys and /dev would on such a machine, for programs that look
/// there: real folders, symbolic links and attribute files. ``LinuxHost`` with these roots reads the same inventory
/// back.
///
/// The tree tells of devices as they are when it is written. Nodes are names of sockets at which nobody listens: opening
/// them fails with `ENXIO`. Which node one is, its time of change tells (``Node/init(mark:)``), so that it is known by
/// whatever path, link or descriptor it was reached.
public struct SysfsTree {
    let inventory: Inventory
    /// Where /sys and /dev are.
    let sysfs: String
    let devices: String

    init(_ inventory: Inventory, _ root: String) {
        self.inventory = inventory
        sysfs = root + "/sys"
        devices = root + "/dev"
    }

    /// Writes the tree.
    /// - Parameters:
    ///   - root: an existing folder; `sys` and `dev` are made in it.
    ///   - parameters: the modules' parameters by their names, such as "vfio_iommu_type1.dma_entry_limit", and values.
    ///   - configuration: what a PCI function's `config` holds; none for nil.
    /// - Throws: the path that couldn't be written, and why.
    public static func write(
        _ inventory: Inventory, to root: String, parameters: [(name: String, value: String)] = [],
        configuration: (PCIAddress) -> [UInt8]?
    ) throws(InventoryError) {
        let tree = SysfsTree(inventory, root)
        for folder in ["bus/pci/devices", "bus/pci/drivers", "kernel/iommu_groups", "class/vfio", "module"] {
            try tree.folder(folder)
        }
        // Devices can be bound to it, also if none is yet.
        try tree.driverFolder("pci", "vfio-pci")
        try tree.file("bus/pci/drivers_probe")
        try tree.modules(parameters)
        for group in inventory.groups { try tree.group(group) }
        for device in inventory.devices { try tree.function(device, configuration(device.address)) }
        for device in inventory.otherDevices { try tree.other(device) }
        try tree.nodes()
    }

    // MARK: the pieces

    private func folder(_ path: String) throws(InventoryError) {
        try attempt(FileSystem.path(sysfs, path)) { path throws(Errno) in try FileSystem.makeFolders(path) }
    }

    /// An attribute with a line of text.
    func attribute(_ path: String, _ text: String) throws(InventoryError) {
        try attempt(FileSystem.path(sysfs, path)) { path throws(Errno) in
            try FileSystem.makeFile(path, Array((text + "\n").utf8))
        }
    }

    /// A file that is written to only, and has nothing in it.
    private func file(_ path: String) throws(InventoryError) {
        try attempt(FileSystem.path(sysfs, path)) { path throws(Errno) in try FileSystem.makeFile(path) }
    }

    /// A driver's folder, with what devices are bound and unbound by.
    private func driverFolder(_ bus: String, _ name: String) throws(InventoryError) {
        let path = FileSystem.path("bus", bus, "drivers", name)
        try folder(path)
        for control in ["bind", "unbind"] { try file(FileSystem.path(path, control)) }
        if bus.utf8.elementsEqual("pci".utf8) { try file(path + "/new_id") }
    }

    /// A link between two places below /sys, relative as the kernel makes them.
    private func link(_ path: String, to target: String) throws(InventoryError) {
        let depth = path.utf8.count { $0 == UInt8(ascii: "/") }
        try attempt(FileSystem.path(sysfs, path)) { path throws(Errno) in
            try FileSystem.makeLink(path, to: String(repeating: "../", count: depth) + target)
        }
    }

    func attempt(_ path: String, _ body: (String) throws(Errno) -> Void) throws(InventoryError) {
        do throws(Errno) { try body(path) } catch { throw InventoryError(path: path, errno: error) }
    }

    // MARK: what there is

    private func modules(_ parameters: [(name: String, value: String)]) throws(InventoryError) {
        for name in ["vfio", "vfio_pci", "vfio_pci_core", "vfio_iommu_type1", "iommufd"] {
            try folder(FileSystem.path("module", name, "parameters"))
        }
        for parameter in parameters {
            let parts = parameter.name.utf8.split(separator: UInt8(ascii: "."), maxSplits: 1)
            guard parts.count == 2 else { continue }
            let module = String(decoding: parts[0], as: UTF8.self)
            let path = FileSystem.path("module", module, "parameters")
            try folder(path)
            try attribute(
                FileSystem.path(path, String(decoding: parts[1], as: UTF8.self)), parameter.value)
        }
    }

    func group(_ group: GroupRecord) throws(InventoryError) {
        let path = FileSystem.path("kernel/iommu_groups", group.number.description)
        try folder(path + "/devices")
        if group.isUnprotected { try attribute(path + "/name", "vfio-noiommu") }
        var text = ""
        for region in group.reservedRegions {
            text += "0x\(hexadecimal(region.first, digits: 16)) 0x\(hexadecimal(region.last, digits: 16)) "
            text += "\(region.kind)\n"
        }
        try attempt(FileSystem.path(sysfs, path, "reserved_regions")) { path throws(Errno) in
            try FileSystem.makeFile(path, Array(text.utf8))
        }
        if let type = group.domainType { try attribute(path + "/type", type) }
    }

    /// Where a function's folder is below /sys.
    func path(of device: DeviceRecord) -> String {
        let address = device.address.description
        // Segment and bus.
        let bus = String(decoding: address.utf8.prefix(7), as: UTF8.self)
        return FileSystem.path("devices", "pci" + bus, address)
    }

    func function(_ device: DeviceRecord, _ configuration: [UInt8]?) throws(InventoryError) {
        let address = device.address.description
        let path = path(of: device)
        try folder(path)
        try link(FileSystem.path("bus/pci/devices", address), to: path)
        for (name, value, digits) in [
            ("vendor", UInt32(device.vendor), 4), ("device", UInt32(device.device), 4),
            ("subsystem_vendor", UInt32(device.subsystemVendor), 4),
            ("subsystem_device", UInt32(device.subsystem), 4), ("class", device.classCode, 6),
            ("revision", UInt32(device.revision), 2),
        ] {
            try attribute(FileSystem.path(path, name), "0x" + hexadecimal(value, digits: digits))
        }
        try attribute(path + "/numa_node", (device.numaNode ?? -1).description)
        try attribute(path + "/driver_override", device.driverOverride ?? "(null)")
        try attribute(path + "/enable", "0")
        try attribute(path + "/irq", "0")
        if !device.resetMethods.isEmpty {
            var text = ""
            for method in device.resetMethods { text += (text.utf8.isEmpty ? "" : " ") + method }
            try attribute(path + "/reset_method", text)
            try file(path + "/reset")
        }
        if !device.resources.isEmpty {
            var text = ""
            for resource in device.resources {
                text +=
                    "0x\(hexadecimal(resource.first, digits: 16)) 0x\(hexadecimal(resource.last, digits: 16)) "
                text += "0x\(hexadecimal(resource.flags, digits: 16))\n"
            }
            try attempt(FileSystem.path(sysfs, path, "resource")) { path throws(Errno) in
                try FileSystem.makeFile(path, Array(text.utf8))
            }
        }
        if let configuration {
            try attempt(FileSystem.path(sysfs, path, "config")) { path throws(Errno) in
                try FileSystem.makeFile(path, configuration)
            }
        }
        try virtualFunctions(of: device, path)
        if let parent = device.physicalFunction {
            try attempt(FileSystem.path(sysfs, path, "physfn")) { path throws(Errno) in
                try FileSystem.makeLink(path, to: "../" + parent.description)
            }
        }
        try common(path, "pci", address, device.driver, device.group, device.deviceNode)
    }

    private func other(_ device: DeviceSummary) throws(InventoryError) {
        let bus = device.id.bus.name
        let path = FileSystem.path("devices", bus, device.id.name)
        try folder(path)
        try folder(FileSystem.path("bus", bus, "devices"))
        try link(FileSystem.path("bus", bus, "devices", device.id.name), to: path)
        if let firmware = device.firmware {
            try folder(path + "/of_node")
            for property in firmware.properties {
                try attempt(FileSystem.path(sysfs, path, "of_node", property.name)) { path throws(Errno) in
                    try FileSystem.makeFile(path, property.value)
                }
            }
            if let id = firmware.acpiID {
                try folder(path + "/firmware_node")
                try attribute(path + "/firmware_node/hid", id)
            }
        }
        try common(path, bus, device.id.name, device.driver, device.group, device.deviceNode)
    }

    /// What devices of all buses have: driver, group, node.
    private func common(
        _ path: String, _ bus: String, _ name: String, _ driver: DriverRecord?, _ group: Int?, _ node: Int?
    ) throws(InventoryError) {
        try link(path + "/subsystem", to: "bus/" + bus)
        if let group {
            let home = FileSystem.path("kernel/iommu_groups", group.description)
            try link(path + "/iommu_group", to: home)
            try link(FileSystem.path(home, "devices", name), to: path)
        }
        try self.driver(path, bus, name, driver, node)
    }

    /// What a device has by its driver: the driver's name, a node of its own.
    func driver(
        _ path: String, _ bus: String, _ name: String, _ driver: DriverRecord?, _ node: Int?
    ) throws(InventoryError) {
        if let driver {
            let folder = FileSystem.path("bus", bus, "drivers", driver.name)
            if !FileSystem.exists(FileSystem.path(sysfs, folder)) { try driverFolder(bus, driver.name) }
            try link(FileSystem.path(folder, name), to: path)
            try link(path + "/driver", to: folder)
        }
        if let node {
            let number = Node.device(node).deviceNumber
            let name = "vfio" + node.description
            let place = FileSystem.path(path, "vfio-dev", name)
            try folder(place)
            try attribute(place + "/dev", "\(number.major):\(number.minor)")
            try folder("class/vfio-dev")
            try link(FileSystem.path("class/vfio-dev", name), to: place)
        } else if driver?.isVFIO == true {
            try folder(path + "/vfio-dev")
        }
    }

    /// The nodes that there are.
    var presentNodes: [Node] {
        var nodes: [Node] = []
        if inventory.hasContainers { nodes.append(.container) }
        if inventory.hasIOMMUFD { nodes.append(.iommu) }
        // The node of a group is there while a VFIO driver has one of its devices.
        var used: [Int] = []
        for device in inventory.devices {
            if let group = device.group, device.driver?.isVFIO == true { used.append(group) }
            if let number = device.deviceNode { nodes.append(.device(number)) }
        }
        for device in inventory.otherDevices {
            if let group = device.group, device.driver?.isVFIO == true { used.append(group) }
            if let number = device.deviceNode { nodes.append(.device(number)) }
        }
        for group in inventory.groups where used.contains(group.number) {
            nodes.append(group.isUnprotected ? .unprotectedGroup(group.number) : .group(group.number))
        }
        return nodes
    }

    private func nodes() throws(InventoryError) {
        try attempt(devices + "/vfio/devices") { path throws(Errno) in try FileSystem.makeFolders(path) }
        for node in presentNodes { try make(node) }
    }

    func make(_ node: Node) throws(InventoryError) {
        try attempt(FileSystem.path(devices, node.path)) { path throws(Errno) in
            let mark = node.mark
            try FileSystem.makeSocketName(
                path, mode: node.permissions, seconds: mark.kind, nanoseconds: mark.number)
        }
    }
}
