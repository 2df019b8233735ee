import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOHost

@testable import SoftwareHost
@testable import VFIOGuest

@Suite("A device that fails to join others of its guest")
struct SharedContainerFailureTests {
    @Test(
        "whatever fails, that is what is told, the others stay and nothing of the new one is left",
        arguments: [RouteChoice.group, .cdev])
    func joining(route: RouteChoice) throws {
        for failing in 1...60 {
            let guest = try GuestMachine()
            try guest.system.add(guest.ram("ram", pages: 4), at: 0)
            let devices = guest.devices(route)
            let first = try guest.attach(0, to: devices)
            defer { withExtendedLifetime(first) {} }
            let files = guest.host.core.files.count
            let token = guest.host.inject(FaultRule(.request(nil, .inputOutput), .nth(UInt64(failing))))
            do {
                let attempt = Result { try devices.attach(GuestMachine.address(2), to: guest.space) }
                if (guest.host.faultCount(of: token)?.fired ?? 0) == 0 { return }
                if case .failure(let error) = attempt {
                    #expect((error as? VFIOGuestError)?.errno == .inputOutput, "step \(failing): \(error)")
                }
            }
            #expect(guest.host.core.files.count == files, "step \(failing)")
            #expect(devices.containers.count == 1, "step \(failing)")
            #expect(guest.probers[0].write(1, at: 0), "step \(failing)")
            // And now it works.
            let second = try devices.attach(GuestMachine.address(2), to: guest.space)
            #expect(devices.containers.count == 1, "step \(failing)")
            withExtendedLifetime(second) {}
        }
        Issue.record("the way in never ends")
    }
}
