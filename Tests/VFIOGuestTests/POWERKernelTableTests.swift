import IOVASpace
import LinuxSystem
import Testing
import VFIO
import VFIOHost

@testable import SoftwareHost
@testable import VFIOGuest

@Suite("KVM fills the DMA windows of a guest on POWER")
struct POWERKernelTableTests {
    /// A virtual machine with KVM's rules for tables: a group must be in, and the descriptor must be one of its tables.
    private final class Machine: VirtualMachineFiles {
        private let files: VFIODeviceFiles
        private var groups: [Int32] = []
        var tables: [Int32]
        /// What was set, one word for each: the table, and which of the groups that are in got it.
        private(set) var history: [String] = []

        init(_ host: SoftwareHost, tables: [Int32]) {
            files = VFIODeviceFiles(of: host)
            self.tables = tables
        }

        func add(_ handle: Int32) throws(Errno) {
            try files.add(handle)
            groups.append(handle)
        }

        func remove(_ handle: Int32) throws(Errno) {
            try files.remove(handle)
            groups.removeAll { $0 == handle }
        }

        func setTable(_ table: Int32, of group: Int32) throws(Errno) {
            guard let number = groups.firstIndex(of: group) else { throw .noSuchEntry }
            guard tables.contains(table) else { throw .invalid }
            history.append("\(table) for group \(number)")
        }

        func close() {}

        func take() -> [String] {
            defer { history = [] }
            return history
        }
    }

    @Test("1.7 KVM hears of the table of each window, for each group, and also for one that comes later")
    func tables() throws {
        let power = try POWERMachine(kernelTable: 100)
        let machine = Machine(power.host, tables: [100, 101])
        let devices = power.devices(machine: machine)
        let first = try power.attach(to: devices)
        #expect(machine.take() == ["100 for group 0"])
        let second = try power.attach(2, to: devices)
        #expect(Set(machine.take()) == ["100 for group 0", "100 for group 1"])
        let (_, region) = try power.window("second", kernelTable: 101)
        try power.deviceRoot.add(region, at: POWERMachine.second)
        #expect(machine.take() == ["101 for group 0", "101 for group 1"])
        // A window without a table is the VMM's alone.
        try power.deviceRoot.remove(region)
        let (_, plain) = try power.window("plain")
        try power.deviceRoot.add(plain, at: POWERMachine.second)
        #expect(machine.take().isEmpty && first.windows.count == 2)
        // A group whose windows KVM can't fill isn't given to the guest; the others keep theirs.
        machine.tables = []
        let error = #expect(throws: VFIOGuestError.self) { _ = try power.attach(3, to: devices) }
        #expect(error?.errno == .invalid)
        #expect(power.table.put(3, at: 0) == .success && power.write(1, at: 0))
        first.takeAway()
        second.takeAway()
        #expect(power.host.lockedByteCount == 0 && devices.containers.isEmpty)
    }

    @Test("Fault 8: a table that KVM refuses takes the window, its record and its section with it")
    func refusal() throws {
        // On the way in.
        let power = try POWERMachine(kernelTable: 100)
        let machine = Machine(power.host, tables: [])
        let devices = power.devices(machine: machine)
        let error = #expect(throws: VFIOGuestError.self) { _ = try power.attach(to: devices) }
        #expect(error?.errno == .invalid)
        let text = error?.description ?? ""
        #expect(text.contains("window 0") && text.contains("group 1") && text.contains("KVM"))
        #expect(power.host.lockedByteCount == 0 && power.host.core.files.count == 0)
        #expect(power.table.notifiers.count == 0 && devices.containers.isEmpty)

        // While the guest runs.
        machine.tables = [100]
        let failures = Box<[VFIOGuestError]>([])
        let device = try power.attach(to: devices) { failure in failures.change { $0.append(failure.error) } }
        let rest = power.host.lockedByteCount
        let (table, region) = try power.window("second", kernelTable: 101)
        #expect(table.put(3, at: 0) == .success)
        try power.deviceRoot.add(region, at: POWERMachine.second)
        #expect(failures.value.map(\.errno) == [.invalid])
        guard case .failed = device.outcome(at: POWERMachine.second) else {
            Issue.record("the section hasn't failed")
            return
        }
        #expect(device.windows.count == 1 && power.host.lockedByteCount == rest)
        #expect(table.notifiers.count == 0 && !power.write(1, at: POWERMachine.second))
        try power.deviceRoot.remove(region)
        #expect(failures.value.count == 1)
        // Nothing of it is in the way of the next attempt.
        machine.tables = [100, 101]
        try power.deviceRoot.add(region, at: POWERMachine.second)
        #expect(failures.value.count == 1 && power.write(1, at: POWERMachine.second))
        device.takeAway()
    }

    @Test("Fault 8: a virtual machine without such tables says so")
    func unknown() throws {
        /// One from before there were tables.
        final class Plain: VirtualMachineFiles {
            func add(_ handle: Int32) throws(Errno) {}
            func remove(_ handle: Int32) throws(Errno) {}
            func close() {}
        }
        let power = try POWERMachine(kernelTable: 100)
        let error = #expect(throws: VFIOGuestError.self) {
            _ = try power.attach(to: power.devices(machine: Plain()))
        }
        #expect(error?.errno == .noSuchAddress && error?.cause?.contains("tables") == true)
        // Without a virtual machine nobody is to be told.
        let device = try power.attach()
        #expect(device.windows.count == 1)
        device.takeAway()
    }
}
