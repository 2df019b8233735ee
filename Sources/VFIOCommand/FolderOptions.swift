import ArgumentParser
import LinuxSystem
import SoftwareHost
import VFIOHost
import VFIOOperator

/// Where the kernel tells its facts, for containers and for machines that are nothing but folders.
struct FolderOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("Where sysfs is mounted, if not at /sys.", valueName: "folder"),
        completion: .directory)
    var sysfs: String?

    @Option(
        help: ArgumentHelp("The folder of device nodes, if not /dev.", valueName: "folder"),
        completion: .directory)
    var dev: String?

    @Option(
        help: ArgumentHelp("Where procfs is mounted, if not at /proc.", valueName: "folder"),
        completion: .directory)
    var proc: String?

    /// The options that were given.
    var given: [String] {
        [("--sysfs", sysfs), ("--dev", dev), ("--proc", proc)].filter { $0.1 != nil }.map(\.0)
    }

    /// The folders.
    var roots: SystemRoots {
        var roots = SystemRoots()
        if let sysfs { roots.sysfs = Self.withoutSlash(sysfs) }
        if let dev { roots.devices = Self.withoutSlash(dev) }
        if let proc { roots.processes = Self.withoutSlash(proc) }
        return roots
    }

    private static func withoutSlash(_ path: String) -> String {
        var path = path[...]
        while path.count > 1, path.last == "/" { path.removeLast() }
        return String(path)
    }
}

extension HostOptions {
    /// Runs something with the folders that tell of a host's machine: those of the kernel, or for a software machine
    /// folders that look as its own would, and are gone afterwards.
    func withRoots<R>(of host: any Host, _ body: (SystemRoots) throws -> R) throws -> R {
        if host.kind == .linux { return try body(folders.roots) }
        let root: String
        do throws(Errno) {
            root = try FileSystem.makeTemporaryFolder("/tmp/vfio-")
        } catch {
            throw CommandFailure.file("/tmp", .written, error)
        }
        defer { FileSystem.removeFolder(root) }
        do throws(InventoryError) {
            if let host = host.answering as? SoftwareHost {
                try host.writeTree(to: root)
            } else {
                try SysfsTree.write(try host.inventory(), to: root) { _ in nil }
            }
        } catch {
            throw CommandFailure.file(error.path, .written, error.errno, code: .undetermined)
        }
        var roots = SystemRoots()
        roots.sysfs = root + "/sys"
        roots.devices = root + "/dev"
        roots.processes = root + "/proc"
        return try body(roots)
    }
}

extension SoftwareHost {
    /// Writes out /sys and /dev as they look on this machine.
    /// - Parameter root: an existing folder.
    func writeTree(to root: String) throws(InventoryError) {
        let parameters = parameters
        try SysfsTree.write(
            try inventory(), to: root,
            parameters: ModuleParameters.names.compactMap { name in
                parameters.text(of: name).map { (name, $0) }
            }, configuration: { configuration(of: $0) })
    }
}
