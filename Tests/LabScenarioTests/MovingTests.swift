import LabScenarios
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost

/// The scenarios of a device that can be moved, which the kernel lab runs with the kernel's sample, on the software
/// kernel.
@Suite("A device of the software host that can be moved")
struct MovingTests {
    @Test(
        "does what the sample of a real kernel does", arguments: Scenario.moving,
        [.group, .cdev] as [RouteChoice])
    func behaves(_ scenario: Scenario, _ choice: RouteChoice) async throws {
        let host = try SoftwareHost {
            IOMMU(.type1)
            IOMMUGroup(26) {
                PCIDevice(Educational.express(), at: "0000:01:00.0", driver: "software-vfio-pci")
            }
        }
        let address = PCIAddress(bus: 1, device: 0, function: 0)
        do {
            try await scenario.run(Lab(host: host, address: address, choice: choice))
        } catch let reason as Skipped {
            Issue.record("skipped where it shouldn't be: \(reason)")
        }
    }
}
