import LinuxSystem
import Testing
import VFIOHost
import VFIOOperator

@Suite("The folders of a machine")
struct SystemRootsTests {
    @Test("a host of other folders reads what is there")
    func otherFolders() throws {
        let root = try FileSystem.makeTemporaryFolder("/tmp/vfio-roots-")
        defer { FileSystem.removeFolder(root) }
        let device = DeviceRecord(
            address: PCIAddress("0000:01:00.0")!, vendor: 0x1234, device: 0x11e8,
            driver: DriverRecord(named: "vfio-pci"), group: 26)
        let inventory = Inventory(
            devices: [device], groups: [GroupRecord(number: 26, devices: [device.address])],
            hasContainers: true, hasIOMMUFD: false)
        try SysfsTree.write(inventory, to: root) { _ in nil }
        let roots = SystemRoots(sysfs: root + "/sys", devices: root + "/dev")
        let found = try roots.host.inventory()
        #expect(found.devices.map(\.address) == [device.address])
        #expect(found.group(26)?.devices == [device.address])
    }
}
