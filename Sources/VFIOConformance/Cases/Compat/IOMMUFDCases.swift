import LinuxSystem
import VFIOABI
import VFIOHost

/// F.1: sizes of structures, ids, and what keeps what alive.
let iommufdCases: [Case] = [
    Case("F.1", "a structure's size is read before anything else", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        for (request, least, label) in leastSizes {
            t.expect(iommufd.request(request, 0), .errno(.badAddress), "\(label) without a structure")
            let buffer = try t.buffer(atEndOfPage: 4)
            buffer.store(least - 1)
            t.expect(iommufd.request(request, buffer), .errno(.invalid), "\(label) with \(least - 1) bytes")
        }
    },
    Case("F.1", "a structure that ends where its page ends is read as far as it says", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        let buffer = try t.buffer(atEndOfPage: 12)
        buffer.store(UInt32(12))
        t.expect(iommufd.request(.ioasAlloc, buffer), .success, "12 bytes")
        buffer.store(UInt32(16))
        t.expect(iommufd.request(.ioasAlloc, buffer), .errno(.badAddress), "4 more bytes that aren't there")
        let short = try t.buffer(atEndOfPage: 8)
        short.store(UInt32(12))
        t.expect(iommufd.request(.ioasAlloc, short), .errno(.badAddress), "12 bytes, 8 there")
    },
    Case("F.1", "structures of later kernels are fine as long as they end in zeros", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        let buffer = try t.buffer(8192)
        buffer.store(UInt32(8192))
        t.expect(iommufd.request(.ioasAlloc, buffer), .success, "8192 bytes, zeros")
        for place in [12, 13, 4096, 8191] {
            buffer.store(UInt8(1), at: place)
            t.expect(iommufd.request(.ioasAlloc, buffer), .errno(.tooBig), "a bit at \(place)")
            buffer.store(UInt8(0), at: place)
        }
    },
    Case("F.1", "what a short structure leaves out is zero", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        let alloc = try t.buffer(atEndOfPage: 24)
        alloc.store(UInt32(24))
        t.expect(iommufd.request(.hwptAlloc, alloc), .errno(.noSuchEntry), "HWPT_ALLOC: device 0")
        let info = try t.buffer(atEndOfPage: 32)
        info.store(UInt32(32))
        t.expect(iommufd.request(.iommufdGetHWInfo, info), .errno(.noSuchEntry), "GET_HW_INFO: device 0")
    },
    Case("F.1", "requests that nobody knows", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        for number in [0, 0x63, 0x7f, 0xc0, 0xff] as [UInt8] {
            t.expect(
                iommufd.request(Request(type: 0x3b, number: number)), .errno(.noSuchRequest), "\(number)")
        }
        for number in [0x95, 0x96, 0x9f] as [UInt8] {
            // Whether the size is read first depends on the kernel: one built for self-tests knows 0xa0, and has a
            // table with holes.
            t.expect(
                iommufd.request(Request(type: 0x3b, number: number), IOASAlloc()), .errno(.noSuchRequest),
                "\(number), with a structure")
        }
        t.expect(
            iommufd.request(Request(rawValue: 0x3c81)), .errno(.badAddress), "another type, no structure")
        let alloc = IOASAlloc()
        t.expect(
            iommufd.request(Request(rawValue: 0x3c81), alloc), .errno(.noSuchRequest), "another type")
        t.expect(
            iommufd.request(Request(rawValue: 0xc00c_3b81), alloc), .errno(.noSuchRequest),
            "the number with a size and directions")
        var short = IOASAlloc(size: 1)
        t.expect(
            iommufd.request(Request(rawValue: 0xc00c_3b81), &short), .errno(.noSuchRequest),
            "this comes before the size")
    },
    Case("F.1", "ids count from 1, and one that is free again is the next", on: .cdev) { t in
        let bench = try t.space()
        t.expect(bench.ioas, equals: 1, "first")
        t.expect(try t.allocate(in: bench.iommufd), equals: 2, "second")
        t.expect(try t.allocate(in: bench.iommufd), equals: 3, "third")
        t.expect(bench.destroy(2), .success, "DESTROY 2")
        t.expect(try t.allocate(in: bench.iommufd), equals: 2, "the next")
        t.expect(try t.allocate(in: bench.iommufd), equals: 4, "and the one after it")
    },
    Case("F.1", "each iommufd has ids of its own", on: .cdev) { t in
        let first = try t.space()
        _ = try t.allocate(in: first.iommufd)
        let second = try t.space()
        t.expect(second.ioas, equals: 1, "first id of the second")
        t.expect(second.destroy(2), .errno(.noSuchEntry), "2 is the other's")
    },
    Case("F.1", "ids that nobody has", on: .cdev) { t in
        let bench = try t.space()
        for id in [0, 2, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, .max] as [UInt32] {
            t.expect(bench.destroy(id), .errno(.noSuchEntry), "DESTROY \(id)")
        }
    },
    Case("F.1", "an id of another kind is as good as none", on: .cdev) { t in
        let bench = try t.space()
        let (device, id) = try t.bound(t.edu, to: bench.iommufd)
        let table = device.attach(to: bench.ioas).id
        for (id, label) in [(id, "a device"), (table, "a page table")] {
            var ranges = IOASIOVARanges(ioasID: id)
            t.expect(
                bench.iommufd.request(.ioasIOVARanges, &ranges), .errno(.noSuchEntry),
                "IOVA_RANGES of \(label)")
            t.expect(
                bench.iommufd.request(.ioasUnmap, IOASUnmap(ioasID: id, length: .max)),
                .errno(.noSuchEntry), "UNMAP in \(label)")
        }
        t.expect(
            bench.iommufd.request(.iommufdGetHWInfo, HWInfo(deviceID: bench.ioas)), .errno(.noSuchEntry),
            "GET_HW_INFO of an address space")
    },
    Case("F.1", "an iommufd can't be read, written or mapped", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        t.expect(iommufd.read(at: 0, count: 4).answer, .errno(.invalid), "read")
        t.expect(iommufd.write(at: 0, [0, 0, 0, 0]), .errno(.invalid), "write")
        t.expect(iommufd.map(at: 0, byteCount: pageSize).answer, .errno(.noSuchAddress), "mmap")
    },
    Case("F.1", "an answer that can't be written leaves nothing behind", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        let pages = try t.memory(pages: 1)
        pages.window.store32(0, 12)
        try pages.protect([.read])
        t.expect(iommufd.request(.ioasAlloc, UInt(pages.vaddr)), .errno(.badAddress), "IOAS_ALLOC, read-only")
        t.expect(try t.allocate(in: iommufd), equals: 1, "the next id")
    },
    Case("F.1", "what is in use can't be destroyed", on: .cdev) { t in
        let bench = try t.space()
        let (device, id) = try t.bound(t.edu, to: bench.iommufd)
        t.expect(bench.destroy(id), .errno(.busy), "a bound device")
        let table = device.attach(to: bench.ioas).id
        t.expect(bench.destroy(bench.ioas), .errno(.busy), "an address space with a device")
        t.expect(bench.destroy(table), .errno(.busy), "its page table")
        t.expect(device.detach(), .success, "DETACH")
        t.expect(bench.destroy(table), .errno(.noSuchEntry), "the page table, afterwards")
        t.expect(bench.destroy(bench.ioas), .success, "the address space")
        t.expect(bench.destroy(id), .errno(.busy), "the device")
    },
    Case("F.1", "an address space goes with its mappings", on: .cdev) { t in
        let bench = try t.space()
        t.expect(bench.map(0x10000), .success, "MAP")
        t.expect(bench.destroy(bench.ioas), .success, "DESTROY")
        t.expect(bench.unmapped(0x10000, bytes: bench.page), equals: "ENOENT", "UNMAP")
        t.expect(try t.allocate(in: bench.iommufd), equals: bench.ioas, "its id for a new one")
        t.expect(bench.unmapped(0x10000, bytes: bench.page), equals: "ENOENT", "UNMAP in the new one")
    },
    Case("F.1", "a device keeps its iommufd and what is mapped there", on: .cdev) { t in
        let (setup, bench) = try t.attachedSpace()
        t.expect(bench.map(0x10000), .success, "MAP")
        bench.iommufd.close()
        t.expect(try setup.eduCopies(bench.memory, at: 0x10000, by: t), "DMA after the iommufd was closed")
        t.expect(setup.device.detach(), .success, "DETACH")
        t.expect(setup.device.attach(to: bench.ioas).answer, .success, "and ATTACH again")
    },
    Case("F.1", "closing a device's node takes its id back", on: .cdev) { t in
        let bench = try t.space()
        let (device, id) = try t.bound(t.edu, to: bench.iommufd)
        let table = device.attach(to: bench.ioas).id
        device.close()
        t.expect(bench.destroy(id), .errno(.noSuchEntry), "the device's id")
        t.expect(bench.destroy(table), .errno(.noSuchEntry), "the page table's id")
        t.expect(bench.destroy(bench.ioas), .success, "the address space can go")
        t.expect(try t.bound(t.edu, to: bench.iommufd).id, equals: 1, "bound again, with the lowest id")
    },
]

/// The smallest sizes that requests take.
private let leastSizes: [(Request, UInt32, String)] = [
    (.iommufdDestroy, 8, "DESTROY"), (.ioasAlloc, 12, "IOAS_ALLOC"), (.ioasAllowIOVAs, 24, "ALLOW_IOVAS"),
    (.ioasCopy, 40, "COPY"), (.ioasIOVARanges, 32, "IOVA_RANGES"), (.ioasMap, 40, "MAP"),
    (.ioasUnmap, 24, "UNMAP"), (.iommufdOption, 24, "OPTION"), (.iommufdVFIOIOAS, 12, "VFIO_IOAS"),
    (.hwptAlloc, 24, "HWPT_ALLOC"), (.iommufdGetHWInfo, 32, "GET_HW_INFO"),
    (.hwptSetDirtyTracking, 16, "SET_DIRTY_TRACKING"), (.hwptGetDirtyBitmap, 48, "GET_DIRTY_BITMAP"),
    (.ioasMapFile, 40, "MAP_FILE"), (.ioasChangeProcess, 8, "CHANGE_PROCESS"),
    (.faultQueueAlloc, 16, "FAULT_QUEUE_ALLOC"), (.hwptInvalidate, 32, "HWPT_INVALIDATE"),
    (.viommuAlloc, 24, "VIOMMU_ALLOC"), (.vdeviceAlloc, 24, "VDEVICE_ALLOC"),
    (.veventQueueAlloc, 28, "VEVENTQ_ALLOC"), (.hwQueueAlloc, 40, "HW_QUEUE_ALLOC"),
]
