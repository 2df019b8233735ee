import LinuxSystem
import VFIOABI
import VFIOHost

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
