import LinuxSystem
import VFIOABI
import VFIOHost

/// A.1: a group from its opening to its end, event by event: open (O), in a container (C), with an IOMMU (I), with
/// an open device (D).
let lifeCycleCases: [Case] = [
    Case("A.1", "a group is opened once at a time, in every state", on: .containers) { t in
        let record = try t.anyDevice
        let container = try t.open(.container)
        t.expect(t.isOpen(record), .descriptor, "free")
        let group = try t.open(record.groupNode)
        t.expect(t.isOpen(record), .errno(.busy), "open")
        try t.require(t.put(group, into: container), "SET_CONTAINER")
        t.expect(t.isOpen(record), .errno(.busy), "in a container")
        try t.require(container.request(.setIOMMU, t.usualIOMMU), "SET_IOMMU")
        t.expect(t.isOpen(record), .errno(.busy), "with an IOMMU")
        let device = t.getDevice(record.name, from: group).file
        t.expect(t.isOpen(record), .errno(.busy), "with an open device")
        group.close()
        t.expect(t.isOpen(record), .errno(.busy), "closed, but its device is open")
        device?.close()
        t.expect(t.isOpen(record), .descriptor, "all closed")
    },
    Case("A.1", "GET_STATUS follows the group's life", on: .containers) { t in
        let record = try t.anyDevice
        let container = try t.open(.container)
        let group = try t.open(record.groupNode)
        t.expect(t.status(of: group), equals: "1", "open: viable")
        try t.require(t.put(group, into: container), "SET_CONTAINER")
        t.expect(t.status(of: group), equals: "3", "in a container")
        try t.require(container.request(.setIOMMU, t.usualIOMMU), "SET_IOMMU")
        t.expect(t.status(of: group), equals: "3", "with an IOMMU")
        let device = t.getDevice(record.name, from: group).file
        t.expect(t.status(of: group), equals: "3", "with an open device")
        container.close()
        t.expect(t.status(of: group), equals: "3", "the container's handle closed")
        device?.close()
        try t.require(group.request(.groupUnsetContainer), "UNSET_CONTAINER")
        t.expect(t.status(of: group), equals: "1", "out of the container")
    },
    Case("A.1", "SET_CONTAINER is for groups without one", on: .containers) { t in
        let record = try t.anyDevice
        let container = try t.open(.container)
        let group = try t.open(record.groupNode)
        t.expect(t.put(group, into: container), .success, "open")
        t.expect(t.put(group, into: container), .errno(.invalid), "in a container")
        try t.require(container.request(.setIOMMU, t.usualIOMMU), "SET_IOMMU")
        t.expect(t.put(group, into: container), .errno(.invalid), "with an IOMMU")
        let device = t.getDevice(record.name, from: group).file
        t.expect(t.put(group, into: container), .errno(.invalid), "with an open device")
        t.expect(t.put(group, into: try t.open(.container)), .errno(.invalid), "into another one")
        device?.close()
    },
    Case("A.1", "SET_IOMMU is for containers that have a group and no IOMMU", on: .containers) { t in
        let record = try t.anyDevice
        let container = try t.open(.container)
        let group = try t.open(record.groupNode)
        t.expect(container.request(.setIOMMU, t.usualIOMMU), .errno(.invalid), "the group is elsewhere")
        try t.require(t.put(group, into: container), "SET_CONTAINER")
        t.expect(container.request(.setIOMMU, t.usualIOMMU), .success, "with the group")
        t.expect(container.request(.setIOMMU, t.usualIOMMU), .errno(.invalid), "again")
        let device = t.getDevice(record.name, from: group).file
        t.expect(container.request(.setIOMMU, t.usualIOMMU), .errno(.invalid), "with an open device")
        device?.close()
    },
    Case(
        "A.1", "GET_DEVICE_FD needs a container and an IOMMU, and then works any number of times",
        on: .containers
    ) {
        t in
        let record = try t.anyDevice
        let container = try t.open(.container)
        let group = try t.open(record.groupNode)
        t.expect(t.getDevice(record.name, from: group).answer, .errno(.invalid), "open")
        try t.require(t.put(group, into: container), "SET_CONTAINER")
        t.expect(t.getDevice(record.name, from: group).answer, .errno(.invalid), "in a container")
        try t.require(container.request(.setIOMMU, t.usualIOMMU), "SET_IOMMU")
        let first = t.getDevice(record.name, from: group)
        let second = t.getDevice(record.name, from: group)
        t.expect(first.answer, .descriptor, "with an IOMMU")
        t.expect(second.answer, .descriptor, "again")
        t.expect(first.file?.number != second.file?.number, "the two have numbers of their own")
        for device in [first.file, second.file] {
            if let device { t.expect(t.information(from: device), .success, "each answers") }
        }
    },
    Case("A.1", "UNSET_CONTAINER needs a container, and no open device", on: .containers) { t in
        let record = try t.anyDevice
        let container = try t.open(.container)
        let group = try t.open(record.groupNode)
        t.expect(group.request(.groupUnsetContainer), .errno(.invalid), "open")
        try t.require(t.put(group, into: container), "SET_CONTAINER")
        t.expect(group.request(.groupUnsetContainer), .success, "in a container")
        try t.require(t.put(group, into: container), "SET_CONTAINER")
        try t.require(container.request(.setIOMMU, t.usualIOMMU), "SET_IOMMU")
        t.expect(group.request(.groupUnsetContainer), .success, "with an IOMMU")
        try t.require(t.put(group, into: container), "SET_CONTAINER")
        try t.require(container.request(.setIOMMU, t.usualIOMMU), "SET_IOMMU")
        let device = t.getDevice(record.name, from: group).file
        t.expect(group.request(.groupUnsetContainer), .errno(.busy), "with an open device")
        device?.close()
        t.expect(group.request(.groupUnsetContainer), .success, "the device closed")
    },
    Case("A.1", "closing a group's handle takes it out of its container", on: .containers) { t in
        let record = try t.anyDevice
        let container = try t.open(.container)
        let first = try t.open(record.groupNode)
        try t.require(t.put(first, into: container), "SET_CONTAINER")
        first.close()
        t.expect(container.request(.setIOMMU, t.usualIOMMU), .errno(.invalid), "no group is left")
        let second = try t.open(record.groupNode)
        t.expect(t.status(of: second), equals: "1", "the group is free")
        t.expect(t.put(second, into: container), .success, "and may come back")
    },
    Case("A.1", "closing the handle of a group with an IOMMU leaves the container as new", on: .containers) {
        t in
        let record = try t.anyDevice
        let attached = try t.attach(record)
        attached.group.close()
        t.expect(attached.container.request(.iommuGetInfo), .errno(.invalid), "GET_INFO")
        t.expect(attached.container.request(.setIOMMU, t.usualIOMMU), .errno(.invalid), "SET_IOMMU")
        let group = try t.open(record.groupNode)
        t.expect(t.put(group, into: attached.container), .success, "SET_CONTAINER")
        t.expect(attached.container.request(.setIOMMU, t.usualIOMMU), .success, "SET_IOMMU with a group")
    },
    Case(
        "A.1", "the handle of a container may be closed at any time: its groups don't notice", on: .containers
    ) { t in
        let record = try t.anyDevice
        let attached = try t.attach(record)
        attached.container.close()
        let device = t.getDevice(record.name, from: attached.group)
        t.expect(device.answer, .descriptor, "GET_DEVICE_FD")
        if let file = device.file { t.expect(t.information(from: file), .success, "GET_INFO") }
        device.file?.close()
        t.expect(attached.group.request(.groupUnsetContainer), .success, "UNSET_CONTAINER")
        t.expect(t.status(of: attached.group), equals: "1", "GET_STATUS")
    },
    Case("A.1", "a group in a container that was closed before it had an IOMMU gets none", on: .containers) {
        t in
        let record = try t.anyDevice
        let container = try t.open(.container)
        let group = try t.open(record.groupNode)
        try t.require(t.put(group, into: container), "SET_CONTAINER")
        container.close()
        t.expect(t.status(of: group), equals: "3", "GET_STATUS")
        t.expect(t.getDevice(record.name, from: group).answer, .errno(.invalid), "GET_DEVICE_FD")
        t.expect(group.request(.groupUnsetContainer), .success, "it can leave")
    },
    Case("A.1", "an open device holds everything, in whatever order the handles are closed", on: .containers)
    { t in
        let record = try t.anyDevice
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let setup = try t.setUp(record)
            let files = [setup.container, setup.group, setup.device]
            var isDeviceOpen = true
            for index in order {
                files[index]?.close()
                if index == 2 { isDeviceOpen = false }
                let label =
                    "after \(order.map { ["container", "group", "device"][$0] }.joined(separator: ", "))"
                if isDeviceOpen {
                    t.expect(t.information(from: setup.device), .success, "\(label): the device answers")
                    t.expect(t.isOpen(record), .errno(.busy), "\(label): the group is in use")
                }
            }
            t.expect(t.isOpen(record), .descriptor, "all closed: the group is free")
        }
    },
    Case("A.1", "the last of a device's handles closes it", on: .containers) { t in
        let setup = try t.setUp(t.anyDevice)
        guard let group = setup.group else { return }
        guard let second = t.getDevice(setup.record.name, from: group).file else {
            throw Halt.broken("a second handle")
        }
        setup.device.close()
        t.expect(t.information(from: second), .success, "the second answers")
        t.expect(group.request(.groupUnsetContainer), .errno(.busy), "and keeps the group in the container")
        second.close()
        t.expect(group.request(.groupUnsetContainer), .success, "the last one doesn't")
    },
    Case(
        "A.1", "a device that was closed can be opened again, without anything else being done",
        on: .groups
    ) {
        t in
        let setup = try t.setUp(t.anyDevice)
        guard let group = setup.group else { return }
        setup.device.close()
        let again = t.getDevice(setup.record.name, from: group)
        t.expect(again.answer, .descriptor, "GET_DEVICE_FD")
        if let file = again.file { t.expect(t.information(from: file), .success, "GET_INFO") }
    },
    Case("A.1", "a mapping of a device keeps it open, after all handles are closed", on: .containers) { t in
        let (setup, offset) = try t.setUpMappable()
        let (answer, window) = setup.device.map(at: offset, byteCount: pageSize)
        t.expect(answer, .success, "mapping")
        for file in [setup.container, setup.group, setup.device] { file?.close() }
        t.expect(t.isOpen(setup.record), .errno(.busy), "the group is in use")
        if let window {
            t.note(window.load32(0), "the first word")
            setup.device.unmap(window)
        }
        t.expect(t.isOpen(setup.record), .descriptor, "unmapped: it is free")
    },
    Case("A.1", "with an iommufd for a container a group needs nothing more to open devices", on: .compat) {
        t in
        let record = try t.anyDevice
        let iommufd = try t.open(.iommu)
        let group = try t.open(record.groupNode)
        t.expect(t.getDevice(record.name, from: group).answer, .errno(.invalid), "without an iommufd")
        t.expect(t.put(group, into: iommufd), .success, "SET_CONTAINER")
        t.expect(t.status(of: group), equals: "3", "GET_STATUS")
        t.expect(t.isOpen(record), .errno(.busy), "the group is opened once")
        t.expect(t.put(group, into: iommufd), .errno(.invalid), "SET_CONTAINER again")
        let first = t.getDevice(record.name, from: group)
        t.expect(first.answer, .descriptor, "GET_DEVICE_FD")
        t.expect(t.getDevice(record.name, from: group).answer, .descriptor, "GET_DEVICE_FD again")
        if let file = first.file { t.expect(t.information(from: file), .success, "GET_INFO") }
    },
    Case("A.1", "with an iommufd for a container an open device doesn't keep its group open", on: .compat) {
        t in
        let setup = try t.setUp(t.anyDevice)
        setup.group?.close()
        t.expect(t.information(from: setup.device), .success, "the group closed: the device answers")
        guard let group = try? t.open(setup.record.groupNode) else {
            throw Halt.broken("opening the group again")
        }
        t.expect(t.status(of: group), equals: "0", "GET_STATUS of a new opening: the iommufd has the DMA")
        t.expect(t.getDevice(setup.record.name, from: group).answer, .errno(.invalid), "GET_DEVICE_FD")
        setup.device.close()
        t.expect(t.status(of: group), equals: "1", "GET_STATUS, the device closed")
    },
    Case("A.1", "with an iommufd for a container the device works on after all else is closed", on: .compat) {
        t in
        let setup = try t.setUp(t.edu)
        let memory = try t.memory(pages: 1)
        try t.map(memory, at: 0x10000, for: setup)
        setup.container?.close()
        t.expect(try setup.eduCopies(memory, at: 0x10000, by: t), "DMA after the iommufd's closing")
        setup.group?.close()
        t.expect(try setup.eduCopies(memory, at: 0x10000, by: t), "DMA after the group's closing")
    },
    Case(
        "A.1", "an iommufd for a container serves several groups, one after the other or at once", on: .compat
    ) { t in
        let (first, second) = try t.twoDevices
        let setup = try t.setUp(first)
        guard let iommufd = setup.iommufd else { return }
        let group = try t.open(second.groupNode)
        t.expect(t.put(group, into: iommufd), .success, "a second group")
        t.expect(t.getDevice(second.name, from: group).answer, .descriptor, "its device")
        let memory = try t.memory(pages: 1)
        try t.map(memory, at: 0x10000, for: setup)
        group.close()
        t.expect(
            try setup.eduCopies(memory, at: 0x10000, by: t), "the first one's DMA after the second's closing")
    },
]
