import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOGuest

@Suite("Errors of a guest's devices are handled by address space (EEH)")
struct GuestErrorIsolationTests {
    private func machine() throws -> GuestMachine {
        try GuestMachine { $0.iommu = IOMMU(.spapr(SPAPRIOMMU())) }
    }

    @Test("1.21 the answer of the host is a value: the state, as it changes")
    func values() throws {
        let machine = try machine()
        let devices = machine.devices()
        let attached = [try machine.attach(0, to: devices), try machine.attach(1, to: devices)]
        defer { withExtendedLifetime(attached) {} }
        let space = machine.space
        #expect(devices.isolatesErrors(of: space))
        #expect(try devices.handleErrors(of: space, .enable) == 0)
        #expect(try devices.handleErrors(of: space, .getState) == EEHState.normal.rawValue)
        #expect(machine.host.freeze(group: 1))
        #expect(try devices.handleErrors(of: space, .getState) == EEHState.stopped.rawValue)
        #expect(try devices.handleErrors(of: space, .unfreezeIO) == 0)
        #expect(try devices.handleErrors(of: space, .resetHot) == 0)
        #expect(try devices.handleErrors(of: space, .getState) == EEHState.reset.rawValue)
        #expect(try devices.handleErrors(of: space, .resetDeactivate) == 0)
        #expect(try devices.handleErrors(of: space, .configure) == 0)
        #expect(try devices.partitionableEndpoint(of: space).state() == .normal)
        try devices.handleErrors(of: space, .injectError, EEHError(function: 0))
    }

    @Test("1.21 what the host doesn't know is told with its errno")
    func refusal() throws {
        let machine = try machine()
        let devices = machine.devices()
        let device = try machine.attach(0, to: devices)
        defer { withExtendedLifetime(device) {} }
        let error = #expect(throws: VFIOGuestError.self) {
            try devices.handleErrors(of: machine.space, EEHOperation(rawValue: 77))
        }
        #expect(error?.errno == .invalid && error?.operation.contains("77") == true)
    }

    @Test("1.21 a space without a container, or with several, is ENODEV")
    func containers() throws {
        let machine = try machine()
        let devices = machine.devices()
        let none = #expect(throws: VFIOGuestError.self) {
            try devices.handleErrors(of: machine.space, .getState)
        }
        #expect(none?.errno == .noDevice && !devices.isolatesErrors(of: machine.space))
        let first = try machine.attach(0, to: devices)
        #expect(devices.isolatesErrors(of: machine.space))
        // A container that doesn't take the group: it gets one of its own.
        machine.host.inject(FaultRule(.request(.groupSetContainer, .invalid), .nth(1)))
        let second = try machine.attach(2, to: devices)
        #expect(devices.containers.count == 2)
        let several = #expect(throws: VFIOGuestError.self) {
            try devices.handleErrors(of: machine.space, .getState)
        }
        #expect(several?.errno == .noDevice && several?.cause?.contains("2 containers") == true)
        second.detach()
        #expect(devices.isolatesErrors(of: machine.space))
        first.detach()
        #expect(!devices.isolatesErrors(of: machine.space))
        withExtendedLifetime((first, second)) {}
    }

    @Test(
        "1.21 a container with several groups is EPERM, also while a device that was taken away leaves its group"
    )
    func groups() throws {
        let machine = try machine()
        let devices = machine.devices()
        let first = try machine.attach(0, to: devices)
        let second = try machine.attach(2, to: devices)
        #expect(devices.containers.count == 1)
        for _ in 1...2 {
            let error = #expect(throws: VFIOGuestError.self) {
                try devices.handleErrors(of: machine.space, .getState)
            }
            #expect(error?.errno == .notPermitted && error?.cause?.contains("2 groups") == true)
            second.detach()
        }
        withExtendedLifetime((first, second)) {}
    }

    @Test("1.21 each address space is asked about its own devices")
    func twoSpaces() throws {
        let machine = try machine()
        let other = GuestAddressSpace(
            "the other",
            showing: try MemoryRegion("other", .container, byteCount: 1 << 32, in: machine.memory))
        let devices = machine.devices()
        let attached = [try machine.attach(0, to: devices), try machine.attach(2, to: devices, other)]
        machine.host.freeze(group: 2)
        #expect(try devices.handleErrors(of: machine.space, .getState) == EEHState.normal.rawValue)
        #expect(try devices.handleErrors(of: other, .getState) == EEHState.stopped.rawValue)
        withExtendedLifetime(attached) {}
    }

    @Test("1.21 a machine that doesn't isolate errors says so", arguments: [.group, .cdev] as [RouteChoice])
    func absent(route: RouteChoice) throws {
        let machine = try GuestMachine()
        let devices = machine.devices(route)
        let device = try machine.attach(0, to: devices)
        defer { withExtendedLifetime(device) {} }
        let error = #expect(throws: VFIOGuestError.self) {
            try devices.handleErrors(of: machine.space, .getState)
        }
        #expect(error?.code == .notSupported && error?.errno == nil)
    }
}
