import LinuxSystem
import VFIOABI
import VFIOHost

/// A.9: groups without an IOMMU.
let unprotectedCases: [Case] = [
    Case("A.9", "each step needs CAP_SYS_RAWIO", on: .noIOMMU) { t in
        let machine = try t.machine
        t.atEnd { try? machine.setCapability(.rawIO, true) }
        let record = try t.edu
        let container = try t.open(.container)
        try machine.setCapability(.rawIO, false)
        t.expect(t.opening(record.groupNode), .errno(.notPermitted), "opening the group")
        try machine.setCapability(.rawIO, true)
        let group = try t.open(record.groupNode)
        try machine.setCapability(.rawIO, false)
        t.expect(t.put(group, into: container), .errno(.notPermitted), "SET_CONTAINER")
        try machine.setCapability(.rawIO, true)
        t.expect(t.put(group, into: container), .success, "SET_CONTAINER with it")
        try machine.setCapability(.rawIO, false)
        t.expect(container.request(.setIOMMU, 8), .errno(.notPermitted), "SET_IOMMU")
        try machine.setCapability(.rawIO, true)
        t.expect(container.request(.setIOMMU, 8), .success, "SET_IOMMU with it")
        try machine.setCapability(.rawIO, false)
        t.expect(t.getDevice(record.name, from: group).answer, .errno(.notPermitted), "GET_DEVICE_FD")
        try machine.setCapability(.rawIO, true)
        t.expect(t.getDevice(record.name, from: group).answer, .descriptor, "GET_DEVICE_FD with it")
    },
    Case("A.9", "a device that is open needs no right any more", on: .noIOMMU) { t in
        let machine = try t.machine
        t.atEnd { try? machine.setCapability(.rawIO, true) }
        let setup = try t.setUp(t.edu)
        try machine.setCapability(.rawIO, false)
        t.expect(t.information(from: setup.device), .success, "GET_INFO")
        guard let group = setup.group else { return }
        t.expect(t.status(of: group), equals: "3", "GET_STATUS")
        t.expect(t.getDevice(setup.record.name, from: group).answer, .descriptor, "GET_DEVICE_FD again")
    },
    Case("A.9", "the group is its container's only kind of IOMMU", on: .noIOMMU) { t in
        let container = try t.open(.container)
        let group = try t.open(t.edu.groupNode)
        t.expect(t.put(group, into: container), .success, "SET_CONTAINER")
        for kind in [0, 1, 3, 9, 77] as [UInt] {
            t.expect(container.request(.setIOMMU, kind), .errno(.noDevice), "SET_IOMMU \(kind)")
        }
        for number in [1, 3, 9] as [UInt] {
            t.expect(container.request(.checkExtension, number), .value(0), "extension \(number)")
        }
        t.expect(container.request(.checkExtension, 8), .value(1), "extension 8")
        t.expect(container.request(.setIOMMU, 8), .success, "SET_IOMMU 8")
    },
    Case("A.9", "there is nothing to map", on: .noIOMMU) { t in
        let attached = try t.attach(t.edu)
        for (request, label) in [
            (.iommuGetInfo, "GET_INFO"), (.iommuMapDMA, "MAP_DMA"), (.iommuUnmapDMA, "UNMAP_DMA"),
            (.iommuDirtyPages, "DIRTY_PAGES"), (Request(rawValue: 0x1234), "an unknown request"),
        ] as [(Request, String)] {
            t.expect(attached.container.request(request), .errno(.noSuchRequest), label)
        }
        t.expect(attached.container.request(.checkExtension, 8), .value(1), "extension 8")
        t.expect(attached.container.request(.checkExtension, 1), .value(0), "extension 1")
    },
    Case("A.9", "the device works as any other, but for DMA", on: .noIOMMU) { t in
        let setup = try t.setUp(t.edu)
        let configuration = try t.region(.config, of: setup.device).offset
        t.expect(
            try setup.device.load(UInt32.self, at: configuration), equals: 0x11e8_1234, "configuration space")
        let command = try setup.device.load(UInt16.self, at: configuration + 4)
        setup.device.store(command | 2, at: configuration + 4)
        let registers = try t.region(.bar0, of: setup.device).offset
        t.expect(setup.device.store(UInt32(0x1234_5678), at: registers + 4), .value(4), "writing a register")
        t.expect(try setup.device.load(UInt32.self, at: registers + 4), equals: ~0x1234_5678, "reading it")
    },
    Case("A.9", "the device has no node of its own", on: .noIOMMU) { t in
        t.expect(try t.edu.deviceNode == nil, "none in the inventory")
        t.expect(t.opening(.device(0)), .errno(.noSuchEntry), "/dev/vfio/devices/vfio0")
    },
    Case("A.9", "the node's name says that it isn't safe", on: .noIOMMU) { t in
        let number = try t.edu.group ?? -1
        t.expect(t.opening(.group(number)), .errno(.noSuchEntry), "/dev/vfio/<number>")
        t.expect(t.opening(.unprotectedGroup(number)), .descriptor, "/dev/vfio/noiommu-<number>")
    },
    Case("A.9", "GET_STATUS says that the group is viable", on: .noIOMMU) { t in
        let group = try t.open(t.edu.groupNode)
        t.expect(t.status(of: group), equals: "1", "new")
        t.expect(t.put(group, into: try t.open(.container)), .success, "SET_CONTAINER")
        t.expect(t.status(of: group), equals: "3", "in a container")
        t.expect(group.request(.groupUnsetContainer), .success, "UNSET_CONTAINER")
        t.expect(t.status(of: group), equals: "1", "out again")
    },
    Case("A.9", "groups without an IOMMU share a container", on: .noIOMMU) { t in
        let attached = try t.attach(t.edu)
        let second = try t.open(t.nvme.groupNode)
        t.expect(t.put(second, into: attached.container), .success, "a second group")
        t.expect(t.getDevice(try t.nvme.name, from: second).answer, .descriptor, "its device")
    },
    Case("A.9", "the parameter speaks for containers without groups, as it is now", on: .noIOMMU) { t in
        let machine = try t.machine
        let name = "vfio.enable_unsafe_noiommu_mode"
        let own = try machine.parameter(name)
        t.atEnd { try? machine.setParameter(name, to: own) }
        let container = try t.open(.container)
        t.expect(container.request(.checkExtension, 8), .value(1), "on")
        try machine.setParameter(name, to: "N")
        t.expect(container.request(.checkExtension, 8), .value(0), "off")
        let group = try t.open(t.edu.groupNode)
        t.expect(t.put(group, into: container), .success, "the groups are still there")
        t.expect(container.request(.setIOMMU, 8), .errno(.noDevice), "but not the IOMMU")
        try machine.setParameter(name, to: "Y")
        t.expect(container.request(.setIOMMU, 8), .success, "on again")
    },
    Case("A.9", "an iommufd takes groups without an IOMMU, and has no address space for them", on: .noIOMMU) {
        t in
        let iommufd = try t.open(.iommu)
        let group = try t.open(t.edu.groupNode)
        t.expect(t.put(group, into: iommufd), .success, "SET_CONTAINER")
        for number in [1, 3, 9] as [UInt] {
            t.expect(iommufd.request(.checkExtension, number), .value(0), "extension \(number)")
        }
        t.expect(iommufd.request(.checkExtension, 8), .value(1), "extension 8")
        for kind in [1, 3, 77] as [UInt] {
            t.expect(iommufd.request(.setIOMMU, kind), .errno(.invalid), "SET_IOMMU \(kind)")
        }
        t.expect(iommufd.request(.setIOMMU, 8), .success, "SET_IOMMU 8")
        t.expect(iommufd.request(.setIOMMU, 8), .success, "and again")
        t.expect(iommufd.request(.iommuGetInfo, IOMMUType1Info()), .errno(.noDevice), "GET_INFO")
        var get = VFIOCompatibilityIOAS(operation: .get)
        t.expect(iommufd.request(.iommufdVFIOIOAS, &get), .errno(.noDevice), "VFIO_IOAS GET")
        t.expect(t.getDevice(try t.edu.name, from: group).answer, .descriptor, "GET_DEVICE_FD")
    },
    Case(
        "A.9", "an iommufd with an address space for containers takes no group without an IOMMU", on: .noIOMMU
    ) { t in
        let bench = try t.space()
        let set = VFIOCompatibilityIOAS(ioasID: bench.ioas, operation: .set)
        t.expect(bench.iommufd.request(.iommufdVFIOIOAS, set), .success, "VFIO_IOAS SET")
        let group = try t.open(t.edu.groupNode)
        t.expect(t.put(group, into: bench.iommufd), .errno(.invalid), "SET_CONTAINER")
        let clear = VFIOCompatibilityIOAS(operation: .clear)
        t.expect(bench.iommufd.request(.iommufdVFIOIOAS, clear), .success, "VFIO_IOAS CLEAR")
        t.expect(t.put(group, into: bench.iommufd), .success, "SET_CONTAINER")
        t.expect(bench.iommufd.request(.iommufdVFIOIOAS, set), .success, "VFIO_IOAS SET with the group")
    },
    Case("A.9", "an iommufd asks for CAP_SYS_RAWIO as well", on: .noIOMMU) { t in
        let machine = try t.machine
        t.atEnd { try? machine.setCapability(.rawIO, true) }
        let iommufd = try t.open(.iommu)
        let group = try t.open(t.edu.groupNode)
        try machine.setCapability(.rawIO, false)
        t.expect(t.put(group, into: iommufd), .success, "SET_CONTAINER doesn't ask")
        t.expect(iommufd.request(.setIOMMU, 8), .errno(.notPermitted), "SET_IOMMU")
        t.expect(t.getDevice(try t.edu.name, from: group).answer, .errno(.notPermitted), "GET_DEVICE_FD")
        try machine.setCapability(.rawIO, true)
        t.expect(t.getDevice(try t.edu.name, from: group).answer, .descriptor, "GET_DEVICE_FD with it")
    },
]
