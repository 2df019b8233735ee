import LinuxSystem
import VFIOABI
import VFIOHost

/// One run of one case: opens things, sends requests, and keeps what it sees.
///
/// Whatever is opened here is closed when the case is over, in reverse order.
final class Trial {
    /// Who answers.
    let host: any Host
    /// The way in of this run.
    let route: Route
    /// Whose answers these are.
    let kernel: Kernel
    let run: Run
    private(set) var observations: [Observation] = []
    private var files: [File] = []
    private var errands: [Errand] = []
    private var repairs: [() -> Void] = []

    init(_ run: Run, _ kernel: Kernel) {
        self.run = run
        host = run.host
        route = run.route
        self.kernel = kernel
    }

    func closeAll() {
        for file in files.reversed() { file.close() }
        files = []
    }

    /// Closes what is open, waits for what goes on aside, and puts the machine back as it was.
    func end() {
        closeAll()
        for errand in errands { errand.wait() }
        errands = []
        for repair in repairs.reversed() { repair() }
        repairs = []
    }

    /// Does something on another thread, e.g. what waits for a device to be closed.
    ///
    /// Waited for at the end of the case, after everything was closed.
    func aside(_ work: @escaping @Sendable () throws(Errno) -> Void) throws -> Errand {
        let errand = try Errand(work)
        errands.append(errand)
        return errand
    }

    /// Puts something back at the end of the case, after everything was closed.
    func atEnd(_ repair: @escaping () -> Void) { repairs.append(repair) }

    // MARK: what is seen

    /// An answer must be Linux 7.2's, or that of the first exception that applies.
    func expect(_ got: Answer, _ wanted: Answer, _ label: String, _ exceptions: Exception...) {
        note("\(got)", "\(wanted)", label, exceptions)
    }

    /// A value must be Linux 7.2's, or that of the first exception that applies.
    func expect<T: CustomStringConvertible>(
        _ got: T, equals wanted: T, _ label: String, _ exceptions: Exception...
    ) {
        note("\(got)", "\(wanted)", label, exceptions)
    }

    /// Something must be so. Both sides of a comparison that depends on the device belong here: a run's answer
    /// is then "yes" whatever the numbers are.
    func expect(_ condition: Bool, _ label: String, _ exceptions: Exception...) {
        note(condition ? "yes" : "no", "yes", label, exceptions)
    }

    /// Keeps a value that depends on the device, and can't be compared.
    func note(_ value: some CustomStringConvertible, _ label: String) {
        observations.append(Observation(label: label, got: "\(value)"))
    }

    private func note(_ got: String, _ wanted: String, _ label: String, _ exceptions: [Exception]) {
        let exception = exceptions.first { $0.applies(to: kernel) }
        observations.append(
            Observation(
                label: label, got: got, wanted: exception?.wanted ?? wanted, reason: exception?.reason))
    }

    /// Ends a case that can't be run here.
    func skip(_ reason: String) -> any Error { Halt.skipped(reason) }

    /// Goes on only if something that the case builds on succeeded.
    @discardableResult
    func require(_ answer: Answer, _ label: String) throws -> Int32 {
        guard case .value(let value) = answer else { throw Halt.broken("\(label): \(answer)") }
        return value
    }

    // MARK: opening

    /// Opens a node that must be there.
    func open(_ node: Node) throws -> File {
        do throws(Errno) {
            return adopt(try host.open(node))
        } catch .noSuchEntry {
            throw Halt.skipped("there is no /dev/\(node.path)")
        } catch {
            throw Halt.broken("/dev/\(node.path) can't be opened: \(error.name)")
        }
    }

    /// Tries to open a node, and closes it again.
    func opening(_ node: Node) -> Answer {
        do throws(Errno) {
            host.close(try host.open(node))
            return .descriptor
        } catch {
            return .errno(error)
        }
    }

    /// Takes over a descriptor that a request returned.
    func adopt(_ number: Int32) -> File {
        let file = File(number, on: host)
        files.append(file)
        return file
    }

    /// GET_DEVICE_FD with a text.
    func getDevice(_ name: String, from group: File) -> (answer: Answer, file: File?) {
        let text = Array(name.utf8) + [0]
        let answer = Answer.of { () throws(Errno) in
            // SAFETY: the address is used during the call only.
            try unsafe text.span.withUnsafeBytes { (bytes) throws(Errno) -> Int32 in
                try host.control(
                    group.number, UInt32(truncatingIfNeeded: Request.groupGetDeviceFD.rawValue),
                    UInt(bitPattern: bytes.baseAddress))
            }
        }
        guard case .value(let number) = answer else { return (answer, nil) }
        return (.descriptor, adopt(number))
    }

    // MARK: memory and events

    /// Pages that can be mapped for DMA.
    func memory(pages: Int) throws -> UserPages { try UserPages(pages: pages) }

    /// A buffer for a request's structure.
    func buffer(_ byteCount: Int) throws -> UserBuffer {
        try UserBuffer(byteCount: byteCount, atEndOfPage: false)
    }

    /// A buffer whose last byte is the last of its page: what is behind it can't be accessed.
    func buffer(atEndOfPage byteCount: Int) throws -> UserBuffer {
        try UserBuffer(byteCount: byteCount, atEndOfPage: true)
    }

    /// A new eventfd; its owner closes it.
    func eventfd() throws -> EventDescriptor { try EventDescriptor() }

    // MARK: the machine

    /// The levers of the machine.
    /// - Throws: the case is skipped where there are none.
    var machine: any MachineControl {
        get throws {
            guard let machine = run.machine else {
                throw Halt.skipped("it changes the machine, which this run may not (--change-machine)")
            }
            return machine
        }
    }

    /// What there is on the machine.
    var inventory: Inventory {
        get throws { try host.inventory() }
    }

    /// The devices that the run may use.
    var devices: [DeviceRecord] {
        get throws {
            let inventory = try inventory
            return inventory.devices.filter { record in
                guard record.driver?.name == "vfio-pci", let group = record.group else { return false }
                // A device whose group others use is of no use here.
                return record.isUnprotected == (route == .noIOMMU)
                    && run.devices?.contains(record.address) ?? true
                    && inventory.blockers(ofGroup: group).isEmpty
            }
        }
    }

    /// The devices that the run may use and whose driver may be able to move them to another host.
    var movableDevices: [DeviceRecord] {
        get throws {
            let inventory = try inventory
            return inventory.devices.filter { record in
                guard let driver = record.driver, driver.isVFIO, driver.name != "vfio-pci",
                    let group = record.group
                else { return false }
                return !record.isUnprotected && run.devices?.contains(record.address) ?? true
                    && inventory.blockers(ofGroup: group).isEmpty
            }
        }
    }

    /// The first device that the run may use and that a condition picks.
    /// - Parameter what: e.g. "an NVMe disk", for the reason if there is none.
    func device(_ what: String, where condition: (DeviceRecord) throws -> Bool) throws -> DeviceRecord {
        for record in try devices where try condition(record) { return record }
        throw Halt.skipped("it needs \(what), bound to vfio-pci")
    }

    /// QEMU's educational device, or one like it.
    var edu: DeviceRecord {
        get throws {
            try device("an edu device (1234:11e8)") { $0.vendor == 0x1234 && $0.device == 0x11e8 }
        }
    }

    /// An NVMe disk. Nothing is written to it.
    var nvme: DeviceRecord {
        get throws { try device("an NVMe disk") { $0.classCode == 0x010802 } }
    }

    /// Any device.
    var anyDevice: DeviceRecord {
        get throws { try device("a device") { _ in true } }
    }
}

extension DeviceRecord {
    /// The node of the device's group.
    var groupNode: Node { isUnprotected ? .unprotectedGroup(group ?? -1) : .group(group ?? -1) }
    /// Its name, as GET_DEVICE_FD takes it.
    var name: String { "\(address)" }
}
