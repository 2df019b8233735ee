import LinuxSystem
import Testing
import VFIOHost

@Suite("A machine written out as /sys and /dev")
struct SysfsTreeTests {
    private func inventory() throws -> Inventory {
        var disk = DeviceRecord(
            address: try #require(PCIAddress("0000:01:00.0")), vendor: 0x1b36, device: 0x0010,
            subsystemVendor: 0x1af4, subsystem: 0x1100, classCode: 0x010802, revision: 2,
            driver: DriverRecord(named: "vfio-pci", isVFIO: true, letsGroupBeUsed: true), group: 26,
            deviceNode: 0)
        disk.numaNode = 1
        disk.resetMethods = ["flr", "bus"]
        disk.driverOverride = "vfio-pci"
        disk.resources = [
            ResourceRecord(first: 0xe000_0000, last: 0xe000_3fff, flags: 0x40200),
            ResourceRecord(first: 0, last: 0, flags: 0),
        ]
        var function = DeviceRecord(
            address: try #require(PCIAddress("0001:02:03.1")), vendor: 0x8086, device: 0x10ed,
            driver: DriverRecord(named: "ixgbevf"), group: 27)
        function.physicalFunction = PCIAddress("0001:02:00.0")
        let bare = DeviceRecord(
            address: try #require(PCIAddress("0000:00:1f.0")), vendor: 0x8086, device: 0x2918)
        var clock = DeviceSummary(
            try #require(DeviceID("amba/9010000.pl031")),
            driver: DriverRecord(named: "vfio-amba", isVFIO: true, letsGroupBeUsed: true), group: 28,
            isUnprotected: false, isMediated: false, deviceNode: 7)
        clock.firmware = FirmwareRecord(properties: [.init("compatible", Array("arm,pl031\0".utf8))])
        var group = GroupRecord(number: 26, devices: [disk.address])
        group.reservedRegions = [ReservedRegion(first: 0xfee0_0000, last: 0xfeef_ffff, kind: "msi")]
        group.domainType = "DMA"
        var inventory = Inventory(
            devices: [disk, function, bare], otherDevices: [clock],
            groups: [
                group, GroupRecord(number: 27, devices: [function.address]),
                GroupRecord(number: 28, devices: [], otherDevices: [clock.id]),
            ], hasContainers: true, hasIOMMUFD: false)
        inventory.lockedMemoryLimit = ProcessLimits.lockedMemory
        return inventory
    }

    @Test("reads back as the same inventory")
    func roundTrip() throws {
        let root = try FileSystem.makeTemporaryFolder("/tmp/vfio-tree-")
        defer { FileSystem.removeFolder(root) }
        let written = try inventory()
        try SysfsTree.write(written, to: root) { _ in nil }
        let read = try LinuxHost(devices: root + "/dev", sysfs: root + "/sys").inventory()
        #expect(read == written)
    }

    @Test("has the modules' parameters, configuration space, and a node for each group that can be opened")
    func contents() throws {
        let root = try FileSystem.makeTemporaryFolder("/tmp/vfio-tree-")
        defer { FileSystem.removeFolder(root) }
        try SysfsTree.write(
            try inventory(), to: root, parameters: [("vfio_iommu_type1.dma_entry_limit", "65535")]
        ) { $0.bus == 1 ? [0x36, 0x1b, 0x10, 0x00] : nil }
        let limit = root + "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"
        #expect(try FileSystem.text(of: limit) == "65535")
        let devices = root + "/sys/bus/pci/devices"
        #expect(try FileSystem.bytes(of: devices + "/0000:01:00.0/config") == [0x36, 0x1b, 0x10, 0])
        #expect(!FileSystem.exists(devices + "/0000:00:1f.0/config"))
        #expect(FileSystem.exists(devices + "/0000:01:00.0/iommu_group/devices/0000:01:00.0/vendor"))
        #expect(FileSystem.exists(root + "/dev/vfio/26"))
        #expect(!FileSystem.exists(root + "/dev/vfio/27"))
        #expect(FileSystem.exists(root + "/dev/vfio/devices/vfio7"))
        #expect(!FileSystem.exists(root + "/dev/iommu"))
    }

    @Test("is removed whole, and links in it aren't followed")
    func removal() throws {
        let outside = try FileSystem.makeTemporaryFolder("/tmp/vfio-tree-")
        defer { FileSystem.removeFolder(outside) }
        try FileSystem.makeFile(outside + "/kept", [1])
        let root = try FileSystem.makeTemporaryFolder("/tmp/vfio-tree-")
        try SysfsTree.write(try inventory(), to: root) { _ in nil }
        try FileSystem.makeLink(root + "/away", to: outside)
        FileSystem.removeFolder(root)
        #expect(!FileSystem.exists(root))
        #expect(try FileSystem.bytes(of: outside + "/kept") == [1])
    }

    @Test("can't be written where nobody may write, and the path is named")
    func refused() throws {
        let written = try inventory()
        let error = #expect(throws: InventoryError.self) {
            try SysfsTree.write(written, to: "/proc/self/nowhere") { _ in nil }
        }
        #expect(error?.path.hasPrefix("/proc/self/nowhere/") == true)
    }
}
