import Testing
import VFIOHost

@Suite("What firmware says")
struct FirmwareTests {
    private func tree(_ name: String) throws -> Tree {
        let tree = try Tree()
        tree.link(
            "sys/bus/platform/devices/\(name)/driver", to: "../../../../bus/platform/drivers/vfio-platform")
        tree.link("sys/bus/platform/devices/\(name)/iommu_group", to: "../../../../kernel/iommu_groups/3")
        try tree.file("sys/bus/platform/devices/\(name)/vfio-dev/vfio4/dev", "511:4\n")
        return tree
    }

    private func record(_ tree: Tree, _ name: String) throws -> FirmwareRecord? {
        let host = LinuxHost(devices: tree.root + "/dev", sysfs: tree.root + "/sys")
        let id = try #require(DeviceID(.platform, name))
        return try #require(try host.inventory().summary(of: id)).firmware
    }

    @Test("is read from a device-tree node, property by property")
    func deviceTree() throws {
        let tree = try tree("fff51000.ethernet")
        let node = "sys/bus/platform/devices/fff51000.ethernet/of_node"
        try tree.file(node + "/compatible", Array("calxeda,hb-xgmac\0net\0".utf8))
        try tree.file(node + "/reg", [0xff, 0xf5, 0x10, 0, 0, 0, 0x10, 0])
        try tree.file(node + "/dma-coherent", [UInt8]())
        // A node below it is a folder.
        try tree.file(node + "/mdio/reg", [0, 0, 0, 0])
        let record = try #require(try record(tree, "fff51000.ethernet"))
        #expect(record.acpiID == nil)
        #expect(record.compatible == ["calxeda,hb-xgmac", "net"])
        #expect(record["reg"] == [0xff, 0xf5, 0x10, 0, 0, 0, 0x10, 0])
        #expect(record["dma-coherent"] == [])
        #expect(record["mdio"] == nil)
    }

    @Test("is the hardware ID of an ACPI device")
    func acpi() throws {
        let tree = try tree("AMDI8001:00")
        try tree.file("sys/bus/platform/devices/AMDI8001:00/firmware_node/hid", "AMDI8001\n")
        let record = try #require(try record(tree, "AMDI8001:00"))
        #expect(record.acpiID == "AMDI8001" && record.properties.isEmpty && record.compatible.isEmpty)
    }

    @Test("may be nothing")
    func nothing() throws {
        #expect(try record(try tree("serial8250"), "serial8250") == nil)
    }
}
