import LinuxSystem
import SoftwareHost
import VFIOHost
import VFIOOperator

/// Answers writes to the folders of a software machine: what a kernel would do, its machine does.
final class SoftwareBindWriter: BindWriter {
    private let host: SoftwareHost
    private let roots: SystemRoots

    init(_ host: SoftwareHost, _ roots: SystemRoots) {
        self.host = host
        self.roots = roots
    }

    func write(_ write: BindWrite, milliseconds: Int) -> BindWriteEnding {
        do throws(Errno) {
            try carryOut(write, milliseconds)
            return .done
        } catch {
            return .failed(error)
        }
    }

    private func carryOut(_ write: BindWrite, _ milliseconds: Int) throws(Errno) {
        // <sysfs>/bus/<bus>/devices/<name>/driver_override, <sysfs>/bus/<bus>/drivers/<name>/bind
        let parts = write.path.dropFirst(roots.sysfs.count).split(separator: "/").map(String.init)
        guard write.path.hasPrefix(roots.sysfs + "/"), parts.count == 5,
            let bus = DeviceID.Bus(named: parts[1]), FileSystem.exists(write.path)
        else { throw .noSuchEntry }
        if parts[4] == "driver_override" {
            let text = write.text.isEmpty ? "(null)" : write.text
            return try FileSystem.makeFile(write.path, Array((text + "\n").utf8))
        }
        guard let device = DeviceID(bus, write.text), let state = try? DriverState(of: device, in: roots)
        else { throw .noDevice }
        if parts[4] == "unbind" {
            guard state.driver == parts[3] else { throw .noDevice }
            try host.bind(device, to: nil, waitingAtMost: milliseconds)
        } else {
            guard state.override == nil || state.override == parts[3] else { throw .noDevice }
            guard state.driver == nil else { throw .busy }
            try host.bind(device, to: parts[3], waitingAtMost: milliseconds)
        }
        // Other buses' devices have no restriction to choose a driver by, and are refused before.
        guard let address = device.address else { return }
        do throws(InventoryError) {
            let root = String(roots.sysfs.dropLast("/sys".count))
            try SysfsTree.update(address, to: try host.inventory(), in: root)
        } catch {
            throw error.errno
        }
    }
}
