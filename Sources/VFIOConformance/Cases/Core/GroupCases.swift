import LinuxSystem
import VFIOABI
import VFIOHost

/// A.2, A.4 and A.5: nodes, a group's file, and its way into a container.
let groupCases: [Case] = [
    Case("A.2", "nodes that don't exist", on: .groups) { t in
        let inventory = try t.inventory
        let unused = (0...).first { number in !inventory.groups.contains { $0.number == number } } ?? 999
        t.expect(t.opening(.group(unused)), .errno(.noSuchEntry), "a group's number that nobody has")
        t.expect(t.opening(.unprotectedGroup(unused)), .errno(.noSuchEntry), "the same, without an IOMMU")
        t.expect(t.opening(.device(99_999)), .errno(.noSuchEntry), "a device's number that nobody has")
        let record = try t.anyDevice
        let number = record.group ?? 0
        let wrong: Node = record.isUnprotected ? .group(number) : .unprotectedGroup(number)
        t.expect(t.opening(wrong), .errno(.noSuchEntry), "the right number of the wrong kind")
    },
    Case("A.2", "containers and groups can't be read or written", on: .groups) { t in
        let attached = try t.attach(t.anyDevice)
        for (file, label) in [(attached.container, "container"), (attached.group, "group")] {
            t.expect(file.read(at: 0, count: 4).answer, .errno(.invalid), "reading a \(label)")
            t.expect(file.write(at: 0, [0, 0, 0, 0]), .errno(.invalid), "writing a \(label)")
        }
    },
    Case("A.2", "containers and groups can't be mapped", on: .containers) { t in
        let attached = try t.attach(t.anyDevice)
        for (file, label) in [(attached.container, "container"), (attached.group, "group")] {
            t.expect(file.map(at: 0, byteCount: 4096).answer, .errno(.noDevice), "mapping a \(label)")
        }
    },
    Case("A.2", "a handle that was closed is none, for any request", on: .groups) { t in
        let setup = try t.setUp(t.anyDevice)
        for file in [setup.device, setup.group, setup.container] {
            guard let file else { continue }
            file.close()
            t.expect(file.request(.deviceGetInfo), .errno(.badDescriptor), "a request")
            t.expect(file.read(at: 0, count: 4).answer, .errno(.badDescriptor), "reading")
            t.expect(file.write(at: 0, [0]), .errno(.badDescriptor), "writing")
            t.expect(file.map(at: 0, byteCount: 4096).answer, .errno(.badDescriptor), "mapping")
        }
    },
    Case("A.4", "GET_STATUS says how much it wants, and writes no more", on: .groups) { t in
        let group = try t.open(t.anyDevice.groupNode)
        for size in [0, 7] as [UInt32] {
            t.expect(
                group.request(.groupGetStatus, GroupStatus(argsz: size, flags: [])), .errno(.invalid),
                "argsz \(size)")
        }
        let buffer = try t.buffer(64)
        buffer.fill(0xaa)
        buffer.store(UInt32(64))
        t.expect(group.request(.groupGetStatus, buffer), .success, "argsz 64")
        t.expect(buffer.load(UInt32(0)), equals: 64, "argsz stays")
        t.expect(buffer.load(UInt32(0), at: 4), equals: 1, "flags are set anew")
        t.expect(buffer.bytes[8...].allSatisfy { $0 == 0xaa }, "nothing is written behind the structure")
    },
    Case("A.4", "GET_STATUS reads its structure before it looks at it", on: .groups) { t in
        let group = try t.open(t.anyDevice.groupNode)
        t.expect(group.request(.groupGetStatus, 0), .errno(.badAddress), "no address")
        t.expect(
            group.request(.groupGetStatus, try t.buffer(atEndOfPage: 6)), .errno(.badAddress),
            "6 bytes, argsz 0")
        let whole = try t.buffer(atEndOfPage: 8)
        whole.store(UInt32(4096))
        t.expect(group.request(.groupGetStatus, whole), .success, "8 bytes, argsz 4096")
    },
    Case("A.4", "SET_CONTAINER takes a container's handle and nothing else") { t in
        let group = try t.open(t.anyDevice.groupNode)
        let event = try t.eventfd()
        let closed = try t.open(.container)
        closed.close()
        t.expect(group.request(.groupSetContainer, 0), .errno(.badAddress), "no address")
        t.expect(
            group.request(.groupSetContainer, try t.buffer(atEndOfPage: 2)), .errno(.badAddress), "2 bytes")
        t.expect(group.request(.groupSetContainer, Int32(-1)), .errno(.badDescriptor), "-1")
        t.expect(group.request(.groupSetContainer, closed.number), .errno(.badDescriptor), "a closed handle")
        t.expect(
            group.request(.groupSetContainer, event.number), .errno(.wrongDescriptorKind), "an eventfd",
            .before(6, 2, .errno(.invalid), "files of other kinds had no errno of their own"))
        t.expect(
            group.request(.groupSetContainer, group.number), .errno(.wrongDescriptorKind), "the group itself",
            .before(6, 2, .errno(.invalid), "as above"))
        let container = try t.open(.container)
        let exact = try t.buffer(atEndOfPage: 4)
        exact.store(container.number)
        t.expect(group.request(.groupSetContainer, exact), .success, "a container, at a page's end")
    },
    Case("A.4", "SET_CONTAINER of a group that has one: the handle is looked up before, its kind after") {
        t in
        let attached = try t.attach(t.anyDevice)
        let event = try t.eventfd()
        let other = try t.open(.container)
        t.expect(attached.group.request(.groupSetContainer, 0), .errno(.badAddress), "no address")
        t.expect(attached.group.request(.groupSetContainer, Int32(-1)), .errno(.badDescriptor), "-1")
        t.expect(attached.group.request(.groupSetContainer, event.number), .errno(.invalid), "an eventfd")
        t.expect(t.put(attached.group, into: other), .errno(.invalid), "another container")
        t.expect(t.put(attached.group, into: attached.container), .errno(.invalid), "the same container")
    },
    Case("A.4", "a container takes a device's handle for no container") { t in
        let setup = try t.setUp(t.edu)
        let group = try t.open(t.twoDevices.1.groupNode)
        t.expect(
            group.request(.groupSetContainer, setup.device.number), .errno(.wrongDescriptorKind), "a device",
            .before(6, 2, .errno(.invalid), "files of other kinds had no errno of their own"))
    },
    Case("A.4", "a group refuses what it doesn't know with ENOTTY, in any state", on: .groups) { t in
        let group = try t.open(t.anyDevice.groupNode)
        for (request, label) in [
            (.getAPIVersion, "GET_API_VERSION"), (.checkExtension, "CHECK_EXTENSION"),
            (.setIOMMU, "SET_IOMMU"),
            (.deviceGetInfo, "DEVICE_GET_INFO"), (.iommuMapDMA, "MAP_DMA"),
            (Request(rawValue: 0x1234), "an unknown request"), (Request(index: 99), "VFIO's request 99"),
        ] as [(Request, String)] {
            t.expect(group.request(request), .errno(.noSuchRequest), label)
        }
        let container = try t.open(t.containerNode)
        try t.require(t.put(group, into: container), "SET_CONTAINER")
        t.expect(group.request(Request(index: 99)), .errno(.noSuchRequest), "with a container")
    },
    Case("A.4", "UNSET_CONTAINER takes no argument", on: .containers) { t in
        let attached = try t.attach(t.anyDevice)
        t.expect(
            attached.group.request(.groupUnsetContainer, .max), .success, "an address that can't be read")
        t.expect(attached.group.request(.groupUnsetContainer), .errno(.invalid), "again")
    },
    Case("A.4", "a device bound by its own node keeps its group's node from being opened", on: .cdev) { t in
        let setup = try t.setUp(t.anyDevice)
        t.expect(t.isOpen(setup.record), .errno(.busy), "while it is bound")
        setup.device.close()
        t.expect(t.isOpen(setup.record), .descriptor, "afterwards")
    },
    Case("A.4", "a device's node that is only open leaves its group to others", on: .cdev) { t in
        let record = try t.anyDevice
        let node = try t.openNode(of: record)
        let group = try t.open(record.groupNode)
        t.expect(t.status(of: group), equals: "1", "GET_STATUS")
        var bind = DeviceBindIOMMUFD(iommufd: try t.open(.iommu).number)
        t.expect(
            node.request(.deviceBindIOMMUFD, &bind), .errno(.busy), "BIND_IOMMUFD while the group is open")
        group.close()
        t.expect(node.request(.deviceBindIOMMUFD, &bind), .success, "BIND_IOMMUFD afterwards")
    },
    Case("A.5", "several groups share a container: SET_IOMMU is for all of them") { t in
        let (first, second) = try t.twoDevices
        let container = try t.open(.container)
        let groups = [try t.open(first.groupNode), try t.open(second.groupNode)]
        for group in groups { t.expect(t.put(group, into: container), .success, "SET_CONTAINER") }
        t.expect(container.request(.setIOMMU, 3), .success, "SET_IOMMU")
        t.expect(t.getDevice(first.name, from: groups[0]).answer, .descriptor, "the first device")
        t.expect(t.getDevice(second.name, from: groups[1]).answer, .descriptor, "the second device")
        t.expect(t.getDevice(second.name, from: groups[0]).answer, .errno(.noDevice), "crosswise")
    },
    Case("A.5", "a group that joins a container with an IOMMU is ready at once") { t in
        let (first, second) = try t.twoDevices
        let attached = try t.attach(first)
        let group = try t.open(second.groupNode)
        t.expect(t.put(group, into: attached.container), .success, "SET_CONTAINER")
        t.expect(t.getDevice(second.name, from: group).answer, .descriptor, "GET_DEVICE_FD")
    },
    Case("A.5", "a group that leaves takes nothing from the others: mappings stay with the last one") { t in
        let (first, second) = try t.twoDevices
        let setup = try t.setUp(first)
        let container = setup.container
        let other = try t.open(second.groupNode)
        guard let container else { return }
        try t.require(t.put(other, into: container), "SET_CONTAINER")
        let memory = try t.memory(pages: 1)
        try t.map(memory, at: 0x20000, for: setup)
        t.expect(other.request(.groupUnsetContainer), .success, "the second leaves")
        t.expect(try setup.eduCopies(memory, at: 0x20000, by: t), "the first one's DMA works on")
        t.expect(t.put(other, into: container), .success, "the second comes back")
        other.close()
        t.expect(try setup.eduCopies(memory, at: 0x20000, by: t), "and goes by being closed")
        t.expect(container.request(.iommuGetInfo, IOMMUType1Info()), .success, "the IOMMU is there")
    },
    Case("A.5", "each group of a container is busy for itself") { t in
        let (first, second) = try t.twoDevices
        let setup = try t.setUp(first)
        let other = try t.open(second.groupNode)
        guard let container = setup.container, let group = setup.group else { return }
        try t.require(t.put(other, into: container), "SET_CONTAINER")
        t.expect(group.request(.groupUnsetContainer), .errno(.busy), "the one with an open device")
        t.expect(other.request(.groupUnsetContainer), .success, "the other one")
        setup.device.close()
        t.expect(group.request(.groupUnsetContainer), .success, "the first, its device closed")
    },
    Case("A.5", "a container whose handle is closed goes on for its groups, and is lost to others") { t in
        let (first, second) = try t.twoDevices
        let attached = try t.attach(first)
        let other = try t.open(second.groupNode)
        try t.require(t.put(other, into: attached.container), "SET_CONTAINER")
        attached.container.close()
        for group in [attached.group, other] { t.expect(t.status(of: group), equals: "3", "GET_STATUS") }
        t.expect(t.getDevice(second.name, from: other).answer, .descriptor, "GET_DEVICE_FD")
        t.expect(attached.group.request(.groupUnsetContainer), .success, "UNSET_CONTAINER")
        let fresh = try t.open(.container)
        t.expect(t.put(attached.group, into: fresh), .success, "into another container")
        t.expect(t.getDevice(first.name, from: attached.group).answer, .errno(.invalid), "which has no IOMMU")
    },
    Case("A.5", "groups may leave by being closed in any order, and can be opened again") { t in
        let (first, second) = try t.twoDevices
        for backwards in [false, true] {
            let attached = try t.attach(first)
            let other = try t.open(second.groupNode)
            try t.require(t.put(other, into: attached.container), "SET_CONTAINER")
            let order = backwards ? [other, attached.group] : [attached.group, other]
            order[0].close()
            t.expect(attached.container.request(.checkExtension, 10), .value(1), "one is left")
            order[1].close()
            t.expect(attached.container.request(.checkExtension, 10), .value(0), "none is left")
            t.expect(t.isOpen(first), .descriptor, "the first group's node")
            t.expect(t.isOpen(second), .descriptor, "the second group's node")
        }
    },
]
