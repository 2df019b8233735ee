import LinuxSystem
import VFIOABI
import VFIOHost

/// A.10: KVM's set of groups and devices.
let virtualMachineCases: [Case] = [
    Case("A.10", "a virtual machine's set takes a group once, and gives it back", on: .group) { t in
        let files = try t.virtualMachineFiles
        let setup = try t.setUp(t.anyDevice)
        guard let group = setup.group, let container = setup.container else { return }
        t.expect(
            .of { () throws(Errno) in try files.remove(group.number) }, .errno(.noSuchEntry),
            "DEL of what isn't in")
        t.expect(.of { () throws(Errno) in try files.add(group.number) }, .success, "ADD")
        t.expect(.of { () throws(Errno) in try files.add(group.number) }, .errno(.exists), "ADD again")
        t.expect(
            .of { () throws(Errno) in try files.remove(container.number) }, .errno(.noSuchEntry),
            "DEL of a container")
        t.expect(.of { () throws(Errno) in try files.remove(group.number) }, .success, "DEL")
        t.expect(
            .of { () throws(Errno) in try files.remove(group.number) }, .errno(.noSuchEntry), "DEL again")
    },
    Case("A.10", "a virtual machine's set takes groups and devices only", on: .group) { t in
        let files = try t.virtualMachineFiles
        let setup = try t.setUp(t.anyDevice)
        guard let container = setup.container else { return }
        let event = try t.eventfd()
        let closed = try t.open(.container)
        closed.close()
        t.expect(.of { () throws(Errno) in try files.add(container.number) }, .errno(.invalid), "a container")
        t.expect(.of { () throws(Errno) in try files.add(event.number) }, .errno(.invalid), "an eventfd")
        t.expect(
            .of { () throws(Errno) in try files.add(closed.number) }, .errno(.badDescriptor),
            "a closed handle")
        t.expect(.of { () throws(Errno) in try files.add(-1) }, .errno(.badDescriptor), "-1")
        t.expect(.of { () throws(Errno) in try files.remove(-1) }, .errno(.badDescriptor), "DEL of -1")
        t.expect(
            .of { () throws(Errno) in try files.add(setup.device.number) }, .success,
            "a device from its group",
            .before(6, 6, .errno(.invalid), "only groups were taken"))
    },
    Case("A.10", "a group may be without a container in a virtual machine's set, and come and go", on: .group)
    { t in
        let files = try t.virtualMachineFiles
        let record = try t.anyDevice
        let container = try t.open(.container)
        let group = try t.open(record.groupNode)
        t.expect(
            .of { () throws(Errno) in try files.add(group.number) }, .success,
            "ADD of a group that is only open")
        t.expect(t.put(group, into: container), .success, "SET_CONTAINER")
        t.expect(container.request(.setIOMMU, 3), .success, "SET_IOMMU")
        t.expect(group.request(.groupUnsetContainer), .success, "UNSET_CONTAINER isn't kept from it")
        t.expect(.of { () throws(Errno) in try files.remove(group.number) }, .success, "DEL")
    },
    Case("A.10", "a group in a virtual machine's set stays open without its handle", on: .group) { t in
        let files = try t.virtualMachineFiles
        let record = try t.anyDevice
        let attached = try t.attach(record)
        t.expect(.of { () throws(Errno) in try files.add(attached.group.number) }, .success, "ADD")
        attached.group.close()
        t.expect(t.isOpen(record), .errno(.busy), "its handle closed")
        t.expect(
            attached.container.request(.iommuGetInfo, IOMMUType1Info()), .success, "it is in its container")
        files.close()
        t.expect(t.isOpen(record), .descriptor, "the virtual machine gone")
        t.expect(attached.container.request(.iommuGetInfo), .errno(.invalid), "it has left its container")
    },
    Case("A.10", "a virtual machine that isn't on POWER has no tables to fill windows from", on: .group) {
        t in
        let files = try t.virtualMachineFiles
        let setup = try t.setUp(t.anyDevice)
        guard let group = setup.group else { return }
        let event = try t.eventfd()
        t.expect(
            .of { () throws(Errno) in try files.setTable(event.number, of: group.number) },
            .errno(.noSuchAddress), "before the group is in")
        t.expect(.of { () throws(Errno) in try files.add(group.number) }, .success, "ADD")
        t.expect(
            .of { () throws(Errno) in try files.setTable(event.number, of: group.number) },
            .errno(.noSuchAddress), "SET_SPAPR_TCE")
    },
    Case("A.10", "a device's own file is taken by a virtual machine, bound or not", on: .cdev) { t in
        let files = try t.virtualMachineFiles
        let node = try t.openNode(of: t.anyDevice)
        t.expect(.of { () throws(Errno) in try files.add(node.number) }, .success, "ADD of an unbound one")
        t.expect(.of { () throws(Errno) in try files.add(node.number) }, .errno(.exists), "ADD again")
        var bind = DeviceBindIOMMUFD(iommufd: try t.open(.iommu).number)
        t.expect(node.request(.deviceBindIOMMUFD, &bind), .success, "BIND_IOMMUFD")
        t.expect(.of { () throws(Errno) in try files.remove(node.number) }, .success, "DEL")
    },
]

extension Trial {
    /// A virtual machine's set of files.
    var virtualMachineFiles: any VirtualMachineFiles {
        get throws {
            let machine = try machine
            do throws(Errno) {
                return try machine.makeVirtualMachineFiles()
            } catch {
                throw skip("it needs KVM: \(error.name)")
            }
        }
    }
}
