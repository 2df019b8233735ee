import CLinux
import LinuxSystem
import SoftwareHost
import VFIOHost

/// The files in sysfs by which users bind devices to drivers and reset them.
///
/// What a program writes is carried out when it calls write(2), with the kernel's answer. What the C library writes by
/// itself (a stream's contents: bash's `echo`) ends up in the file of the run's folder, and is carried out when the
/// number is closed or put over; whoever wrote it doesn't hear of a refusal then.
enum ControlFiles {
    private enum Kind {
        case bind, unbind, newID, probe, override, reset, virtualFunctions
    }

    private struct Control {
        let kind: Kind
        /// A driver's name, or a device's address.
        let subject: String
        /// The file in the run's folder.
        let path: String
    }

    // SAFETY: only touched with `lock` held.
    nonisolated(unsafe) private static var all: [Control] = []
    private static let lock = Lock()

    /// A path was opened for writing. Which file it is, the system tells: paths may be relative, and lead over links.
    static func note(_ number: Int32, _ path: UnsafePointer<CChar>?) {
        guard Run.isActive, let path = unsafe path else { return }
        let isAbsolute = unsafe path[0] == CChar(UInt8(ascii: "/"))
        guard isAbsolute ? unsafe PrivatePaths.contains(path) : unsafe PrivatePaths.wereUsed else { return }
        // The link isn't ours: no hook changes what it says.
        guard let place = try? linkTarget("/proc/self/fd/\(number)") else { return }
        guard let control = control(place), (try? Handles.prepare()) != nil else { return }
        let index = lock.withLock { () -> Int in
            let known = unsafe all.firstIndex { $0.path.utf8.elementsEqual(control.path.utf8) }
            if let known { return known }
            unsafe all.append(control)
            return unsafe all.count - 1
        }
        Handles.add(number, control: index)
    }

    /// Where a link leads, whatever our own readlink(2) says.
    private static func linkTarget(_ path: String) throws(Errno) -> String {
        var target = [UInt8](repeating: 0, count: PrivatePaths.most)
        // SAFETY: at most `count` bytes are written into the array's own memory.
        let count = unsafe target.withUnsafeMutableBytes { buffer in
            unsafe path.withCString { name in
                unsafe RealCalls.call(.readlink, as: RealCalls.ReadLink.self)(
                    name, buffer.bindMemory(to: CChar.self).baseAddress, buffer.count)
            }
        }
        guard count > 0 else { throw .noSuchEntry }
        return String(decoding: target[..<count], as: UTF8.self)
    }

    /// What a file in the run's folder is written for; nil if nothing comes of it.
    private static func control(_ path: String) -> Control? {
        let root = unsafe Run.root
        guard path.utf8.starts(with: root) else { return nil }
        let parts = path.utf8.dropFirst(root.count).split(separator: UInt8(ascii: "/")).map {
            String(decoding: $0, as: UTF8.self)
        }
        func part(_ index: Int, _ text: StaticString) -> Bool {
            guard index < parts.count else { return false }
            // SAFETY: a StaticString's text is a constant of that length.
            let wanted = unsafe UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
            return unsafe parts[index].utf8.elementsEqual(wanted)
        }
        if parts.count == 4, part(0, "sys"), part(1, "bus"), part(2, "pci"), part(3, "drivers_probe") {
            return Control(kind: .probe, subject: "", path: path)
        }
        if parts.count == 6, part(0, "sys"), part(1, "bus"), part(2, "pci"), part(3, "drivers") {
            let kind: Kind? =
                part(5, "bind") ? .bind : part(5, "unbind") ? .unbind : part(5, "new_id") ? .newID : nil
            return kind.map { Control(kind: $0, subject: parts[4], path: path) }
        }
        if parts.count == 5, part(0, "sys"), part(1, "devices") {
            let kind: Kind? =
                part(4, "driver_override")
                ? .override
                : part(4, "reset") ? .reset : part(4, "sriov_numvfs") ? .virtualFunctions : nil
            return kind.map { Control(kind: $0, subject: parts[3], path: path) }
        }
        return nil
    }

    /// The program writes.
    static func write(_ index: Int, _ from: UInt, _ count: Int) -> Int {
        Answer.count { () throws(Errno) -> Int in
            // More is never read of one: a page.
            guard count >= 0, count < pageSize else { throw .invalid }
            var bytes = [UInt8](repeating: 0, count: count)
            var span = bytes.mutableSpan
            // SAFETY: any value of the bytes is one of their own.
            var raw = unsafe span.mutableBytes
            try UserMemory.read(from: HostAddress(rawValue: from), into: &raw)
            try Run.write(bytes, to: lock.withLock { unsafe all[index].path })
            return count
        }
    }

    /// A number is about to be closed: what the C library has written by itself is in the file.
    static func takeContents(_ index: Int) {
        let control = lock.withLock { unsafe all[index] }
        // That one keeps what is written to it.
        if case .override = control.kind { return }
        guard let bytes = try? FileSystem.bytes(of: control.path, limit: 4096), !bytes.isEmpty else { return }
        let error = clinux_errno()
        // Before it is carried out: nobody else is to do it again.
        try? FileSystem.makeFile(control.path)
        try? Run.write(bytes, to: control.path)
        clinux_set_errno(error)
    }

    // MARK: what they do

    /// Does what is written to a file, on the kernel of this process or one that is made for it.
    /// - Parameter milliseconds: how long to wait for users of a device; nil for as long as there are any, as Linux does.
    /// - Throws: Linux's answer; `ETIMEDOUT` if the wait was given up, and nothing has changed.
    static func carryOut(
        _ path: String, _ bytes: [UInt8], waitingAtMost milliseconds: Int? = nil
    ) throws(Errno) {
        guard let control = control(path) else { throw .noSuchEntry }
        let line = bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != 0 }
        let text = String(decoding: line, as: UTF8.self)
        switch control.kind {
        case .override:
            let kept = text.utf8.isEmpty ? "(null)" : text
            try FileSystem.makeFile(control.path, Array((kept + "\n").utf8))
        case .reset:
            guard text.utf8.elementsEqual("1".utf8), let address = PCIAddress(control.subject) else {
                throw .invalid
            }
            try kernel().reset(address)
        case .virtualFunctions:
            guard let address = PCIAddress(control.subject) else { throw .invalid }
            try setVirtualFunctions(Int(text), of: address, milliseconds)
        case .unbind:
            let (host, device) = try device(text, else: .noDevice)
            guard let driver = device.driver, driver.name.utf8.elementsEqual(control.subject.utf8) else {
                throw .noDevice
            }
            try change(host, DriverChange(address: device.address, driver: nil), milliseconds)
        case .bind:
            let (host, device) = try device(text, else: .noDevice)
            guard matches(control.subject, device) else { throw .noDevice }
            guard device.driver == nil else { throw .busy }
            try change(host, DriverChange(address: device.address, driver: control.subject), milliseconds)
        case .probe:
            let (host, device) = try device(text, else: .invalid)
            guard device.driver == nil else { return }
            let wanted = override(of: device)
            if let driver = wanted ?? (matches("vfio-pci", device) ? "vfio-pci" : nil) {
                try change(host, DriverChange(address: device.address, driver: driver), milliseconds)
            }
        case .newID:
            let words = line.split(separator: UInt8(ascii: " ")).map { number($0) }
            guard words.count >= 2, let vendor = words[0], let code = words[1] else { throw .invalid }
            let id = NewID(driver: control.subject, vendor: vendor, device: code)
            guard !Run.newIDs.contains(where: { $0.isSame(as: id) }) else { throw .exists }
            Run.remember(id)
            let host = try kernel()
            for device in try inventory(of: host).devices
            where device.driver == nil && override(of: device) == nil && id.matches(device) {
                try change(host, DriverChange(address: device.address, driver: control.subject), milliseconds)
            }
        }
    }

    private static func kernel() throws(Errno) -> SoftwareHost {
        do throws(RunFailure) { return try Run.kernelToAsk() } catch { throw .noDevice }
    }

    @inline(never)
    private static func inventory(of host: SoftwareHost) throws(Errno) -> Inventory {
        do throws(InventoryError) { return try host.inventory() } catch { throw error.errno }
    }

    @inline(never)
    private static func device(
        _ text: String, else error: Errno
    ) throws(Errno) -> (SoftwareHost, DeviceRecord) {
        let host = try kernel()
        guard let address = PCIAddress(text),
            let device = try inventory(of: host).devices.first(where: { $0.address == address })
        else { throw error }
        return (host, device)
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> UInt32? {
        UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    }

    /// The only driver that a device may have, as `driver_override` in the run's folder says; nil for no such.
    @inline(never)
    private static func override(of device: DeviceRecord) -> String? {
        let path = String(decoding: unsafe Run.root, as: UTF8.self) + "/sys/bus/pci/devices/\(device.address)"
        guard let text = try? FileSystem.text(of: path + "/driver_override"), !text.utf8.isEmpty,
            !text.utf8.elementsEqual("(null)".utf8)
        else { return nil }
        return text
    }

    /// Whether a driver is one for a device: vfio-pci has no devices of its own, and takes those that it is told of.
    @inline(never)
    private static func matches(_ driver: String, _ device: DeviceRecord) -> Bool {
        if let only = override(of: device) { return only.utf8.elementsEqual(driver.utf8) }
        if !driver.utf8.elementsEqual("vfio-pci".utf8) { return true }
        return Run.newIDs.contains { $0.driver.utf8.elementsEqual(driver.utf8) && $0.matches(device) }
    }

    /// `sriov_numvfs`. Whatever comes of it, the file says how many there are, also if somebody has written into it.
    private static func setVirtualFunctions(
        _ count: Int?, of address: PCIAddress, _ milliseconds: Int?
    ) throws(Errno) {
        let host = try kernel()
        var failure: Errno?
        do throws(Errno) {
            guard let count else { throw .invalid }
            try host.setVirtualFunctionCount(count, of: address, waitingAtMost: milliseconds)
            Run.remember(DriverChange(address: address, virtualFunctionCount: count))
        } catch {
            failure = error
        }
        do throws(InventoryError) {
            try SysfsTree.updateVirtualFunctions(
                of: address, to: try host.inventory(), in: String(decoding: unsafe Run.root, as: UTF8.self)
            ) { host.configuration(of: $0) }
        } catch {
            failure = failure ?? error.errno
        }
        if let failure { throw failure }
    }

    @inline(never)
    private static func change(
        _ host: SoftwareHost, _ change: DriverChange, _ milliseconds: Int?
    ) throws(Errno) {
        // From a device that is in use it waits.
        try host.bind(change.address, to: change.driver, waitingAtMost: milliseconds)
        Run.remember(change)
        let after = try inventory(of: host)
        do throws(InventoryError) {
            try SysfsTree.update(
                change.address, to: after, in: String(decoding: unsafe Run.root, as: UTF8.self))
        } catch {
            throw error.errno
        }
    }
}
