import LabScenarios
import LinuxSystem
import NVMeController
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost

/// The scenarios that the kernel lab runs on real kernels, on the software kernel.
@Suite("An edu device on the software host")
struct EducationalTests {
    // On the root bus: a function alone on another one could be reset with it.
    static let address = PCIAddress(bus: 0, device: 4, function: 0)
    static let disk = PCIAddress(bus: 0, device: 3, function: 0)

    func lab(_ choice: RouteChoice, _ rights: ProcessRights = ProcessRights()) throws -> Lab {
        let disk = NVMeController([try NVMeNamespace(MemoryStore(byteCount: 1 << 20))])
        let host = try SoftwareHost {
            IOMMU(.type1)
            IOMMUGroup(26) { PCIDevice(Educational(), at: Self.address) }
            IOMMUGroup(27) { PCIDevice(disk, at: Self.disk) }
            rights
        }
        return Lab(host: host, address: Self.address, disk: Self.disk, choice: choice)
    }

    @Test(
        "does what it does on a real kernel", arguments: Scenario.educational,
        [.group, .cdev] as [RouteChoice])
    func behaves(_ scenario: Scenario, _ choice: RouteChoice) async throws {
        do {
            try await scenario.run(lab(choice))
        } catch let reason as Skipped {
            Issue.record("skipped where it shouldn't be: \(reason)")
        }
    }

    @Test("is held to the limit of locked memory", arguments: [.group, .cdev] as [RouteChoice])
    func keepsToLockedMemory(_ choice: RouteChoice) async throws {
        let lab = try lab(choice, ProcessRights(lockedMemoryLimit: 65536))
        try await Scenario.lockedMemoryLimit(65536, restrict: {}).run(lab)
        try await Scenario.guestLockedMemoryLimit(65536, restrict: {}).run(lab)
    }
}
