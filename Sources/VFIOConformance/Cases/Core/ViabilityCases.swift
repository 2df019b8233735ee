import LinuxSystem
import VFIOABI
import VFIOHost

/// A.12: groups of several devices, and the drivers of the others.
let viabilityCases: [Case] = [
    Case("A.12", "a driver that wants the DMA of one device keeps users from its whole group") { t in
        let (record, neighbour) = try t.neighbours
        try t.lend(neighbour, to: "virtio-pci")
        let container = try t.open(.container)
        let group = try t.open(record.groupNode)
        t.expect(t.status(of: group), equals: "0", "GET_STATUS")
        t.expect(t.put(group, into: container), .errno(.notPermitted), "SET_CONTAINER")
        t.expect(t.getDevice(record.name, from: group).answer, .errno(.invalid), "GET_DEVICE_FD")
        t.expect(group.request(.groupUnsetContainer), .errno(.invalid), "UNSET_CONTAINER")
    },
    Case("A.12", "a device without a driver keeps nobody from its group") { t in
        let (record, neighbour) = try t.neighbours
        try t.lend(neighbour, to: nil)
        let group = try t.open(record.groupNode)
        t.expect(t.status(of: group), equals: "1", "GET_STATUS")
        t.expect(t.put(group, into: try t.open(.container)), .success, "SET_CONTAINER")
    },
    Case("A.12", "a group becomes viable, and stops being so, while it is open") { t in
        let (record, neighbour) = try t.neighbours
        try t.lend(neighbour, to: nil)
        let container = try t.open(.container)
        let group = try t.open(record.groupNode)
        t.expect(t.status(of: group), equals: "1", "no driver")
        try t.lend(neighbour, to: "virtio-pci")
        t.expect(t.status(of: group), equals: "0", "virtio-pci")
        t.expect(t.put(group, into: container), .errno(.notPermitted), "SET_CONTAINER")
        try t.lend(neighbour, to: nil)
        t.expect(t.status(of: group), equals: "1", "no driver again")
        t.expect(t.put(group, into: container), .success, "SET_CONTAINER")
    },
    Case("A.12", "a driver can't have the DMA of a group that a user owns") { t in
        let (record, neighbour) = try t.neighbours
        try t.lend(neighbour, to: nil)
        let attached = try t.attach(record)
        let machine = try t.machine
        let answer = Answer.of { () throws(Errno) in try machine.bind(neighbour.address, to: "virtio-pci") }
        t.expect(answer != .success, "it is refused")
        t.expect(machine.driver(of: neighbour.address) == nil, "the device has no driver")
        t.expect(t.status(of: attached.group), equals: "3", "the user's group is as it was")
        t.expect(t.getDevice(record.name, from: attached.group).answer, .descriptor, "GET_DEVICE_FD")
    },
    Case("A.12", "vfio-pci can have another device of a group that a user owns, and the user it") { t in
        let (record, neighbour) = try t.neighbours
        try t.lend(neighbour, to: nil)
        let attached = try t.attach(record)
        t.expect(
            t.getDevice(neighbour.name, from: attached.group).answer, .errno(.noDevice), "without a driver")
        try t.lend(neighbour, to: "vfio-pci")
        t.expect(t.getDevice(neighbour.name, from: attached.group).answer, .descriptor, "bound to vfio-pci")
    },
    Case("A.12", "two devices of one group: each open one keeps it in its container") { t in
        let (record, neighbour) = try t.neighbours
        try t.lend(neighbour, to: "vfio-pci")
        let attached = try t.attach(record)
        let first = t.getDevice(record.name, from: attached.group)
        let second = t.getDevice(neighbour.name, from: attached.group)
        t.expect(first.answer, .descriptor, "the one")
        t.expect(second.answer, .descriptor, "the other")
        first.file?.close()
        t.expect(attached.group.request(.groupUnsetContainer), .errno(.busy), "one is open")
        attached.group.close()
        t.expect(t.isOpen(record), .errno(.busy), "the group closed")
        if let file = second.file { t.expect(t.information(from: file), .success, "the other answers") }
        second.file?.close()
        t.expect(t.isOpen(record), .descriptor, "both closed")
    },
    Case("A.12", "pci-stub holds a device without wanting its DMA") { t in
        let (record, neighbour) = try t.neighbours
        try t.lend(neighbour, to: "pci-stub")
        let attached = try t.attach(record)
        t.expect(t.status(of: attached.group), equals: "3", "GET_STATUS")
        t.expect(
            t.getDevice(neighbour.name, from: attached.group).answer, .errno(.noDevice), "GET_DEVICE_FD of it"
        )
        t.expect(
            t.getDevice(record.name, from: attached.group).answer, .descriptor, "GET_DEVICE_FD of the other")
    },
]

extension Trial {
    /// Binds a device to another driver, or to none; it gets its own back at the end.
    /// - Throws: the case is skipped where that driver doesn't take it.
    func lend(_ device: DeviceRecord, to driver: String?) throws {
        let machine = try machine
        let own = device.driver?.name
        atEnd { try? machine.bind(device.address, to: own) }
        if machine.driver(of: device.address) == driver { return }
        do throws(Errno) {
            try machine.bind(device.address, to: driver)
        } catch {
            throw skip("\(driver ?? "no driver") can't have \(device.address): \(error.name)")
        }
    }
}
