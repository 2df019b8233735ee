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
        for index in [3, 4, 11, 15, 16, 60] as [UInt8] {
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

/// F.7: MAP_DMA on an iommufd.
let compatMapCases: [Case] = [
    Case("F.7", "MAP_DMA: the order of checks", on: .compat) { t in
        let iommufd = try t.open(.iommu)
        t.expect(iommufd.request(.iommuMapDMA), .errno(.badAddress), "no structure")
        t.expect(iommufd.request(.iommuMapDMA, DMAMap(argsz: 31)), .errno(.invalid), "argsz 31")
        for flags in [4, 8, 1 << 31] as [UInt32] {
            t.expect(
                iommufd.request(.iommuMapDMA, DMAMap(flags: .init(rawValue: flags))), .errno(.invalid),
                "flags \(flags), before the address space")
        }
        t.expect(iommufd.request(.iommuMapDMA, DMAMap()), .errno(.noDevice), "no address space")
    },
    Case("F.7", "MAP_DMA has an iommufd's errors", on: .compat) { t in
        let bench = try t.compat()
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: bench.memory.vaddr, iova: 0x1000)), .errno(.invalid),
            "size 0")
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: .max, iova: 0x1000, size: 0x1000)), .errno(.overflow),
            "memory that wraps")
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: bench.memory.vaddr, iova: .max - 4095, size: 0x2000)),
            .errno(.overflow), "addresses that wrap")
        t.expect(bench.map(0x10000, pages: 2), .success, "two pages")
        t.expect(bench.map(0x11000), .errno(.exists), "over them")
    },
    Case("F.7", "MAP_DMA for neither reading nor writing works until a device is open", on: .compat) { t in
        let bench = try t.compat()
        t.expect(bench.map(0x10000, []), .success, "before")
        t.expect(bench.unmapped(0x10000, pages: 1), equals: "1 pages", "UNMAP_DMA")
    },
    Case("F.7", "MAP_DMA locks memory once a device is open", on: .compat) { t in
        let bench = try t.compat()
        let nothing = DMAMap(flags: .read, vaddr: 0x1000, iova: 0x10000, size: bench.page)
        t.expect(bench.map(nothing), .success, "memory that isn't there, before")
        let name = try t.edu.name
        t.expect(t.getDevice(name, from: bench.group).answer, .errno(.badAddress), "GET_DEVICE_FD")
        t.expect(bench.unmapped(0x10000, pages: 1), equals: "1 pages", "UNMAP_DMA")
        t.expect(t.getDevice(name, from: bench.group).answer, .descriptor, "GET_DEVICE_FD")
        t.expect(bench.map(nothing), .errno(.badAddress), "memory that isn't there, with it")
    },
    Case("F.7", "MAP_DMA's unit is a byte until a device is open", on: .compat) { t in
        let bench = try t.compat()
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: bench.memory.vaddr, iova: 0x10001, size: 1)), .success,
            "a byte")
        let name = try t.edu.name
        t.expect(t.getDevice(name, from: bench.group).answer, .errno(.addressInUse), "GET_DEVICE_FD")
        t.expect(bench.unmap(0x10001, size: 1).answer, .success, "UNMAP_DMA")
        t.expect(t.getDevice(name, from: bench.group).answer, .descriptor, "GET_DEVICE_FD")
        t.expect(
            bench.map(DMAMap(flags: .read, vaddr: bench.memory.vaddr, iova: 0x10001, size: 1)),
            .errno(.invalid), "a byte, with it")
    },
    Case("F.7", "what is mapped before the device is open is there for it", on: .compat) { t in
        let attached = try t.attach(t.edu)
        let memory = try t.memory(pages: 1)
        t.expect(
            attached.container.request(
                .iommuMapDMA,
                DMAMap(flags: [.read, .write], vaddr: memory.vaddr, iova: 0x10000, size: memory.size)),
            .success, "MAP_DMA")
        let (answer, device) = t.getDevice(try t.edu.name, from: attached.group)
        t.expect(answer, .descriptor, "GET_DEVICE_FD")
        guard let device else { return }
        let setup = Setup(
            record: try t.edu, container: attached.container, group: attached.group,
            iommufd: attached.container, ioas: nil, device: device)
        t.expect(try setup.eduCopies(memory, at: 0x10000, by: t), "DMA")
    },
    Case("F.7", "a device's memory can't be mapped for DMA", on: .compat) { t in
        let (setup, offset) = try t.setUpMappable()
        let (answer, window) = setup.device.map(at: offset, byteCount: pageSize)
        t.expect(answer, .success, "mmap")
        guard let window, let container = setup.container else { return }
        t.expect(
            container.request(
                .iommuMapDMA,
                DMAMap(
                    flags: .read, vaddr: UInt64(window.address.rawValue), iova: 0x10000, size: 4096)),
            .errno(.badAddress), "MAP_DMA")
        setup.device.unmap(window)
    },
]

/// F.7: UNMAP_DMA on an iommufd.
let compatUnmapCases: [Case] = [
    Case("F.7", "UNMAP_DMA: the order of checks", on: .compat) { t in
        let iommufd = try t.open(.iommu)
        t.expect(iommufd.request(.iommuUnmapDMA), .errno(.badAddress), "no structure")
        t.expect(iommufd.request(.iommuUnmapDMA, DMAUnmap(argsz: 23)), .errno(.invalid), "argsz 23")
        for flags in [1, 4, 8, 1 << 31] as [UInt32] {
            t.expect(
                iommufd.request(.iommuUnmapDMA, DMAUnmap(flags: .init(rawValue: flags))), .errno(.invalid),
                "flags \(flags), before the address space")
        }
        t.expect(iommufd.request(.iommuUnmapDMA, DMAUnmap()), .errno(.noDevice), "no address space")
    },
    Case("F.7", "UNMAP_DMA of nothing is fine", on: .compat) { t in
        let bench = try t.compat()
        t.expect(bench.unmapped(0x10000, pages: 1), equals: "0 pages", "nothing is mapped")
        t.expect(bench.unmapped(0, pages: 0, .all), equals: "0 pages", "all of it")
        t.expect(bench.unmap(0x10000, size: 0).answer, .errno(.invalid), "size 0")
    },
    Case("F.7", "UNMAP_DMA of all takes neither address nor size", on: .compat) { t in
        let bench = try t.compat()
        t.expect(bench.map(0x10000, pages: 3), .success, "MAP_DMA")
        for (iova, size) in [(0x1000, 0), (0, 0x1000), (0, .max)] as [(UInt64, UInt64)] {
            let (answer, written) = bench.unmap(iova, size: size, .all)
            t.expect(answer, .errno(.invalid), "\(iova), \(size)")
            t.expect(written, equals: size, "size is left as it is")
        }
        t.expect(bench.unmapped(0, pages: 0, .all), equals: "3 pages", "all")
    },
    Case("F.7", "UNMAP_DMA of version 2 doesn't cut, and takes what comes before", on: .compat) { t in
        let bench = try t.compat()
        t.expect(bench.map(0x10000), .success, "a page")
        t.expect(bench.map(0x11000, pages: 2, from: 1), .success, "two behind it")
        let (answer, size) = bench.unmap(0x10000, size: 0x2000)
        t.expect(answer, .errno(.noSuchEntry), "the page and half of the two")
        t.note(size, "the size that comes back")
        t.expect(bench.unmapped(0x10000, pages: 1), equals: "0 pages", "the page has gone")
        t.expect(bench.unmapped(0x11000, pages: 2), equals: "2 pages", "the two have not")
    },
    Case("F.7", "UNMAP_DMA of version 1 cuts", on: .compat) { t in
        let bench = try t.compat(.type1)
        t.expect(bench.map(0x10000, pages: 4), .success, "four pages")
        t.expect(bench.unmapped(0x11000, pages: 1), equals: "1 pages", "the second")
        t.expect(bench.unmapped(0x10000, pages: 4), equals: "3 pages", "the rest")
    },
    Case("F.7", "UNMAP_DMA of version 1 cuts what a device has, too", on: .compat) { t in
        let bench = try t.compat(.type1, isOpen: true)
        t.expect(bench.map(0x10000, pages: 4), .success, "four pages")
        t.expect(bench.unmapped(0xf000, pages: 2), equals: "1 pages", "the first, and what is before it")
        t.expect(bench.unmapped(0x13000, pages: 2), equals: "1 pages", "the last, and what is behind it")
        t.expect(bench.unmapped(0x11000, pages: 2), equals: "2 pages", "the rest")
    },
    Case("F.7", "UNMAP_DMA of version 1 cuts at pages only", on: .compat) { t in
        let bench = try t.compat(.type1)
        t.expect(bench.map(0x10000, pages: 4), .success, "four pages")
        t.expect(bench.unmap(0x10800, size: 0x1000).answer, .errno(.invalid), "in the middle of a page")
        t.expect(bench.unmapped(0x10000, pages: 4), equals: "4 pages", "all is there")
    },
    Case("F.7", "UNMAP_DMA tells size 0 where a range wraps", on: .compat) { t in
        let bench = try t.compat()
        let (answer, size) = bench.unmap(0x2000, size: .max - 0x1000)
        t.expect(answer, .errno(.overflow), "UNMAP_DMA")
        t.expect(size, equals: 0, "the size that comes back")
    },
    Case("F.7", "version 1 can't be chosen while a device may use large pages", on: .compat) { t in
        let bench = try t.compat(isOpen: true)
        t.expect(bench.container.request(.setIOMMU, 1), .success, "nothing is mapped")
        t.expect(bench.map(0x10000), .success, "MAP_DMA")
        t.expect(bench.container.request(.setIOMMU, 1), .success, "it is chosen already")
        let fresh = try t.open(.iommu)
        let group = try t.open(t.nvme.groupNode)
        t.expect(t.put(group, into: fresh), .success, "another group, in another iommufd")
        t.expect(t.getDevice(try t.nvme.name, from: group).answer, .descriptor, "its device")
        t.expect(
            fresh.request(
                .iommuMapDMA,
                DMAMap(flags: .read, vaddr: bench.memory.vaddr, iova: 0x10000, size: bench.page)),
            .success, "MAP_DMA")
        t.expect(fresh.request(.setIOMMU, 1), .errno(.invalid), "SET_IOMMU 1")
        t.expect(fresh.request(.setIOMMU, 3), .success, "SET_IOMMU 3")
    },
]
