import LinuxSystem
import VFIOABI
import VFIOHost

/// F.7: an iommufd in a container's place.
let compatContainerCases: [Case] = [
    Case("F.7", "an iommufd knows a container's extensions before it is one", on: .compat) { t in
        let iommufd = try t.open(.iommu)
        t.expect(iommufd.request(.getAPIVersion), .value(0), "GET_API_VERSION")
        for number in [1, 3, 9] as [UInt] {
            t.expect(iommufd.request(.checkExtension, number), .value(1), "\(number)")
        }
        t.expect(iommufd.request(.checkExtension, 4), .errno(.noDevice), "4 depends on the devices")
        for number in [0, 2, 5, 6, 7, 10, 77] as [UInt] {
            t.expect(iommufd.request(.checkExtension, number), .value(0), "\(number)")
        }
        t.note(iommufd.request(.checkExtension, 8), "8: groups without an IOMMU")
    },
    Case("F.7", "with a group, extension 4 is about its devices", on: .compat) { t in
        let bench = try t.compat()
        t.note(bench.container.request(.checkExtension, 4), "DMA is coherent with caches")
        t.expect(bench.container.request(.checkExtension, 10), .value(0), "10: addresses can't be replaced")
    },
    Case("F.7", "without an address space, a container's requests have no device", on: .compat) { t in
        let iommufd = try t.open(.iommu)
        for kind in [1, 3] as [UInt] {
            t.expect(iommufd.request(.setIOMMU, kind), .errno(.noDevice), "SET_IOMMU \(kind)")
        }
        t.expect(iommufd.request(.iommuGetInfo, IOMMUType1Info()), .errno(.noDevice), "GET_INFO")
        let memory = try t.memory(pages: 1)
        t.expect(
            iommufd.request(
                .iommuMapDMA, DMAMap(flags: [.read], vaddr: memory.vaddr, iova: 0x1000, size: memory.size)),
            .errno(.noDevice), "MAP_DMA")
        t.expect(
            iommufd.request(.iommuUnmapDMA, DMAUnmap(iova: 0, size: 0x1000)), .errno(.noDevice), "UNMAP_DMA")
    },
    Case("F.7", "SET_IOMMU takes the kinds of type 1, as often as asked", on: .compat) { t in
        let bench = try t.compat()
        for kind in [0, 2, 4, 6, 8, 9, 77] as [UInt] {
            t.expect(bench.container.request(.setIOMMU, kind), .errno(.invalid), "\(kind)")
        }
        for kind in [3, 3, 1, 3, 1] as [UInt] {
            t.expect(bench.container.request(.setIOMMU, kind), .success, "\(kind)")
        }
    },
    Case("F.7", "requests that aren't a container's any more", on: .compat) { t in
        let bench = try t.compat()
        t.expect(
            bench.container.request(.iommuDirtyPages, DirtyBitmap(argsz: 8, flags: .start)),
            .errno(.noSuchRequest), "DIRTY_PAGES")
        for index in [3, 4, 11, 15, 16, 63] as [UInt8] {
            t.expect(
                bench.container.request(Request(index: index)), .errno(.noSuchRequest), "request \(index)")
        }
    },
    Case("F.7", "SET_CONTAINER makes an address space, one for all groups", on: .compat) { t in
        let iommufd = try t.open(.iommu)
        let first = try t.open(t.edu.groupNode)
        let second = try t.open(t.nvme.groupNode)
        t.expect(t.put(first, into: iommufd), .success, "the first group")
        var get = VFIOCompatibilityIOAS(operation: .get)
        t.expect(iommufd.request(.iommufdVFIOIOAS, &get), .success, "VFIO_IOAS GET")
        t.expect(get.ioasID, equals: 1, "its id")
        t.expect(t.put(second, into: iommufd), .success, "the second group")
        t.expect(try t.allocate(in: iommufd), equals: 2, "the next id")
        t.expect(t.put(first, into: iommufd), .errno(.invalid), "the first again")
        t.expect(t.status(of: first), equals: "3", "GET_STATUS")
    },
    Case("F.7", "GET_DEVICE_FD works before SET_IOMMU", on: .compat) { t in
        let iommufd = try t.open(.iommu)
        let group = try t.open(t.edu.groupNode)
        t.expect(t.put(group, into: iommufd), .success, "SET_CONTAINER")
        t.expect(t.getDevice(try t.edu.name, from: group).answer, .descriptor, "GET_DEVICE_FD")
        t.expect(iommufd.request(.setIOMMU, 3), .success, "SET_IOMMU afterwards")
    },
    Case("F.7", "GET_DEVICE_FD needs the address space", on: .compat) { t in
        let iommufd = try t.open(.iommu)
        let group = try t.open(t.edu.groupNode)
        t.expect(t.put(group, into: iommufd), .success, "SET_CONTAINER")
        t.expect(
            iommufd.request(.iommufdVFIOIOAS, VFIOCompatibilityIOAS(operation: .clear)), .success, "CLEAR")
        t.expect(t.getDevice(try t.edu.name, from: group).answer, .errno(.noDevice), "GET_DEVICE_FD")
        let set = VFIOCompatibilityIOAS(ioasID: 1, operation: .set)
        t.expect(iommufd.request(.iommufdVFIOIOAS, set), .success, "SET")
        t.expect(t.getDevice(try t.edu.name, from: group).answer, .descriptor, "GET_DEVICE_FD")
    },
    Case("F.7", "a group may leave while its device is open", on: .compat) { t in
        let setup = try t.setUp(t.edu)
        guard let group = setup.group, let iommufd = setup.iommufd else { throw t.skip("it needs a group") }
        t.expect(group.request(.groupUnsetContainer), .success, "UNSET_CONTAINER")
        t.expect(t.information(from: setup.device), .success, "the device goes on")
        t.expect(t.status(of: group), equals: "0", "GET_STATUS: not viable")
        t.expect(group.request(.groupUnsetContainer), .errno(.invalid), "UNSET_CONTAINER again")
        setup.device.close()
        t.expect(t.status(of: group), equals: "1", "GET_STATUS after the device was closed")
        t.expect(t.put(group, into: iommufd), .success, "SET_CONTAINER")
    },
    Case("F.7", "an open device has its id in the iommufd", on: .compat) { t in
        let setup = try t.setUp(t.edu)
        guard let iommufd = setup.iommufd else { throw t.skip("it needs an iommufd") }
        t.expect(iommufd.request(.iommufdDestroy, IOMMUFDDestroy(id: 1)), .errno(.busy), "the address space")
        t.expect(iommufd.request(.iommufdDestroy, IOMMUFDDestroy(id: 2)), .errno(.busy), "the device")
        t.expect(iommufd.request(.iommufdDestroy, IOMMUFDDestroy(id: 3)), .errno(.busy), "the page table")
        t.expect(iommufd.request(.iommufdDestroy, IOMMUFDDestroy(id: 4)), .errno(.noSuchEntry), "no more")
        setup.device.close()
        t.expect(iommufd.request(.iommufdDestroy, IOMMUFDDestroy(id: 2)), .errno(.noSuchEntry), "closed")
        t.expect(iommufd.request(.iommufdDestroy, IOMMUFDDestroy(id: 1)), .success, "the address space")
    },
    Case("F.7", "GET_INFO's capabilities: addresses, and mappings without a limit", on: .compat) { t in
        let bench = try t.compat(isOpen: true)
        guard let chain = Type1Chain(bench.container) else { throw Halt.broken("GET_INFO") }
        t.expect(chain.available == .max, "DMA_AVAIL is 0xffffffff")
        t.expect(chain.migration == nil, "no MIGRATION")
        t.expect(chain.ranges.count > 1, "IOVA_RANGE")
        t.expect(
            chain.info.pageSizes & 4095 == 0 && chain.info.pageSizes & 4096 != 0, "page sizes from 4096 on")
        t.expect(chain.info.flags.rawValue, equals: 3, "flags")
    },
    Case("F.7", "GET_INFO before a device is open", on: .compat) { t in
        let bench = try t.compat()
        guard let chain = Type1Chain(bench.container) else { throw Halt.broken("GET_INFO") }
        t.expect(chain.ranges.count, equals: 1, "one range")
        t.expect(chain.ranges.first == 0...(.max), "everything")
        t.note("0x" + String(chain.info.pageSizes, radix: 16), "page sizes")
    },
    Case("F.7", "GET_INFO: sizes", on: .compat) { t in
        let bench = try t.compat()
        t.expect(bench.container.request(.iommuGetInfo), .errno(.badAddress), "no structure")
        for argsz in [0, 15] as [UInt32] {
            t.expect(
                bench.container.request(.iommuGetInfo, IOMMUType1Info(argsz: argsz)), .errno(.invalid),
                "argsz \(argsz)")
        }
        let small = try t.buffer(atEndOfPage: 16)
        small.store(UInt32(16))
        t.expect(bench.container.request(.iommuGetInfo, small), .success, "argsz 16")
        t.expect(small.load(UInt32(0)) > 24, "argsz tells what all of it takes")
        let buffer = try t.buffer(atEndOfPage: 24)
        buffer.store(UInt32(24))
        t.expect(bench.container.request(.iommuGetInfo, buffer), .success, "argsz 24")
        t.expect(buffer.load(IOMMUType1Info()).capabilityOffset, equals: 0, "no room: cap_offset")
        t.expect(buffer.load(IOMMUType1Info()).argsz > 24, "argsz tells what all of it takes")
    },
]
