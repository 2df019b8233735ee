import LinuxSystem
import VFIOHost
import VFIOOperator

/// A kernel's way of answering writes to `driver_override`, `bind` and `unbind`, on a machine of folders: it changes links,
/// attributes and nodes as a kernel would, and fails where a test tells it to.
final class DriverModel: BindWriter {
    /// What is to happen to a write instead.
    enum Fault {
        case fail(Errno)
        /// It is taken, and nothing happens.
        case ignore
        /// It doesn't come back.
        case stick(process: Int32)
    }

    let machine: FolderMachine
    /// Faults by the number of the write, from 0.
    var faults: [Int: Fault] = [:]
    /// What was written, in order.
    private(set) var writes: [BindWrite] = []
    /// Whether nodes appear for devices that VFIO drives.
    var makesNodes = true

    init(_ machine: FolderMachine) { self.machine = machine }

    func write(_ write: BindWrite, milliseconds: Int) -> BindWriteEnding {
        defer { writes.append(write) }
        switch faults[writes.count] {
        case .fail(let errno): return .failed(errno)
        case .ignore: return .done
        case .stick(let process): return .pending(process: process)
        case nil: break
        }
        do throws(Errno) {
            try carryOut(write)
            return .done
        } catch {
            return .failed(error)
        }
    }

    private func carryOut(_ write: BindWrite) throws(Errno) {
        let parts = write.path.split(separator: "/").map(String.init)
        guard
            FileSystem.exists(String(write.path.prefix { $0 != " " }.dropLast(parts[parts.count - 1].count)))
        else { throw .noSuchEntry }
        if parts.last == "driver_override" {
            try FileSystem.makeFile(
                write.path, Array((write.text.isEmpty ? "(null)\n" : write.text + "\n").utf8))
            return
        }
        let driver = parts[parts.count - 2]
        let folder = machine.roots.sysfs + "/bus/pci/devices/" + write.text
        guard FileSystem.exists(folder) else { throw .noDevice }
        let current = try? FileSystem.linkTarget(folder + "/driver").split(separator: "/").last.map(
            String.init)
        if parts.last == "unbind" {
            guard current == driver else { throw .noDevice }
            try FileSystem.unlink(folder + "/driver")
            if driver.hasPrefix("vfio") { for node in nodes(of: write.text) { try? FileSystem.unlink(node) } }
            return
        }
        let only = try FileSystem.text(of: folder + "/driver_override")
        guard only == driver || (only == "(null)" && !driver.hasPrefix("vfio")) else { throw .noDevice }
        guard current == nil else { throw .busy }
        try FileSystem.makeLink(folder + "/driver", to: machine.roots.sysfs + "/bus/pci/drivers/" + driver)
        guard driver == "vfio-pci", makesNodes else { return }
        for node in nodes(of: write.text) {
            try FileSystem.makeFolders(machine.roots.devices + "/vfio")
            try FileSystem.makeFile(node)
        }
    }

    private func nodes(of device: String) -> [String] {
        let link = machine.roots.sysfs + "/bus/pci/devices/\(device)/iommu_group"
        guard let group = try? FileSystem.linkTarget(link).split(separator: "/").last else { return [] }
        return [machine.roots.devices + "/vfio/\(group)"].filter {
            FileSystem.exists($0) || makesNodes
        }
    }
}

extension FolderMachine {
    /// How all functions are: driver and override.
    var drivers: [String: DriverState] {
        var states: [String: DriverState] = [:]
        for name in (try? FileSystem.names(in: roots.sysfs + "/bus/pci/devices")) ?? [] {
            states[name] = DeviceID(name).flatMap { try? DriverState(of: $0, in: roots) }
        }
        return states
    }

    /// A process that sleeps or not, as `stat` tells.
    func process(_ number: Int32, state: String = "D", started: UInt64 = 77) throws {
        let rest = (0..<18).map { "\($0)" }.joined(separator: " ")
        try file("proc/\(number)/stat", "\(number) (vfio-write) \(state) \(rest) \(started) 0\n")
    }
}
