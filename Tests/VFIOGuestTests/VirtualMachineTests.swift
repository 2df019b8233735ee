import IOVASpace
import LinuxSystem
import Testing
import VFIO
import VFIOHost

@testable import SoftwareHost
@testable import VFIOGuest

@Suite("A virtual machine knows of its guest's devices")
struct VirtualMachineTests {
    private static let routes: [RouteChoice] = [.group, .cdev]

    /// What KVM does with files, on the software kernel, which holds them open as KVM does.
    private final class Machine: VirtualMachineFiles {
        private let host: SoftwareHost
        private var held: VFIODeviceFiles
        private(set) var handles: [Int32] = []
        private(set) var history: [String] = []
        var refusal: Errno?

        init(_ host: SoftwareHost) {
            self.host = host
            held = VFIODeviceFiles(of: host)
        }

        func add(_ handle: Int32) throws(Errno) {
            if let refusal { throw refusal }
            try held.add(handle)
            handles.append(handle)
            history.append("add")
        }

        func remove(_ handle: Int32) throws(Errno) {
            try held.remove(handle)
            handles.removeAll { $0 == handle }
            history.append("remove")
        }

        func close() { held = VFIODeviceFiles(of: host) }
    }

    @Test(
        "1.15 It hears of groups once, of devices with nodes each, and of nothing that is closed",
        arguments: routes)
    func hears(route: RouteChoice) throws {
        let guest = try GuestMachine()
        let machine = Machine(guest.host)
        try guest.system.add(guest.ram("ram", pages: 1), at: 0)
        let devices = GuestDevices(on: guest.host, for: guest.memory, route, machine: machine)
        var attached = [try guest.attach(0, to: devices), try guest.attach(1, to: devices)]
        #expect(machine.handles.count == (route == .group ? 1 : 2))
        attached.append(try guest.attach(2, to: devices))
        #expect(machine.handles.count == (route == .group ? 2 : 3))
        for device in attached { device.detach() }
        attached = []
        #expect(machine.handles == [])
        #expect(guest.host.core.files.count == 0)
        #expect(guest.host.lockedByteCount == 0)
    }

    @Test("Fault 24: A refusal is told, and nothing is left open", arguments: routes)
    func refusal(route: RouteChoice) throws {
        let guest = try GuestMachine()
        let machine = Machine(guest.host)
        machine.refusal = .noSpace
        let devices = GuestDevices(on: guest.host, for: guest.memory, route, machine: machine)
        let error = #expect(throws: VFIOGuestError.self) { _ = try guest.attach(0, to: devices) }
        #expect(error?.errno == .noSpace)
        #expect(error?.cause?.contains("KVM") == true)
        #expect(guest.host.core.files.count == 0)
        machine.refusal = nil
        _ = try guest.attach(0, to: devices)
        #expect(machine.history == ["add", "remove"])
    }

    @Test(
        "1.15 Whatever fails after it heard of a device, it doesn't keep the device open", arguments: routes)
    func unwinding(route: RouteChoice) throws {
        for failing in 1...60 {
            let guest = try GuestMachine()
            let machine = Machine(guest.host)
            try guest.system.add(guest.ram("ram", pages: 1), at: 0)
            let devices = GuestDevices(on: guest.host, for: guest.memory, route, machine: machine)
            let token = guest.host.inject(FaultRule(.request(nil, .inputOutput), .nth(UInt64(failing))))
            do {
                let attempt = Result { try devices.attach(GuestMachine.address(0), to: guest.space) }
                if (guest.host.faultCount(of: token)?.fired ?? 0) == 0 { return }
                _ = attempt
            }
            #expect(machine.handles == [], "step \(failing)")
            #expect(guest.host.core.files.count == 0, "step \(failing)")
        }
        Issue.record("the way in never ends")
    }

    /// Whether the machine that runs this has a KVM that it may use.
    private static let hasKVM: Bool = {
        guard let machine = try? KVMDevice.makeMachine() else { return false }
        return (try? KVMDevice(of: machine.number)) != nil
    }()

    @Test(
        "1.15 The real KVM has one such device for each machine, and takes nothing but VFIO's files",
        .enabled(if: hasKVM, "there is no KVM with a VFIO device that this user may use"))
    func kvm() throws {
        let machine = try KVMDevice.makeMachine()
        let device = try KVMDevice(of: machine.number)
        let second = #expect(throws: Errno.self) { _ = try KVMDevice(of: machine.number) }
        #expect(second == .busy || second == .exists)
        let file = try MemoryFile.create("not-vfio", byteCount: 4096)
        #expect(throws: Errno.invalid) { try device.add(file.number) }
        #expect(throws: Errno.badDescriptor) { try device.add(-1) }
        #expect(throws: Errno.noSuchEntry) { try device.remove(file.number) }
        #if !arch(powerpc64le)
            // The kernel knows the tables of POWER on POWER only.
            #expect(throws: Errno.noSuchAddress) { try device.setTable(file.number, of: file.number) }
        #endif
        device.close()
        #expect(throws: Errno.badDescriptor) { try device.add(file.number) }
    }
}
