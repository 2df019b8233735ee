import LinuxSystem
import Testing
import VFIOHost

@testable import VFIOOperator

@Suite("What sysfs tells of a device")
struct DeviceFactsTests {
    private let address = PCIAddress("0000:03:00.0")!
    private let folder = "sys/devices/pci0000:03/0000:03:00.0"

    /// A machine with one device, and what is read of it.
    private func facts(
        parent: PCIAddress? = nil, _ write: (FakeMachine) throws -> Void
    ) throws -> DeviceFacts {
        var device = DeviceRecord(
            address: address, vendor: 0x8086, device: 0x1572, classCode: 0x02_0000,
            driver: DriverRecord(named: "i40e"), group: 14)
        device.physicalFunction = parent
        let machine = try FakeMachine(
            Inventory(
                devices: [device], groups: [GroupRecord(number: 14, devices: [address])], hasContainers: true,
                hasIOMMUFD: false))
        defer { withExtendedLifetime(machine) {} }
        try write(machine)
        let inventory = try machine.roots.host.inventory()
        let record = try #require(inventory.device(at: address))
        return DeviceFacts(of: record.summary, record: record, in: machine.roots)
    }

    @Test("interrupts by message are counted, and which kind they are")
    func messages() throws {
        let facts = try facts { machine in
            for number in 40..<52 { try machine.file("\(folder)/msi_irqs/\(number)", "msix\n") }
            try machine.file("\(folder)/irq", "16\n")
        }
        #expect(facts.interrupts.messages == 12 && facts.interrupts.isExtended)
        #expect(facts.interrupts.line == 16)
        let plain = try self.facts { try $0.file("\(folder)/msi_irqs/40", "msi\n") }
        #expect(plain.interrupts.messages == 1 && !plain.interrupts.isExtended)
        #expect(plain.interrupts.line == nil)
    }

    @Test("power, uses, IOMMU and virtual functions are read")
    func attributes() throws {
        let facts = try facts { machine in
            try machine.file("\(folder)/power_state", "D3hot\n")
            try machine.file("\(folder)/power/runtime_status", "suspended\n")
            try machine.file("\(folder)/enable", "2\n")
            try machine.file("\(folder)/sriov_totalvfs", "64\n")
            try machine.file("\(folder)/sriov_numvfs", "2\n")
            try FileSystem.makeLink(
                machine.root + "/\(folder)/iommu", to: "../../../virtual/iommu/dmar0")
        }
        #expect(facts.powerState == "D3hot" && facts.runtimeStatus == "suspended")
        #expect(facts.enableCount == 2 && facts.iommu == "dmar0")
        #expect(facts.virtualFunctions == DeviceFacts.VirtualFunctions(total: 64, enabled: 2))
        #expect(facts.unknown.isEmpty && !facts.isBridge)
    }

    @Test("a virtual function knows which one of its physical function it is")
    func virtualFunction() throws {
        let parent = try #require(PCIAddress("0000:02:00.0"))
        let facts = try facts(parent: parent) { machine in
            try FileSystem.makeFolders(machine.root + "/sys/devices/pci0000:03/0000:02:00.0")
            for (number, name) in ["0000:02:10.0", "0000:03:00.0"].enumerated() {
                try FileSystem.makeLink(
                    machine.root + "/sys/devices/pci0000:03/0000:02:00.0/virtfn\(number)", to: "../\(name)")
            }
        }
        #expect(facts.record?.physicalFunction == parent && facts.virtualFunctionNumber == 1)
    }

    @Test("interfaces and disks that a driver made of it are named, partitions aren't")
    func madeOfIt() throws {
        let facts = try facts { machine in
            let root = machine.root + "/" + folder
            for (path, subsystem) in [
                ("net/eth3", "class/net"), ("nvme/nvme0", "class/nvme"),
                ("nvme/nvme0/nvme0n1", "class/block"),
                ("nvme/nvme0/nvme0n1/nvme0n1p1", "class/block"),
            ] {
                try FileSystem.makeFolders("\(root)/\(path)")
                try FileSystem.makeLink("\(root)/\(path)/subsystem", to: "../../../../../\(subsystem)")
            }
            try machine.file("\(folder)/nvme/nvme0/nvme0n1/nvme0n1p1/partition", "1\n")
        }
        #expect(facts.networkInterfaces == ["eth3"] && facts.disks == ["nvme0n1"])
    }

    @Test("what isn't there is nothing, and what can't be understood is said to be unknown")
    func unknown() throws {
        #expect(try facts { _ in }.powerState == nil)
        #expect(try facts { _ in }.unknown.isEmpty)
        let facts = try facts { machine in
            // A folder can be opened as a file, but not read.
            try FileSystem.makeFolders(machine.root + "/\(folder)/power_state")
            try machine.file("\(folder)/sriov_totalvfs", "99999999999999999999\n")
            try machine.file("\(folder)/enable", "\u{1b}[2J")
        }
        #expect(facts.powerState == nil && facts.virtualFunctions == nil && facts.enableCount == nil)
        #expect(Set(facts.unknown) == ["power_state", "sriov_totalvfs", "enable"])
    }

    @Test("a device that has gone meanwhile has no facts, and no trap")
    func gone() throws {
        let machine = try FakeMachine()
        defer { withExtendedLifetime(machine) {} }
        let id = try #require(DeviceID(.platform, "fff51000.ethernet"))
        let facts = DeviceFacts(of: DeviceSummary(id), in: machine.roots)
        #expect(facts == DeviceFacts(DeviceSummary(id)))
    }
}
