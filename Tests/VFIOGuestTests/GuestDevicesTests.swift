import LinuxSystem
import Testing
import VFIO
import VFIOHost

@testable import SoftwareHost
@testable import VFIOGuest

@Suite("Devices come to a guest and go")
struct GuestDevicesTests {
    private static let routes: [RouteChoice] = [.group, .cdev]

    @Test("1.16 Devices that see the same share a container, also from different groups", arguments: routes)
    func sharing(route: RouteChoice) throws {
        let machine = try GuestMachine()
        try machine.system.add(machine.ram("ram", pages: 1), at: 0)
        let devices = machine.devices(route)
        var attached: [GuestDevice] = []
        for index in 0..<4 { attached.append(try machine.attach(index, to: devices)) }
        #expect(devices.containers.count == 1)
        #expect(devices.containers[0].groups == [1, 2, 3])
        for prober in machine.probers { #expect(prober.write(1, at: 0)) }
        // The mappings stay until the last one goes.
        for index in [2, 0, 3] { attached[index].detach() }
        attached = [attached[1]]
        #expect(machine.probers[1].write(1, at: 0))
        attached[0].detach()
        attached = []
        #expect(machine.host.lockedByteCount == 0)
        #expect(devices.containers.isEmpty)
    }

    @Test(
        "1.19 A group can't be split between address spaces; another group can have another one",
        arguments: routes
    )
    func spaces(route: RouteChoice) throws {
        let machine = try GuestMachine()
        let other = GuestAddressSpace(
            "behind the IOMMU",
            showing: try MemoryRegion("other", .container, byteCount: 1 << 32, in: machine.memory))
        try machine.system.add(machine.ram("ram", pages: 1), at: 0)
        let devices = machine.devices(route)
        let first = try machine.attach(0, to: devices)
        let error = #expect(throws: VFIOGuestError.self) { _ = try machine.attach(1, to: devices, other) }
        #expect(error?.code == .busy)
        #expect(error?.cause?.contains("memory") == true)
        let kept1 = try machine.attach(2, to: devices, other)
        defer { withExtendedLifetime(kept1) {} }
        #expect(devices.containers.count == 2)
        #expect(machine.probers[0].write(1, at: 0) && !machine.probers[2].write(1, at: 0))
        _ = first
    }

    @Test("1.18 Each step on the way in may fail, and then nothing is left behind", arguments: routes)
    func unwinding(route: RouteChoice) throws {
        for failing in 1...60 {
            let machine = try GuestMachine()
            let ram = try machine.ram("ram", pages: 4)
            try machine.system.add(ram, at: 0)
            let devices = machine.devices(route)
            let token = machine.host.inject(
                FaultRule(.request(nil, .inputOutput), .nth(UInt64(failing))))
            let attempt = Result { try devices.attach(GuestMachine.address(0), to: machine.space) }
            let fired = (machine.host.faultCount(of: token)?.fired ?? 0) > 0
            machine.host.withdraw(token)
            guard fired else {
                #expect(failing > 5, "the way in has several steps")
                _ = try attempt.get()
                return
            }
            if case .success(let device) = attempt {
                // The step could be done without, or done otherwise.
                #expect(device.container?.iommu.mappingCount == 1)
                device.detach()
            } else {
                #expect(devices.containers.isEmpty)
                #expect(machine.host.core.files.count == 0, "step \(failing)")
                #expect(machine.host.lockedByteCount == 0, "step \(failing)")
                // All of it can be done at once again.
                let device = try devices.attach(GuestMachine.address(0), to: machine.space)
                device.detach()
            }
        }
        Issue.record("the way in never ends")
    }

    @Test("1.18 Opening nodes may fail too", arguments: [Node.container, .group(1), .iommu])
    func nodes(node: Node) throws {
        let machine = try GuestMachine()
        let devices = machine.devices(node == .iommu ? .cdev : .group)
        machine.host.inject(FaultRule(.open(node, .accessDenied), .nth(1)))
        let error = #expect(throws: VFIOGuestError.self) { _ = try machine.attach(0, to: devices) }
        #expect(error?.code == .permissionDenied)
        _ = try machine.attach(0, to: devices)
    }

    @Test("1.19 A device that isn't there, or is in use, is refused in words")
    func refusals() throws {
        let machine = try GuestMachine()
        let devices = machine.devices()
        let missing = #expect(throws: VFIOGuestError.self) {
            _ = try devices.attach(PCIAddress(bus: 9, device: 0, function: 0), to: machine.space)
        }
        #expect(missing?.code == .noSuchDevice)
        let other = machine.devices(.group)
        let kept3 = try other.attach(GuestMachine.address(0), to: machine.space)
        defer { withExtendedLifetime(kept3) {} }
        #expect(throws: VFIOGuestError.self) {
            _ = try machine.devices(.group).attach(GuestMachine.address(0), to: machine.space)
        }
    }
}
