import LinuxSystem
import VFIOABI
import VFIOHost

/// A.11: a device is taken from its driver while it is in use.
let unplugCases: [Case] = [
    Case(
        "A.11", "whoever has a device open is asked for it once at first, and keeps it until closing it",
        on: .groups
    ) {
        t in
        let setup = try t.setUp(t.edu)
        let event = try t.eventfd()
        try t.require(setup.device.request(.deviceSetIRQs, SetEvent(index: 4, event.number)), "SET_IRQS")
        let unbinding = try t.unbind(setup.record)
        t.expect((try event.wait(milliseconds: 10_000)) == 1, "the eventfd counts one request")
        t.expect(unbinding.answer == nil, "unbinding waits")
        t.expect(t.information(from: setup.device), .success, "GET_INFO goes on")
        let configuration = try t.region(.config, of: setup.device).offset
        t.expect(
            try setup.device.load(UInt16.self, at: configuration) == setup.record.vendor, "reading goes on")
        Clock.sleep(nanoseconds: 50_000_000)
        t.expect(!event.isSignalled, "it isn't asked for again soon")
        setup.device.close()
        t.expect(unbinding.wait() == .success, "unbinding ends with the device's closing")
    },
    Case("A.11", "a device that doesn't listen is waited for as well", on: .groups) { t in
        let setup = try t.setUp(t.edu)
        let unbinding = try t.unbind(setup.record)
        t.expect(try t.seesLeaving(setup.record), "unbinding has begun")
        t.expect(unbinding.answer == nil, "unbinding waits")
        setup.device.close()
        t.expect(unbinding.wait() == .success, "until the device is closed")
    },
    Case("A.11", "a device that is being taken away can't be opened again", on: .groups) { t in
        let setup = try t.setUp(t.edu)
        guard let group = setup.group else { return }
        let unbinding = try t.unbind(setup.record)
        t.expect(try t.seesLeaving(setup.record), "unbinding has begun")
        t.expect(
            t.getDevice(setup.record.name, from: group).answer, .errno(.noDevice), "GET_DEVICE_FD",
            .before(6, 6, .descriptor, "the device stayed in the group's list until the end"))
        if let node = setup.record.deviceNode {
            t.expect(t.opening(.device(node)), .errno(.noSuchEntry), "its node")
        }
        t.closeAll()
        t.expect(unbinding.wait() == .success, "unbinding ends")
    },
    Case("A.11", "the group of a device that is being taken away stays as it is until then", on: .containers)
    { t in
        let setup = try t.setUp(t.edu)
        guard let group = setup.group, let container = setup.container else { return }
        let unbinding = try t.unbind(setup.record)
        t.expect(try t.seesLeaving(setup.record), "unbinding has begun")
        t.expect(t.status(of: group), equals: "3", "GET_STATUS")
        t.expect(group.request(.groupUnsetContainer), .errno(.busy), "UNSET_CONTAINER")
        t.expect(t.put(group, into: container), .errno(.invalid), "SET_CONTAINER")
        t.expect(t.isOpen(setup.record), .errno(.busy), "its node")
        setup.device.close()
        t.expect(unbinding.wait() == .success, "unbinding ends")
        t.expect(t.isOpen(setup.record), .errno(.noSuchEntry), "its node afterwards")
    },
    Case("A.11", "what is mapped for a device that is being taken away stays, and more can be mapped") { t in
        let setup = try t.setUp(t.edu)
        let memory = try t.memory(pages: 2)
        try t.map(memory, at: 0x10000, for: setup)
        let unbinding = try t.unbind(setup.record)
        t.expect(try t.seesLeaving(setup.record), "unbinding has begun")
        t.expect(try setup.eduCopies(memory, at: 0x10000, by: t), "DMA works on")
        let more = try t.memory(pages: 1)
        let map = DMAMap(flags: [.read, .write], vaddr: more.vaddr, iova: 0x80000, size: more.size)
        t.expect(setup.container?.request(.iommuMapDMA, map) ?? .success, .success, "MAP_DMA")
        t.expect(try setup.eduCopies(more, at: 0x80000, by: t), "DMA to what was mapped just now")
        setup.device.close()
        t.expect(unbinding.wait() == .success, "unbinding ends")
    },
    Case("A.11", "an open group that has lost its last device answers ENODEV", on: .groups) { t in
        let record = try t.edu
        let container = try t.open(t.containerNode)
        let group = try t.open(record.groupNode)
        t.expect(try t.unbind(record).wait() == .success, "unbinding what nobody has open doesn't wait")
        t.expect(t.status(of: group), equals: "ENODEV", "GET_STATUS")
        t.expect(t.put(group, into: container), .errno(.noDevice), "SET_CONTAINER")
        t.expect(group.request(.groupSetContainer, Int32(-1)), .errno(.badDescriptor), "SET_CONTAINER, -1")
        t.expect(t.getDevice(record.name, from: group).answer, .errno(.noDevice), "GET_DEVICE_FD")
        t.expect(group.request(.groupUnsetContainer), .errno(.invalid), "UNSET_CONTAINER")
        t.expect(
            group.request(.groupGetStatus, GroupStatus(argsz: 7, flags: [])), .errno(.invalid),
            "argsz comes first")
        t.expect(group.request(Request(index: 99)), .errno(.noSuchRequest), "an unknown request")
        t.expect(t.isOpen(record), .errno(.noSuchEntry), "the group's node")
    },
    Case("A.11", "a group that has lost its last device is taken out of its container", on: .containers) {
        t in
        let (record, other) = try t.twoDevices
        let attached = try t.attach(record)
        t.expect(try t.unbind(record).wait() == .success, "unbinding")
        t.expect(t.status(of: attached.group), equals: "ENODEV", "GET_STATUS")
        t.expect(attached.group.request(.groupUnsetContainer), .errno(.invalid), "UNSET_CONTAINER")
        t.expect(attached.container.request(.iommuGetInfo), .errno(.invalid), "the container has no IOMMU")
        let second = try t.open(other.groupNode)
        t.expect(t.put(second, into: attached.container), .success, "another group may have it")
        t.expect(attached.container.request(.setIOMMU, t.usualIOMMU), .success, "and choose")
    },
    Case("A.11", "a group that goes leaves the others of its container alone") { t in
        let (record, other) = try t.twoDevices
        let attached = try t.attach(other)
        let group = try t.open(record.groupNode)
        try t.require(t.put(group, into: attached.container), "SET_CONTAINER")
        let memory = try t.memory(pages: 1)
        let map = DMAMap(flags: [.read, .write], vaddr: memory.vaddr, iova: 0, size: memory.size)
        try t.require(attached.container.request(.iommuMapDMA, map), "MAP_DMA")
        t.expect(try t.unbind(record).wait() == .success, "unbinding")
        t.expect(t.status(of: attached.group), equals: "3", "the other group's status")
        t.expect(attached.container.request(.iommuMapDMA, map), .errno(.exists), "mappings are as they were")
        t.expect(t.getDevice(other.name, from: attached.group).answer, .descriptor, "the other device opens")
    },
    Case("A.11", "a device that comes back has a new group; old handles stay without one", on: .groups) {
        t in
        let record = try t.edu
        let machine = try t.machine
        let old = try t.attach(record)
        t.expect(try t.unbind(record).wait() == .success, "unbinding")
        t.expect(
            .of { () throws(Errno) in try machine.bind(record.address, to: "vfio-pci") }, .success, "binding")
        guard let back = try t.inventory.devices.first(where: { $0.address == record.address }) else {
            throw Halt.broken("the device is gone")
        }
        if !record.isUnprotected { t.expect(back.group == record.group, "the group's number is the same") }
        t.expect(t.status(of: old.group), equals: "ENODEV", "GET_STATUS of the old handle")
        t.expect(t.getDevice(record.name, from: old.group).answer, .errno(.noDevice), "GET_DEVICE_FD of it")
        let new = try t.attach(back)
        t.expect(t.getDevice(record.name, from: new.group).answer, .descriptor, "GET_DEVICE_FD of a new one")
        old.group.close()
        t.expect(t.status(of: new.group), equals: "3", "the old one's closing changes nothing")
    },
    Case("A.11", "every handle of a device is waited for, whatever else is closed", on: .groups) { t in
        let setup = try t.setUp(t.edu)
        guard let group = setup.group, let second = t.getDevice(setup.record.name, from: group).file else {
            throw Halt.broken("a second handle")
        }
        let unbinding = try t.unbind(setup.record)
        t.expect(try t.seesLeaving(setup.record), "unbinding has begun")
        for file in [setup.container, setup.group, setup.device] { file?.close() }
        Clock.sleep(nanoseconds: 20_000_000)
        t.expect(unbinding.answer == nil, "all but one are closed: it waits")
        t.expect(t.information(from: second), .success, "the last one answers")
        second.close()
        t.expect(unbinding.wait() == .success, "it ends with the last one")
    },
    Case("A.11", "a mapping of a device is waited for", on: .groups) { t in
        let machine = try t.machine
        let (setup, offset) = try t.setUpMappable()
        guard let window = setup.device.map(at: offset, byteCount: pageSize).window else {
            throw Halt.broken("mapping")
        }
        let address = setup.record.address
        t.atEnd { try? machine.bind(address, to: "vfio-pci") }
        let unbinding = try t.unbind(setup.record)
        t.expect(try t.seesLeaving(setup.record), "unbinding has begun")
        t.closeAll()
        Clock.sleep(nanoseconds: 20_000_000)
        t.expect(unbinding.answer == nil, "all handles are closed: it waits")
        setup.device.unmap(window)
        t.expect(unbinding.wait() == .success, "it ends with the unmapping")
    },
    Case("A.11", "a device's own node is waited for, although it isn't bound", on: .cdev) { t in
        let record = try t.edu
        let node = try t.openNode(of: record)
        let unbinding = try t.unbind(record)
        t.expect(try t.seesLeaving(record), "unbinding has begun")
        t.expect(unbinding.answer == nil, "it waits")
        t.expect(
            t.opening(.device(record.deviceNode ?? -1)), .errno(.noSuchEntry), "the node can't be opened")
        t.expect(node.request(.deviceGetInfo, DeviceInfo()), .errno(.invalid), "GET_INFO, unbound")
        var bind = DeviceBindIOMMUFD(iommufd: try t.open(.iommu).number)
        t.expect(node.request(.deviceBindIOMMUFD, &bind), .success, "it may still be bound")
        t.expect(t.information(from: node), .success, "and used")
        node.close()
        t.expect(unbinding.wait() == .success, "it ends with the closing")
    },
    Case("A.11", "a device that is bound to an iommufd is asked for and waited for", on: .cdev) { t in
        let setup = try t.setUp(t.edu)
        let event = try t.eventfd()
        try t.require(setup.device.request(.deviceSetIRQs, SetEvent(index: 4, event.number)), "SET_IRQS")
        let unbinding = try t.unbind(setup.record)
        t.expect((try event.wait(milliseconds: 10_000)) == 1, "the eventfd counts one request")
        setup.iommufd?.close()
        t.expect(unbinding.answer == nil, "it waits")
        t.expect(t.information(from: setup.device), .success, "GET_INFO goes on")
        setup.device.close()
        t.expect(unbinding.wait() == .success, "it ends with the closing")
        t.expect(t.isOpen(setup.record), .errno(.noSuchEntry), "the group's node has gone")
    },
    Case("A.11", "a group stays as long as another of its devices is there", on: .group) { t in
        let (record, neighbour) = try t.neighbours
        let machine = try t.machine
        let driver = neighbour.driver?.name
        t.atEnd { try? machine.bind(neighbour.address, to: driver) }
        try machine.bind(neighbour.address, to: "vfio-pci")
        let attached = try t.attach(record)
        t.expect(t.getDevice(neighbour.name, from: attached.group).answer, .descriptor, "the neighbour opens")
        t.closeAll()
        let again = try t.attach(record)
        t.expect(try t.unbind(record).wait() == .success, "unbinding the one")
        t.expect(t.status(of: again.group), equals: "3", "GET_STATUS")
        t.expect(t.getDevice(record.name, from: again.group).answer, .errno(.noDevice), "the one has gone")
        t.expect(t.getDevice(neighbour.name, from: again.group).answer, .descriptor, "the neighbour is there")
    },
]

extension Trial {
    /// Begins to take a device from its driver; it is bound to vfio-pci again at the end.
    func unbind(_ record: DeviceRecord) throws -> Errand {
        let machine = try machine
        let address = record.address
        atEnd { try? machine.bind(address, to: "vfio-pci") }
        return try aside { () throws(Errno) in try machine.bind(address, to: nil) }
    }

    /// Waits until a device is being taken from its driver: sysfs shows none.
    func seesLeaving(_ record: DeviceRecord) throws -> Bool {
        let machine = try machine
        let deadline = Clock.moment(inMilliseconds: 10_000)
        while machine.driver(of: record.address) != nil {
            if Clock.now > deadline { return false }
            Clock.sleep(nanoseconds: 2_000_000)
        }
        // Linux takes the driver out of sysfs a moment before the device leaves its group and loses its node.
        if kernel.kind == .linux { Clock.sleep(nanoseconds: 200_000_000) }
        return true
    }
}
