import LinuxSystem
import VFIOHost
import VFIOOperator

/// A machine that is nothing but folders, as a test needs it; gone when nobody needs it any more.
final class FakeMachine {
    let root: String
    /// Where its facts are.
    var roots: SystemRoots {
        SystemRoots(sysfs: root + "/sys", devices: root + "/dev", processes: root + "/proc")
    }

    /// A machine with the devices of an inventory and a first process.
    init(
        _ inventory: Inventory = Inventory(devices: [], groups: [], hasContainers: true, hasIOMMUFD: true)
    ) throws {
        root = try FileSystem.makeTemporaryFolder("/tmp/vfio-machine-")
        try SysfsTree.write(inventory, to: root) { _ in nil }
        try process(1, "init")
    }

    deinit { FileSystem.removeFolder(root) }

    /// Writes a file, and makes the folders above it.
    func file(_ path: String, _ text: String) throws {
        let parts = path.split(separator: "/")
        try FileSystem.makeFolders(root + "/" + parts.dropLast().joined(separator: "/"))
        try FileSystem.makeFile(root + "/" + path, Array(text.utf8))
    }

    /// Makes a process.
    /// - Parameter descriptors: where they lead, by number.
    func process(
        _ number: Int32, _ name: String, user: UInt32 = 0, _ descriptors: [Int32: String] = [:]
    ) throws {
        try FileSystem.makeFolders(root + "/proc/\(number)/fd")
        try file("proc/\(number)/comm", name + "\n")
        try file("proc/\(number)/status", "Name:\t\(name)\nUid:\t1000\t\(user)\t0\t0\n")
        for (descriptor, target) in descriptors {
            try FileSystem.makeLink(root + "/proc/\(number)/fd/\(descriptor)", to: target)
        }
    }
}
