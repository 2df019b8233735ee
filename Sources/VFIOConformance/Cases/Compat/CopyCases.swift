import LinuxSystem
import VFIOABI
import VFIOHost

/// F.3: COPY.
let copyCases: [Case] = [
    Case("F.3", "COPY: the order of checks", on: .cdev) { t in
        let bench = try t.space()
        t.expect(bench.map(0x10000), .success, "MAP")
        func expect(_ errno: Errno, _ label: String, _ copy: IOASCopy) {
            t.expect(bench.iommufd.request(.ioasCopy, copy), .errno(errno), label)
        }
        let id = bench.ioas
        expect(.notSupported, "unknown flags", IOASCopy(flags: .init(rawValue: 8), length: .max))
        expect(.overflow, "the greatest length", IOASCopy(flags: .fixedIOVA, length: .max))
        expect(.overflow, "the last address", IOASCopy(flags: .fixedIOVA, destinationIOVA: .max))
        expect(.invalid, "neither reading nor writing", IOASCopy(flags: .fixedIOVA, sourceIOASID: 99))
        expect(.noSuchEntry, "no source", IOASCopy(flags: .readable, sourceIOASID: 99))
        expect(
            .invalid, "nothing to copy", IOASCopy(flags: .readable, destinationIOASID: 99, sourceIOASID: id))
        expect(
            .overflow, "a source that wraps",
            IOASCopy(
                flags: .readable, destinationIOASID: 99, sourceIOASID: id, length: 0x2000, sourceIOVA: .max))
        expect(
            .noSuchEntry, "a hole in the source",
            IOASCopy(
                flags: .readable, destinationIOASID: id, sourceIOASID: id, length: 0x2000, sourceIOVA: 0x10000
            ))
        expect(
            .noSuchEntry, "no destination",
            IOASCopy(
                flags: .readable, destinationIOASID: 99, sourceIOASID: id, length: 0x1000, sourceIOVA: 0x10000
            ))
        expect(
            .exists, "a destination that is taken",
            IOASCopy(
                flags: [.fixedIOVA, .readable], destinationIOASID: id, sourceIOASID: id, length: 0x1000,
                destinationIOVA: 0x10000, sourceIOVA: 0x10000))
    },
    Case("F.3", "COPY maps the same memory elsewhere", on: .cdev) { t in
        let (setup, bench) = try t.attachedSpace()
        let other = SpaceBench(
            iommufd: bench.iommufd, ioas: try t.allocate(in: bench.iommufd), memory: bench.memory)
        t.expect(other.map(0x10000), .success, "MAP in another address space")
        let copy = IOASCopy(
            flags: [.fixedIOVA, .readable, .writeable], destinationIOASID: bench.ioas,
            sourceIOASID: other.ioas, length: bench.page, destinationIOVA: 0x40000, sourceIOVA: 0x10000)
        t.expect(bench.iommufd.request(.ioasCopy, copy), .success, "COPY to the device's")
        t.expect(other.unmapped(0x10000, bytes: bench.page), equals: "4096 bytes", "UNMAP the source")
        t.expect(try setup.eduCopies(bench.memory, at: 0x40000, by: t), "DMA by the copy")
        t.expect(bench.unmapped(0x40000, bytes: bench.page), equals: "4096 bytes", "UNMAP the copy")
    },
    Case("F.3", "COPY takes parts of mappings, and neighbours together", on: .cdev) { t in
        let bench = try t.space()
        t.expect(bench.map(0x10000, bytes: 0x2000), .success, "two pages")
        t.expect(bench.map(0x12000, bytes: 0x2000, from: 0x4000), .success, "two more behind them")
        var copy = IOASCopy(
            flags: [.fixedIOVA, .readable], destinationIOASID: bench.ioas, sourceIOASID: bench.ioas,
            length: 0x2000, destinationIOVA: 0x40000, sourceIOVA: 0x11000)
        t.expect(bench.iommufd.request(.ioasCopy, copy), .success, "COPY of half of each")
        t.expect(bench.unmapped(0x40000, bytes: 0x1000), equals: "4096 bytes", "UNMAP one half")
        t.expect(bench.unmapped(0x41000, bytes: 0x1000), equals: "4096 bytes", "UNMAP the other")
        copy.flags = .readable
        t.expect(bench.iommufd.request(.ioasCopy, &copy), .success, "COPY anywhere")
        t.expect(copy.destinationIOVA != 0x40000, "an address was chosen")
        t.expect(bench.unmapped(copy.destinationIOVA, bytes: 0x2000), equals: "8192 bytes", "UNMAP there")
    },
    Case("F.3", "COPY doesn't make memory writable, but may have been less than it", on: .cdev) { t in
        let bench = try t.space()
        t.expect(bench.map(0x10000, [.fixedIOVA, .readable]), .success, "MAP for reading")
        t.expect(bench.map(0x20000), .success, "MAP for both")
        func copy(_ from: UInt64, to: UInt64, _ flags: IOASMapFlags) -> Answer {
            bench.iommufd.request(
                .ioasCopy,
                IOASCopy(
                    flags: flags.union(.fixedIOVA), destinationIOASID: bench.ioas, sourceIOASID: bench.ioas,
                    length: 0x1000, destinationIOVA: to, sourceIOVA: from))
        }
        t.expect(copy(0x10000, to: 0x30000, .writeable), .errno(.notPermitted), "the first for writing")
        t.expect(copy(0x10000, to: 0x20000, .writeable), .errno(.exists), "to a place that is taken")
        t.expect(copy(0x20000, to: 0x30000, .readable), .success, "the second for reading")
        t.expect(copy(0x30000, to: 0x40000, .writeable), .success, "and that one for writing")
    },
]

/// F.3: VFIO_IOAS.
let chosenSpaceCases: [Case] = [
    Case("F.3", "VFIO_IOAS: none until one is chosen", on: .cdev) { t in
        let bench = try t.space()
        var request = VFIOCompatibilityIOAS(operation: .get)
        t.expect(bench.iommufd.request(.iommufdVFIOIOAS, &request), .errno(.noDevice), "GET")
        request = VFIOCompatibilityIOAS(ioasID: 99, operation: .set)
        t.expect(bench.iommufd.request(.iommufdVFIOIOAS, request), .errno(.noSuchEntry), "SET to nothing")
        request.ioasID = bench.ioas
        t.expect(bench.iommufd.request(.iommufdVFIOIOAS, request), .success, "SET")
        request = VFIOCompatibilityIOAS(operation: .get)
        t.expect(bench.iommufd.request(.iommufdVFIOIOAS, &request), .success, "GET")
        t.expect(request.ioasID, equals: bench.ioas, "the id")
        t.expect(
            bench.iommufd.request(.iommufdVFIOIOAS, VFIOCompatibilityIOAS(operation: .clear)), .success,
            "CLEAR")
        t.expect(
            bench.iommufd.request(.iommufdVFIOIOAS, VFIOCompatibilityIOAS(operation: .clear)), .success,
            "CLEAR again")
        t.expect(bench.iommufd.request(.iommufdVFIOIOAS, &request), .errno(.noDevice), "GET")
    },
    Case("F.3", "VFIO_IOAS: what isn't known", on: .cdev) { t in
        let bench = try t.space()
        t.expect(
            bench.iommufd.request(
                .iommufdVFIOIOAS, VFIOCompatibilityIOAS(operation: .clear, reserved: 1)),
            .errno(.notSupported), "reserved")
        t.expect(
            bench.iommufd.request(
                .iommufdVFIOIOAS, VFIOCompatibilityIOAS(operation: .init(rawValue: 3))),
            .errno(.notSupported), "an operation")
    },
    Case("F.3", "the address space that was chosen can be destroyed", on: .cdev) { t in
        let bench = try t.space()
        let set = VFIOCompatibilityIOAS(ioasID: bench.ioas, operation: .set)
        t.expect(bench.iommufd.request(.iommufdVFIOIOAS, set), .success, "SET")
        t.expect(bench.destroy(bench.ioas), .success, "DESTROY")
        var get = VFIOCompatibilityIOAS(operation: .get)
        t.expect(bench.iommufd.request(.iommufdVFIOIOAS, &get), .errno(.noDevice), "GET")
    },
    Case("F.3", "a group takes the address space that was chosen for it", on: .compat) { t in
        let bench = try t.space()
        let mine = try t.allocate(in: bench.iommufd)
        let set = VFIOCompatibilityIOAS(ioasID: mine, operation: .set)
        t.expect(bench.iommufd.request(.iommufdVFIOIOAS, set), .success, "SET")
        let group = try t.open(t.edu.groupNode)
        t.expect(t.put(group, into: bench.iommufd), .success, "SET_CONTAINER")
        var get = VFIOCompatibilityIOAS(operation: .get)
        t.expect(bench.iommufd.request(.iommufdVFIOIOAS, &get), .success, "GET")
        t.expect(get.ioasID, equals: mine, "the id")
        t.expect(t.getDevice(try t.edu.name, from: group).answer, .descriptor, "GET_DEVICE_FD")
        t.expect(bench.destroy(mine), .errno(.busy), "DESTROY, with the device attached")
        t.expect(bench.destroy(bench.ioas), .success, "DESTROY the other")
    },
]

/// F.4 and F.6: page tables of a user's own, and what the IOMMU is.
let pageTableCases: [Case] = [
    Case("F.4", "HWPT_ALLOC: the order of checks", on: .cdev) { t in
        let bench = try t.space()
        let (_, id) = try t.bound(t.edu, to: bench.iommufd)
        let unknown = HWPTAllocFlags(rawValue: 1 << 31)
        for (request, errno, label) in [
            (HWPTAlloc(reserved: 1, dataLength: 1), .notSupported, "reserved first"),
            (HWPTAlloc(dataLength: 1), .invalid, "data of no kind"),
            (HWPTAlloc(dataType: .vtdStage1), .invalid, "a kind without data"),
            (HWPTAlloc(flags: unknown, deviceID: 99), .noSuchEntry, "no device"),
            (HWPTAlloc(flags: unknown, deviceID: bench.ioas), .noSuchEntry, "an address space for a device"),
            (HWPTAlloc(flags: unknown, deviceID: id, pageTableID: 99), .invalid, "nothing to make it of"),
            (
                HWPTAlloc(flags: unknown, deviceID: id, pageTableID: bench.ioas), .notSupported,
                "unknown flags"
            ),
        ] as [(HWPTAlloc, Errno, String)] {
            t.expect(bench.iommufd.request(.hwptAlloc, request), .errno(errno), label)
        }
    },
    Case("F.4", "SET_DIRTY_TRACKING and GET_DIRTY_BITMAP want a page table", on: .cdev) { t in
        let (_, bench) = try t.attachedSpace()
        t.expect(
            bench.iommufd.request(
                .hwptSetDirtyTracking, HWPTSetDirtyTracking(flags: .init(rawValue: 2), hwptID: 99)),
            .errno(.notSupported), "SET: unknown flags first")
        t.expect(
            bench.iommufd.request(.hwptSetDirtyTracking, HWPTSetDirtyTracking(hwptID: bench.ioas)),
            .errno(.noSuchEntry), "SET for an address space")
        t.expect(
            bench.iommufd.request(
                .hwptGetDirtyBitmap, HWPTGetDirtyBitmap(hwptID: 99, flags: .init(rawValue: 2))),
            .errno(.notSupported), "GET: unknown flags first")
        t.expect(
            bench.iommufd.request(.hwptGetDirtyBitmap, HWPTGetDirtyBitmap(hwptID: bench.ioas)),
            .errno(.noSuchEntry), "GET of an address space")
    },
    Case("F.6", "GET_HW_INFO: the order of checks", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        t.expect(
            iommufd.request(.iommufdGetHWInfo, HWInfo(flags: .init(rawValue: 2), deviceID: 99)),
            .errno(.notSupported), "unknown flags")
        t.expect(
            iommufd.request(.iommufdGetHWInfo, HWInfo(deviceID: 99)), .errno(.noSuchEntry), "no device")
    },
]
