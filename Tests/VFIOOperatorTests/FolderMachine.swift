import LinuxSystem
import VFIOHost
import VFIOOperator

/// A machine that is nothing but folders, made by a test and gone with it.
final class FolderMachine {
    let root: String
    var roots: SystemRoots {
        SystemRoots(sysfs: root + "/sys", devices: root + "/dev", processes: root + "/proc")
    }

    init() throws {
        root = try FileSystem.makeTemporaryFolder("/tmp/vfio-machine-")
        for folder in ["sys/bus/pci/devices", "sys/bus/pci/drivers", "sys/class/block", "dev", "proc/self"] {
            try FileSystem.makeFolders(root + "/" + folder)
        }
    }

    deinit { FileSystem.removeFolder(root) }

    /// Makes a file with a text, and the folders above it.
    func file(_ path: String, _ text: String) throws {
        try FileSystem.makeFolders(folder(above: path))
        try FileSystem.makeFile(root + "/" + path, Array(text.utf8))
    }

    /// Makes a symbolic link, and the folders above it; the target is a path below the root.
    func link(_ path: String, to target: String) throws {
        try FileSystem.makeFolders(folder(above: path))
        try FileSystem.makeLink(root + "/" + path, to: root + "/" + target)
    }

    /// Makes a PCI function with a folder of its own, as sysfs has it; returns its path below the root.
    @discardableResult
    func function(
        _ address: String, classCode: String = "0x010802", driver: String? = nil, group: Int? = nil,
        below parent: String = "sys/devices/pci0000:00"
    ) throws -> String {
        let path = "\(parent)/\(address)"
        try file(path + "/vendor", "0x1234\n")
        try file(path + "/device", "0x0001\n")
        try file(path + "/class", classCode + "\n")
        try file(path + "/driver_override", "(null)\n")
        try link("sys/bus/pci/devices/\(address)", to: path)
        try link(path + "/subsystem", to: "sys/bus/pci")
        if let driver {
            try FileSystem.makeFolders("\(root)/sys/bus/pci/drivers/\(driver)")
            try link(path + "/driver", to: "sys/bus/pci/drivers/\(driver)")
        }
        if let group {
            try FileSystem.makeFolders("\(root)/sys/kernel/iommu_groups/\(group)/devices")
            try link(path + "/iommu_group", to: "sys/kernel/iommu_groups/\(group)")
            try link("sys/kernel/iommu_groups/\(group)/devices/\(address)", to: path)
        }
        return path
    }

    /// Makes a folder for what a driver has made of a device.
    @discardableResult
    func part(_ path: String, _ subsystem: String) throws -> String {
        try FileSystem.makeFolders(root + "/" + path)
        try link(path + "/subsystem", to: "sys/class/\(subsystem)")
        return path
    }

    /// Makes a block device: its folder, and the link to it among all of them.
    func block(_ path: String, _ number: String) throws {
        try part(path, "block")
        try file(path + "/dev", number + "\n")
        let name = path.split(separator: "/").last.map(String.init) ?? path
        if path != "sys/class/block/\(name)" { try link("sys/class/block/\(name)", to: path) }
    }

    /// Tells what is mounted and swapped to.
    func mounts(_ table: String, swaps: String = "") throws {
        try file("proc/self/mountinfo", table)
        try file("proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" + swaps)
    }

    private func folder(above path: String) -> String {
        root + "/" + path.split(separator: "/").dropLast().joined(separator: "/")
    }
}
