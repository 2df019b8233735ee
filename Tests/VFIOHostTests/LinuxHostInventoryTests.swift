import LinuxSystem
import Testing
import VFIOHost

@Suite("What Linux tells of devices and groups")
struct LinuxHostInventoryTests {
    /// A tree with an SSD of vfio-pci and its group.
    private func tree() throws -> Tree {
        let tree = try Tree()
        let ssd = "sys/bus/pci/devices/0000:01:00.0"
        try tree.file("\(ssd)/vendor", "0x144d\n")
        try tree.file("\(ssd)/device", "0xa808\n")
        try tree.file("\(ssd)/subsystem_vendor", "0x144d\n")
        try tree.file("\(ssd)/subsystem_device", "0xa801\n")
        try tree.file("\(ssd)/class", "0x010802\n")
        try tree.file("\(ssd)/revision", "0x04\n")
        try tree.file("\(ssd)/numa_node", "1\n")
        try tree.file("\(ssd)/reset_method", "flr bus\n")
        try tree.file("\(ssd)/driver_override", "vfio-pci\n")
        try tree.file(
            "\(ssd)/resource",
            "0x00000000fe800000 0x00000000fe803fff 0x0000000000140204\n"
                + "0x0000000000000000 0x0000000000000000 0x0000000000000000\n")
        tree.link("\(ssd)/driver", to: "../../../../bus/pci/drivers/vfio-pci")
        tree.link("\(ssd)/iommu_group", to: "../../../../kernel/iommu_groups/26")
        try tree.file("\(ssd)/vfio-dev/vfio7/dev", "511:7\n")
        let group = "sys/kernel/iommu_groups/26"
        tree.link("\(group)/devices/0000:01:00.0", to: "../../../../devices/0000:01:00.0")
        try tree.file(
            "\(group)/reserved_regions",
            "0x00000000fee00000 0x00000000feefffff msi\n0x0000000000000100 0x0000000000000001 wrong\nrubbish\n"
        )
        try tree.file("\(group)/type", "DMA-FQ\n")
        try tree.file("dev/vfio/vfio", "")
        return tree
    }

    private func inventory(_ tree: Tree) throws -> Inventory {
        try LinuxHost(devices: tree.root + "/dev", sysfs: tree.root + "/sys").inventory()
    }

    @Test("a device is described whole")
    func device() throws {
        let tree = try tree()
        let inventory = try inventory(tree)
        #expect(inventory.devices.count == 1)
        let device = try #require(inventory.devices.first)
        #expect(device.address == PCIAddress(bus: 1, device: 0, function: 0))
        #expect(device.vendor == 0x144d)
        #expect(device.device == 0xa808)
        #expect(device.subsystem == 0xa801)
        #expect(device.classCode == 0x010802)
        #expect(device.revision == 4)
        #expect(device.numaNode == 1)
        #expect(device.resetMethods == ["flr", "bus"])
        #expect(device.driverOverride == "vfio-pci")
        #expect(device.group == 26)
        #expect(device.isUnprotected == false)
        #expect(device.deviceNode == 7)
        #expect(device.driver == DriverRecord(named: "vfio-pci", isVFIO: true, letsGroupBeUsed: true))
        #expect(device.resources.count == 2)
        #expect(device.resources.first?.byteCount == 0x4000)
        #expect(device.resources.last?.byteCount == 0)
    }

    @Test("devices of other buses are listed where VFIO has to do with them")
    func otherBuses() throws {
        let tree = try tree()
        let uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
        let mediated = "sys/bus/mdev/devices/\(uuid)"
        try tree.file("\(mediated)/vfio-dev/vfio8/dev", "511:8\n")
        tree.link("\(mediated)/driver", to: "../../../../bus/mdev/drivers/mtty")
        tree.link("\(mediated)/iommu_group", to: "../../../../kernel/iommu_groups/27")
        let group = "sys/kernel/iommu_groups/27/devices"
        tree.link("\(group)/\(uuid)", to: "../../../../bus/mdev/devices/\(uuid)")
        // The kernel gives this name to groups without an IOMMU, also where none is needed.
        try tree.file("sys/kernel/iommu_groups/27/name", "vfio-noiommu\n")
        tree.link("\(mediated)/subsystem", to: "../../../../bus/mdev")
        // Without a group and a driver of VFIO's: nothing to do with it.
        try tree.file("sys/bus/platform/devices/alarmtimer/modalias", "platform:alarmtimer\n")
        try tree.file("sys/bus/platform/devices/fff51000.ethernet/modalias", "x\n")
        tree.link(
            "sys/bus/platform/devices/fff51000.ethernet/driver",
            to: "../../../../bus/platform/drivers/vfio-platform")
        let inventory = try inventory(tree)
        #expect(inventory.devices.count == 1)
        #expect(inventory.otherDevices.map(\.id.name) == [uuid, "fff51000.ethernet"])
        let id = try #require(DeviceID(uuid))
        let summary = try #require(inventory.summary(of: id))
        #expect(summary.isMediated && summary.deviceNode == 8 && summary.group == 27)
        #expect(summary.driver?.isVFIO == true)
        #expect(inventory.group(27)?.otherDevices == [id])
        #expect(inventory.group(27)?.isUnprotected == false && !summary.isUnprotected)
    }

    @Test("a group is described with its reserved ranges; lines that make no sense are left out")
    func group() throws {
        let tree = try tree()
        let group = try #require(try inventory(tree).group(26))
        #expect(group.devices == [PCIAddress(bus: 1, device: 0, function: 0)])
        #expect(group.reservedRegions == [ReservedRegion(first: 0xfee0_0000, last: 0xfeef_ffff, kind: "msi")])
        #expect(group.domainType == "DMA-FQ")
        #expect(group.isUnprotected == false)
    }

    @Test("nodes are looked for, and the memlock limit is told")
    func nodes() throws {
        let tree = try tree()
        let inventory = try inventory(tree)
        #expect(inventory.hasContainers)
        #expect(inventory.hasIOMMUFD == false)
        #expect(inventory.lockedMemoryLimit == ProcessLimits.lockedMemory)
    }

    @Test("any driver with a vfio-dev folder is VFIO's, whatever it is called")
    func variantDriver() throws {
        let tree = try Tree()
        let nic = "sys/bus/pci/devices/0000:02:00.0"
        try tree.file("\(nic)/vendor", "0x15b3\n")
        try tree.file("\(nic)/device", "0x101e\n")
        tree.link("\(nic)/driver", to: "../drivers/mlx5_special")
        tree.folder("\(nic)/vfio-dev/vfio3")
        let device = try #require(try inventory(tree).devices.first)
        #expect(device.driver?.isVFIO == true)
        // Without the `dev` attribute there is no node: this kernel has no device nodes.
        #expect(device.deviceNode == nil)
    }

    @Test(
        "drivers are judged by name where nothing else tells",
        arguments: [
            ("vfio-pci", true, true), ("mlx5_vfio_pci", true, true), ("hisi-acc-vfio-pci", true, true),
            ("nvme", false, false), ("pci-stub", false, true), ("pcieport", false, true),
            ("vfio-pcix", false, false),
        ])
    func driverNames(name: String, isVFIO: Bool, letsGroupBeUsed: Bool) {
        let driver = DriverRecord(named: name)
        #expect(driver.isVFIO == isVFIO)
        #expect(driver.letsGroupBeUsed == letsGroupBeUsed)
    }

    @Test("a group named vfio-noiommu has no IOMMU, nor have its devices")
    func unprotected() throws {
        let tree = try tree()
        try tree.file("sys/kernel/iommu_groups/26/name", "vfio-noiommu\n")
        let inventory = try inventory(tree)
        #expect(inventory.group(26)?.isUnprotected == true)
        #expect(inventory.devices.first?.isUnprotected == true)
    }

    @Test("a virtual function knows its physical one")
    func virtualFunction() throws {
        let tree = try tree()
        tree.link("sys/bus/pci/devices/0000:01:00.0/physfn", to: "../0000:01:00.7")
        #expect(
            try inventory(tree).devices.first?.physicalFunction == PCIAddress(bus: 1, device: 0, function: 7))
    }

    @Test(
        "devices that can't be told apart are left out, and the others stay",
        arguments: [
            "", "144d\n", "0x\n", "0x1144d\n", "0xzzzz\n", "0x00000000000000000144d\n", "\0\0\0",
            "0x144d 0x144d\n",
        ])
    func garbledVendor(text: String) throws {
        let tree = try tree()
        try tree.file("sys/bus/pci/devices/0000:02:00.0/vendor", text)
        try tree.file("sys/bus/pci/devices/0000:02:00.0/device", "0x0001\n")
        try tree.file("sys/bus/pci/devices/not-a-device/vendor", "0x144d\n")
        #expect(try inventory(tree).devices.map { $0.address.description } == ["0000:01:00.0"])
    }

    @Test("attributes that make no sense are as if absent")
    func garbledAttributes() throws {
        let tree = try tree()
        let ssd = "sys/bus/pci/devices/0000:01:00.0"
        try tree.file("\(ssd)/class", "0x123456789\n")
        try tree.file("\(ssd)/numa_node", "-1\n")
        try tree.file("\(ssd)/resource", "one two three\n0x0 0x0\n")
        try tree.file("\(ssd)/driver_override", "(null)\n")
        try tree.file("\(ssd)/reset_method", "")
        let device = try #require(try inventory(tree).devices.first)
        #expect(device.classCode == 0)
        #expect(device.numaNode == nil)
        #expect(device.resources.map { $0.byteCount } == [0, 0])
        #expect(device.driverOverride == nil)
        #expect(device.resetMethods == [])
    }

    @Test("an endless attribute is read in bounds")
    func longAttribute() throws {
        let tree = try tree()
        try tree.file(
            "sys/bus/pci/devices/0000:01:00.0/resource",
            [UInt8](repeating: UInt8(ascii: "\n"), count: 1 << 20))
        try tree.file(
            "sys/bus/pci/devices/0000:01:00.0/vendor", [UInt8](repeating: UInt8(ascii: "0"), count: 1 << 20))
        #expect(try inventory(tree).devices == [])
    }

    @Test("a machine without PCI has no devices; a file in the place of a folder is an error that names it")
    func folders() throws {
        let empty = try Tree()
        #expect(try inventory(empty).devices == [])
        let wrong = try Tree()
        try wrong.file("sys/bus/pci/devices", "")
        let path = wrong.root + "/sys/bus/pci/devices"
        #expect(throws: InventoryError(path: path, errno: .notDirectory)) { try inventory(wrong) }
    }
}
