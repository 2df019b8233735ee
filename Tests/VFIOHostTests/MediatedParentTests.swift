import LinuxSystem
import Testing
import VFIOHost

@Suite("What Linux tells of those who make mediated devices")
struct MediatedParentTests {
    private func tree() throws -> Tree {
        let tree = try Tree()
        for (name, left) in [("mtty-2", "12\n"), ("mtty-1", "24\n")] {
            let type = "sys/class/mdev_bus/mtty/mdev_supported_types/\(name)"
            try tree.file("\(type)/available_instances", left)
            try tree.file("\(type)/device_api", "vfio-pci\n")
            try tree.file("\(type)/name", "Serial \(name)\n")
            try tree.file("\(type)/create", "")
        }
        try tree.file("sys/class/mdev_bus/mtty/mdev_supported_types/wrong/available_instances", "many\n")
        try tree.file("sys/bus/mdev/devices/5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01/remove", "")
        return tree
    }

    private func host(_ tree: Tree) -> LinuxHost {
        LinuxHost(devices: tree.root + "/dev", sysfs: tree.root + "/sys")
    }

    @Test func `Parents are told with their types, by name; what can't be understood is left out`() throws {
        let tree = try tree()
        let parents = try host(tree).mediatedParents()
        #expect(parents.map { $0.name } == ["mtty"])
        let types = try #require(parents.first?.types)
        #expect(types.map { $0.name } == ["mtty-1", "mtty-2"])
        #expect(types.map { $0.availableInstances } == [24, 12])
        #expect(types[0].interface == "vfio-pci")
        #expect(types[0].title == "Serial mtty-1" && types[0].summary == nil)
    }

    @Test func `A machine without any has no parents`() throws {
        let tree = try Tree()
        #expect(try host(tree).mediatedParents().isEmpty)
    }

    @Test func `A device is made and removed by what is written to its type and to itself`() throws {
        let tree = try tree()
        let host = host(tree)
        let name = "5f0c3b1e-8a3d-4c53-9d1e-7b9f7f7e1a01"
        try host.createMediatedDevice(name, type: "mtty-1", of: "mtty")
        #expect(
            try FileSystem.text(
                of: tree.root + "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create") == name)
        try host.removeMediatedDevice(name)
        #expect(try FileSystem.text(of: tree.root + "/sys/bus/mdev/devices/\(name)/remove") == "1")
        #expect(throws: Errno.noSuchEntry) {
            try host.createMediatedDevice(name, type: "mtty-9", of: "mtty")
        }
    }

    @Test func `No name leads out of its folder`() throws {
        let tree = try tree()
        try tree.file("sys/class/mdev_bus/create", "")
        for name in ["", ".", "..", "../..", "mtty/x", "a\0b"] {
            #expect(throws: Errno.noSuchEntry) {
                try host(tree).createMediatedDevice("x", type: name, of: "mtty")
            }
            #expect(throws: Errno.noSuchEntry) {
                try host(tree).createMediatedDevice("x", type: "mtty-1", of: name)
            }
            #expect(throws: Errno.noSuchEntry) { try host(tree).removeMediatedDevice(name) }
        }
    }
}
