import LinuxSystem
import VFIOABI
import VFIOHost

/// A.3: a container, before and after it has a group and an IOMMU.
let containerCases: [Case] = [
    Case("A.3", "the version is 0, whatever the argument and the state") { t in
        let container = try t.open(.container)
        t.expect(container.request(.getAPIVersion), .value(0), "new container")
        t.expect(container.request(.getAPIVersion, 77), .value(0), "with an argument")
        let attached = try t.attach(t.anyDevice)
        t.expect(attached.container.request(.getAPIVersion), .value(0), "with an IOMMU")
    },
    Case("A.3", "a container without an IOMMU refuses what it doesn't know with EINVAL") { t in
        let container = try t.open(.container)
        t.expect(container.request(.iommuGetInfo), .errno(.invalid), "IOMMU_GET_INFO without an argument")
        t.expect(container.request(.iommuMapDMA, DMAMap()), .errno(.invalid), "MAP_DMA")
        t.expect(container.request(Request(rawValue: 0x1234)), .errno(.invalid), "an unknown request")
    },
    Case("A.3", "an empty container speaks for every IOMMU driver that there is") { t in
        let container = try t.open(.container)
        expectExtensions(of: container, by: t)
        t.expect(container.request(.checkExtension, 1 << 32 | 1), .value(0), "1, and a bit beyond 32")
        t.expect(container.request(.checkExtension, .max), .value(0), "all bits")
    },
    Case("A.3", "a container with a group, but without an IOMMU, speaks for the drivers that suit it") { t in
        let container = try t.open(.container)
        let group = try t.open(t.anyDevice.groupNode)
        try t.require(t.put(group, into: container), "SET_CONTAINER")
        expectExtensions(of: container, by: t)
    },
    Case("A.3", "a container with an IOMMU speaks for that one only") { t in
        let attached = try t.attach(t.anyDevice)
        let container = attached.container
        for number in [1, 3, 9] as [UInt] {
            t.expect(container.request(.checkExtension, number), .value(1), "\(number)")
        }
        t.note(container.request(.checkExtension, 4), "4: DMA is coherent with caches")
        t.expect(container.request(.checkExtension, 10), .value(1), "10: addresses can be replaced")
        for number in [0, 2, 8, 30, 77] as [UInt] {
            t.expect(container.request(.checkExtension, number), .value(0), "\(number)")
        }
    },
    Case("A.3", "extensions come with the IOMMU and go with the last group") { t in
        let attached = try t.attach(t.anyDevice)
        t.expect(attached.container.request(.checkExtension, 10), .value(1), "with the IOMMU")
        t.expect(attached.group.request(.groupUnsetContainer), .success, "UNSET_CONTAINER")
        t.expect(attached.container.request(.checkExtension, 10), .value(0), "without a group")
        t.expect(attached.container.request(.checkExtension, 4), .value(0), "4 as well")
    },
    Case("A.3", "SET_IOMMU needs a group, whatever it is asked for", on: .containers) { t in
        let container = try t.open(.container)
        for number in [1, 3, 8, 77] as [UInt] {
            t.expect(container.request(.setIOMMU, number), .errno(.invalid), "\(number)")
        }
    },
    Case("A.3", "SET_IOMMU names what it doesn't take, and takes a right one afterwards") { t in
        let container = try t.open(.container)
        let group = try t.open(t.anyDevice.groupNode)
        try t.require(t.put(group, into: container), "SET_CONTAINER")
        for number in [0, 2, 4, 5, 8, 10, 77, .max] as [UInt] {
            t.expect(container.request(.setIOMMU, number), .errno(.noDevice), "\(number)")
        }
        t.expect(
            container.request(.setIOMMU, 6), .errno(.noDevice), "6: nesting",
            .before(6, 13, .errno(.invalid), "type1 knew nesting, and the IOMMU couldn't do it"))
        t.expect(container.request(.setIOMMU, 9), .errno(.invalid), "9: an extension, no kind")
        t.expect(container.request(.setIOMMU, 3), .success, "3")
    },
    Case("A.3", "SET_IOMMU is for once, right or wrong", on: .containers) { t in
        let attached = try t.attach(t.anyDevice)
        for number in [t.usualIOMMU, 1, 77] {
            t.expect(attached.container.request(.setIOMMU, number), .errno(.invalid), "\(number)")
        }
    },
    Case("A.3", "the old kind of type1 is one, too") { t in
        let attached = try t.attach(t.anyDevice, iommu: .type1)
        t.expect(
            attached.container.request(.iommuGetInfo, IOMMUType1Info()), .success, "GET_INFO")
        let (answer, _) = t.getDevice(try t.anyDevice.name, from: attached.group)
        t.expect(answer, .descriptor, "GET_DEVICE_FD")
    },
    Case("A.3", "with an IOMMU, requests that nobody knows are told so") { t in
        let container = try t.attach(t.anyDevice).container
        for (request, label) in [
            (.groupGetStatus, "GET_STATUS"), (.deviceGetInfo, "DEVICE_GET_INFO"),
            (.deviceReset, "DEVICE_RESET"),
            (Request(rawValue: 0x1234), "an unknown request"), (Request(index: 99), "VFIO's request 99"),
        ] as [(Request, String)] {
            t.expect(container.request(request), .errno(.noSuchRequest), label)
        }
    },
    Case("A.3", "without an IOMMU behind the group, mapping is unknown", on: .noIOMMU) { t in
        let container = try t.attach(t.anyDevice).container
        t.expect(container.request(.iommuGetInfo), .errno(.noSuchRequest), "GET_INFO")
        t.expect(container.request(.iommuMapDMA), .errno(.noSuchRequest), "MAP_DMA")
        t.expect(container.request(.getAPIVersion), .value(0), "GET_API_VERSION")
    },
    Case("A.3", "every opening is a container of its own") { t in
        let (first, second) = try t.twoDevices
        let one = try t.attach(first)
        let empty = try t.open(.container)
        let two = try t.attach(second)
        t.expect(empty.request(.iommuGetInfo, IOMMUType1Info()), .errno(.invalid), "a third one has no IOMMU")
        let memory = try t.memory(pages: 1)
        let map = DMAMap(flags: [.read, .write], vaddr: memory.vaddr, iova: 0, size: memory.size)
        t.expect(one.container.request(.iommuMapDMA, map), .success, "MAP_DMA in the one")
        t.expect(two.container.request(.iommuMapDMA, map), .success, "the same address in the other")
        t.expect(
            one.container.request(.iommuMapDMA, map), .errno(.exists), "again in the one")
    },
    Case("A.3", "the last group takes the IOMMU and its mappings along; the container can start anew") { t in
        let attached = try t.attach(t.anyDevice)
        let memory = try t.memory(pages: 1)
        let map = DMAMap(flags: [.read, .write], vaddr: memory.vaddr, iova: 0, size: memory.size)
        try t.require(attached.container.request(.iommuMapDMA, map), "MAP_DMA")
        t.expect(attached.group.request(.groupUnsetContainer), .success, "UNSET_CONTAINER")
        t.expect(attached.container.request(.iommuMapDMA, map), .errno(.invalid), "MAP_DMA afterwards")
        t.expect(t.put(attached.group, into: attached.container), .success, "SET_CONTAINER again")
        t.expect(attached.container.request(.iommuMapDMA, map), .errno(.invalid), "MAP_DMA before SET_IOMMU")
        t.expect(attached.container.request(.setIOMMU, 1), .success, "SET_IOMMU, of another kind")
        t.expect(attached.container.request(.iommuMapDMA, map), .success, "MAP_DMA: the address is free")
    },
    Case("A.3", "a mapping works on for the device after the container was closed") { t in
        let setup = try t.setUp(t.edu)
        let memory = try t.memory(pages: 1)
        try t.map(memory, at: 0x10000, for: setup)
        t.expect(try setup.eduCopies(memory, at: 0x10000, by: t), "DMA before")
        setup.container?.close()
        t.expect(try setup.eduCopies(memory, at: 0x10000, by: t), "DMA after the container's closing")
        setup.group?.close()
        t.expect(try setup.eduCopies(memory, at: 0x10000, by: t), "DMA after the group's closing")
    },
]

/// The answers to CHECK_EXTENSION before there is an IOMMU.
private func expectExtensions(of container: File, by t: Trial) {
    for number in [1, 3, 9] as [UInt] {
        t.expect(container.request(.checkExtension, number), .value(1), "\(number)")
    }
    for number in [0, 2, 4, 5, 7, 8, 10, 30, 77] as [UInt] {
        t.expect(container.request(.checkExtension, number), .value(0), "\(number)")
    }
    t.expect(
        container.request(.checkExtension, 6), .value(0), "6: nesting",
        .before(6, 13, .value(1), "type1 knew nesting"))
}
