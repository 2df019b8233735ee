import LabScenarios
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost

/// The scenarios of a shared bus, which the kernel lab runs on real kernels, on the software kernel.
@Suite("An edu device on a shared bus of the software host")
struct SharedBusTests {
    static let routes: [RouteChoice] = [.group, .cdev]

    /// - Parameter driver: who drives the other function.
    private func lab(_ choice: RouteChoice, other driver: String?) throws -> Lab {
        let host = try SoftwareHost {
            IOMMU(.type1)
            IOMMUGroup(26) {
                PCIDevice(Educational(), at: "0000:02:01.0")
                PCIDevice(Educational(), at: "0000:02:02.0", driver: driver)
            }
        }
        return Lab(host: host, address: PCIAddress(bus: 2, device: 1, function: 0), choice: choice)
    }

    @Test("does what it does on a real kernel", arguments: Scenario.sharedBus, routes)
    func behaves(_ scenario: Scenario, _ choice: RouteChoice) async throws {
        do {
            try await scenario.run(lab(choice, other: "vfio-pci"))
        } catch let reason as Skipped {
            if choice == .cdev { Issue.record("skipped where it shouldn't be: \(reason)") }
        }
    }

    @Test(
        "does what it does on a real kernel beside a function without a driver",
        arguments: Scenario.blockedBus, routes)
    func isBlocked(_ scenario: Scenario, _ choice: RouteChoice) async throws {
        try await scenario.run(lab(choice, other: nil))
    }
}
