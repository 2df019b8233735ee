import DeviceModel
import Glibc
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("Machines are checked, and drivers can be changed")
struct CoreMachineTests {
    static let bystander = PCIIdentity(vendor: 0x8086, device: 1, classCode: 0x010802)

    func error(_ change: (inout MachineDescription) -> Void) -> MachineError? {
        do throws(MachineError) {
            var machine = MachineDescription {
                IOMMUGroup(26) { PCIDevice(PlainModel(), at: Rig.address) }
            }
            change(&machine)
            _ = try SoftwareHost(machine)
            return nil
        } catch { return error }
    }

    @Test("what makes no sense is refused, and named")
    func validation() throws {
        let address = try #require(PCIAddress(Rig.address))
        #expect(error { _ in } == nil)
        #expect(
            error { $0.groups.append(IOMMUGroup(27) { PCIDevice(PlainModel(), at: Rig.address) }) }
                == .duplicateAddress(DeviceID(address)))
        #expect(error { $0.groups.append(IOMMUGroup(26, devices: [])) } == .duplicateGroup(26))
        #expect(error { $0.groups.append(IOMMUGroup(-1, devices: [])) } == .impossibleGroup(-1))
        #expect(error { $0.iommu.kind = .none } == .groupWithoutIOMMU(26))
        #expect(error { $0.iommu.pageSizes = [] } == .noPageSize)
        #expect(error { $0.iommu.apertures = [] } == .noAperture)
        #expect(
            error { $0.groups[0].devices.append(PCIDevice(PlainModel(), at: "1:2")) }
                == .malformedAddress("1:2"))
        let other = try #require(PCIAddress(Rig.other))
        #expect(
            error { $0.ungroupedDevices.append(PCIDevice(PlainModel(), at: Rig.other)) }
                == .noGroup(DeviceID(other), driver: "vfio-pci"))
        #expect(
            error {
                $0.groups[0].devices.append(
                    PCIDevice(bystander: Self.bystander, at: Rig.other, driver: "vfio-pci"))
            } == .noModel(DeviceID(other), driver: "vfio-pci"))
        #expect(
            MachineError.duplicateAddress(DeviceID(address)).description == "two devices sit at 0000:01:00.0")
    }

    @Test("nodes can be missing or forbidden")
    func nodes() throws {
        let rig = try Rig {
            $0.nodes = [
                NodePermission(.container, .denied), NodePermission(.group(26), .missing),
                NodePermission(.device(0), .denied),
            ]
            $0.hasIOMMUFD = false
        }
        #expect(rig.open(.container) == -EACCES)
        #expect(rig.open(.group(26)) == -ENOENT)
        #expect(rig.open(.device(0)) == -EACCES)
        #expect(rig.open(.device(1)) >= 0)
        #expect(rig.open(.device(9)) == -ENOENT)
        #expect(rig.open(.iommu) == -ENOENT)
        #expect(try rig.host.inventory().hasContainers)
        #expect(try !rig.host.inventory().hasIOMMUFD)
    }

    @Test("a driver that wants the DMA makes its group unusable, and is named by the inventory")
    func viability() throws {
        let rig = try Rig {
            $0.groups[0].devices.append(
                PCIDevice(bystander: Self.bystander, at: "0000:01:00.2", driver: "nvme"))
        }
        let container = rig.open(.container)
        let group = rig.open(.group(26))
        #expect(rig.status(group) == 0)
        #expect(rig.setContainer(group, container) == -EPERM)
        let inventory = try rig.host.inventory()
        #expect(inventory.blockers(ofGroup: 26).map { $0.id.description } == ["0000:01:00.2"])
        let blocker = try #require(PCIAddress("0000:01:00.2"))
        try rig.host.bind(blocker, to: "pci-stub")
        #expect(rig.status(group) == 1)
        #expect(rig.setContainer(group, container) == 0)
        // Now a user owns the DMA.
        #expect(throws: Errno.busy) { try rig.host.bind(blocker, to: "nvme") }
        #expect(throws: Errno.noDevice) { try rig.host.bind(blocker, to: "vfio-pci") }
    }

    @Test("devices move between drivers; nodes come and go with them")
    func binding() throws {
        let rig = try Rig()
        let address = try #require(PCIAddress(Rig.other))
        #expect(throws: Errno.busy) { try rig.host.bind(address, to: "vfio-pci") }
        #expect(throws: Errno.noDevice) {
            try rig.host.bind(PCIAddress(bus: 9, device: 0, function: 0), to: nil)
        }
        let (container, _) = rig.ready()
        let group = rig.open(.group(27))
        #expect(rig.setContainer(group, container) == 0)
        let device = rig.device(group, Rig.other)
        #expect(throws: Errno.timedOut) { try rig.host.bind(address, to: nil, waitingAtMost: 0) }
        rig.host.close(device)
        try rig.host.bind(address, to: nil)
        // The group has lost its last device: it left its container, and its node has gone.
        #expect(rig.status(group) == -ENODEV)
        #expect(rig.setContainer(group, container) == -ENODEV)
        #expect(rig.device(group, Rig.other) == -ENODEV)
        #expect(rig.open(.group(27)) == -ENOENT)
        #expect(rig.open(.device(2)) == -ENOENT)
        #expect(try rig.host.inventory().device(at: address)?.driver == nil)
        try rig.host.bind(address, to: "vfio-pci")
        let again = rig.open(.group(27))
        #expect(rig.status(again) == 1)
        #expect(rig.status(group) == -ENODEV)
        let node = rig.open(.device(2))
        #expect(node >= 0)
        // An open node of the device is enough to keep its driver.
        #expect(throws: Errno.timedOut) { try rig.host.bind(address, to: "nvme", waitingAtMost: 0) }
    }

    @Test("devices without an IOMMU can be used where that is allowed, without any mapping")
    func unprotected() throws {
        let rig = try Rig {
            $0.ungroupedDevices = [PCIDevice(PlainModel(), at: "0000:05:00.0")]
            $0.parameters.enableUnsafeNoIOMMUMode = true
        }
        let container = rig.open(.container)
        #expect(rig.ask(container, .checkExtension, 8) == 1)
        #expect(rig.open(.group(0)) == -ENOENT)
        let group = rig.open(.unprotectedGroup(0))
        #expect(group >= 0)
        #expect(rig.setContainer(group, container) == 0)
        #expect(rig.ask(container, .checkExtension, 1) == 0)
        let real = rig.open(.group(26))
        #expect(rig.setContainer(real, container) == -EPERM, "never mixed")
        #expect(rig.ask(container, .setIOMMU, 3) == -ENODEV)
        #expect(rig.ask(container, .setIOMMU, 8) == 0)
        #expect(rig.map(container, 0) == -ENOTTY)
        #expect(rig.device(group, "0000:05:00.0") >= 0)
        let powerless = try Rig {
            $0.ungroupedDevices = [PCIDevice(PlainModel(), at: "0000:05:00.0")]
            $0.parameters.enableUnsafeNoIOMMUMode = true
            $0.process.mayUseUnprotectedGroups = false
        }
        #expect(powerless.open(.unprotectedGroup(0)) == -EPERM)
    }

    @Test("the builder takes conditions and loops")
    func builder() throws {
        let wanted = true
        let machine = MachineDescription {
            IOMMU(.type1, pageSizes: [.kib4])
            for number in 1...3 {
                IOMMUGroup(number) {
                    PCIDevice(PlainModel(), at: PCIAddress(bus: UInt8(number), device: 0, function: 0))
                }
            }
            if wanted { ProcessRights(lockedMemoryLimit: 4096) }
        }
        #expect(machine.groups.map { $0.number } == [1, 2, 3])
        #expect(machine.process.lockedMemoryLimit == 4096)
        let host = try SoftwareHost(machine)
        #expect(try host.inventory().devices.count == 3)
    }
}
