import LinuxSystem
import VFIOABI
import VFIOHost

/// A.7: what goes for every open device.
let deviceFileCases: [Case] = [
    Case("A.7", "a device refuses what it doesn't know with ENOTTY", on: .all) { t in
        let device = try t.setUp(t.anyDevice).device
        for (request, label) in [
            (.getAPIVersion, "GET_API_VERSION"), (.checkExtension, "CHECK_EXTENSION"),
            (.setIOMMU, "SET_IOMMU"),
            (.groupGetStatus, "GET_STATUS"), (.groupGetDeviceFD, "GET_DEVICE_FD"),
            (.deviceQueryGFXPlane, "QUERY_GFX_PLANE"), (.migrationGetPrecopyInfo, "MIG_GET_PRECOPY_INFO"),
            (Request(rawValue: 0x1234), "an unknown request"), (Request(index: 99), "VFIO's request 99"),
        ] as [(Request, String)] {
            t.expect(device.request(request), .errno(.noSuchRequest), label)
        }
    },
    Case(
        "A.7", "a device that came through its group can't be bound, attached or detached",
        on: [.group, .compat]
    ) {
        t in
        let setup = try t.setUp(t.anyDevice)
        // A group without an IOMMU gives its devices no nodes, whether the kernel has any or not.
        let hasNodes = try setup.record.deviceNode != nil || t.route == .noIOMMU && t.inventory.hasIOMMUFD
        t.expect(
            setup.device.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: 0)), .errno(.invalid),
            "BIND_IOMMUFD",
            .when(!hasNodes, .errno(.noSuchRequest), "this kernel has no nodes for devices"))
        t.expect(
            setup.device.request(.deviceAttachIOMMUFD, DeviceAttachIOMMUFDPageTable(pageTableID: 1)),
            .errno(.noSuchRequest), "ATTACH_IOMMUFD_PT")
        t.expect(
            setup.device.request(.deviceDetachIOMMUFD, DeviceDetachIOMMUFDPageTable()),
            .errno(.noSuchRequest),
            "DETACH_IOMMUFD_PT")
    },
    Case("A.7", "GET_INFO wants 16 bytes at least", on: .all) { t in
        let device = try t.setUp(t.anyDevice).device
        t.expect(device.request(.deviceGetInfo, 0), .errno(.badAddress), "no address")
        for size in [0, 15] as [UInt32] {
            t.expect(
                device.request(.deviceGetInfo, DeviceInfo(argsz: size)), .errno(.invalid), "argsz \(size)")
        }
        let short = try t.buffer(atEndOfPage: 12)
        short.store(UInt32(0))
        t.expect(device.request(.deviceGetInfo, short), .errno(.badAddress), "12 bytes, argsz 0")
    },
    Case("A.7", "GET_INFO writes what was asked for, and no more", on: .all) { t in
        let device = try t.setUp(t.anyDevice).device
        for (size, written) in [(16, 16), (20, 20), (24, 24), (64, 24)] {
            let buffer = try t.buffer(64)
            buffer.fill(0xaa)
            buffer.store(UInt32(size))
            t.expect(device.request(.deviceGetInfo, buffer), .success, "argsz \(size)")
            t.expect(buffer.load(UInt32(0)), equals: UInt32(size), "argsz \(size) stays")
            let bytes = buffer.bytes
            let end = (bytes.lastIndex { $0 != 0xaa } ?? -1) + 1
            t.expect(
                end, equals: written, "argsz \(size): how far it writes",
                .before(6, 5, value: min(written, 20), "the structure had no padding"))
        }
    },
    Case("A.7", "GET_INFO that can't be written back is a fault", on: .all) { t in
        let device = try t.setUp(t.anyDevice).device
        let buffer = try t.buffer(atEndOfPage: 16)
        buffer.store(UInt32(24))
        t.expect(device.request(.deviceGetInfo, buffer), .errno(.badAddress), "16 bytes, argsz 24")
        buffer.store(UInt32(16))
        t.expect(device.request(.deviceGetInfo, buffer), .success, "16 bytes, argsz 16")
    },
    Case("A.7", "GET_REGION_INFO wants 32 bytes, before the index counts", on: .all) { t in
        let device = try t.setUp(t.anyDevice).device
        t.expect(device.request(.deviceGetRegionInfo, 0), .errno(.badAddress), "no address")
        for size in [0, 31] as [UInt32] {
            t.expect(
                device.request(.deviceGetRegionInfo, RegionInfo(argsz: size, index: 7)), .errno(.invalid),
                "argsz \(size)")
        }
        t.expect(
            device.request(.deviceGetRegionInfo, try t.buffer(atEndOfPage: 24)), .errno(.badAddress),
            "24 bytes, argsz 0")
        let exact = try t.buffer(atEndOfPage: 32)
        exact.store(UInt32(32))
        exact.store(UInt32(7), at: 8)
        t.expect(device.request(.deviceGetRegionInfo, exact), .success, "32 bytes")
    },
    Case("A.7", "GET_REGION_INFO leaves alone what is behind its structure", on: .all) { t in
        let device = try t.setUp(t.anyDevice).device
        let buffer = try t.buffer(96)
        buffer.fill(0xaa)
        buffer.store(UInt32(96))
        buffer.store(UInt32(7), at: 8)
        t.expect(device.request(.deviceGetRegionInfo, buffer), .success, "configuration space, argsz 96")
        t.expect(buffer.load(UInt32(0)), equals: 96, "argsz stays")
        t.expect(buffer.load(UInt32(0), at: 8), equals: 7, "index stays")
        t.expect(
            buffer.load(UInt32(0), at: 12), equals: 0xaaaa_aaaa, "without capabilities cap_offset stays, too")
        t.expect(buffer.bytes[32...].allSatisfy { $0 == 0xaa }, "nothing is written behind 32 bytes")
    },
    Case(
        "A.7", "a region with capabilities says how much room they want, and shows none without it",
        on: .all
    ) { t in
        let (device, index) = try t.regionWithCapabilities()
        var info = RegionInfo(index: index)
        t.expect(device.request(.deviceGetRegionInfo, &info), .success, "argsz 32")
        let wanted = info.argsz
        t.expect(wanted > 32, "argsz says more")
        t.expect(info.flags.contains(.caps) && info.capabilityOffset == 0, "CAPS is set, cap_offset is 0")
        let buffer = try t.buffer(256)
        buffer.fill(0xaa)
        buffer.store(wanted - 1)
        buffer.store(index, at: 8)
        t.expect(device.request(.deviceGetRegionInfo, buffer), .success, "a byte too little")
        t.expect(buffer.load(UInt32(0)) == wanted, "argsz says what is wanted")
        t.expect(buffer.load(UInt32(0), at: 12), equals: 0, "cap_offset")
        t.expect(buffer.bytes[32...].allSatisfy { $0 == 0xaa }, "nothing is written behind 32 bytes")
    },
    Case(
        "A.7", "capabilities are a chain of offsets from the structure's begin, that ends with 0", on: .all
    ) { t in
        let (device, index) = try t.regionWithCapabilities()
        var info = RegionInfo(index: index)
        try t.require(device.request(.deviceGetRegionInfo, &info), "GET_REGION_INFO")
        let wanted = Int(info.argsz)
        let buffer = try t.buffer(atEndOfPage: wanted)
        buffer.store(UInt32(wanted))
        buffer.store(index, at: 8)
        t.expect(device.request(.deviceGetRegionInfo, buffer), .success, "exactly enough room")
        t.expect(buffer.load(UInt32(0)) == UInt32(wanted), "argsz stays")
        t.expect(buffer.load(UInt32(0), at: 12), equals: 32, "cap_offset")
        var offset = 32
        var count = 0
        while offset != 0 && count < 16 {
            t.expect(
                offset % 8 == 0 && offset + 8 <= wanted, "capability \(count) lies inside, at a multiple of 8"
            )
            guard offset + 8 <= wanted else { break }
            let next = Int(buffer.load(UInt32(0), at: offset + 4))
            t.expect(
                next == 0 || next > offset,
                "capability \(count): the next one is further on, or there is none")
            t.expect(buffer.load(UInt16(0), at: offset + 2), equals: 1, "capability \(count): its version")
            offset = next
            count += 1
        }
        t.expect(offset == 0, "the chain ends")
    },
    Case("A.7", "more room than capabilities want is left alone", on: .all) { t in
        let (device, index) = try t.regionWithCapabilities()
        var info = RegionInfo(index: index)
        try t.require(device.request(.deviceGetRegionInfo, &info), "GET_REGION_INFO")
        let wanted = Int(info.argsz)
        let buffer = try t.buffer(wanted + 64)
        buffer.fill(0xaa)
        buffer.store(UInt32(wanted + 64))
        buffer.store(index, at: 8)
        t.expect(device.request(.deviceGetRegionInfo, buffer), .success, "64 bytes more")
        t.expect(buffer.load(UInt32(0)) == UInt32(wanted + 64), "argsz stays")
        t.expect(buffer.bytes[wanted...].allSatisfy { $0 == 0xaa }, "nothing is written behind them")
    },
    Case("A.7", "GET_IRQ_INFO wants 16 bytes, before the index counts, and writes no more", on: .all) { t in
        let device = try t.setUp(t.anyDevice).device
        t.expect(device.request(.deviceGetIRQInfo, 0), .errno(.badAddress), "no address")
        t.expect(
            device.request(.deviceGetIRQInfo, IRQInfo(argsz: 15, index: 0)), .errno(.invalid), "argsz 15")
        t.expect(
            device.request(.deviceGetIRQInfo, try t.buffer(atEndOfPage: 8)), .errno(.badAddress),
            "8 bytes, argsz 0")
        let buffer = try t.buffer(64)
        buffer.fill(0xaa)
        buffer.store(UInt32(64))
        buffer.store(UInt32(4), at: 8)
        t.expect(device.request(.deviceGetIRQInfo, buffer), .success, "argsz 64")
        t.expect(buffer.load(UInt32(0)), equals: 64, "argsz stays")
        t.expect(buffer.bytes[16...].allSatisfy { $0 == 0xaa }, "nothing is written behind 16 bytes")
    },
    Case("A.7", "a device answers everything after its container and its group were closed", on: .groups) {
        t in
        let setup = try t.setUp(t.anyDevice)
        setup.container?.close()
        setup.group?.close()
        let device = setup.device
        t.expect(t.information(from: device), .success, "GET_INFO")
        let region = try t.region(.config, of: device)
        t.expect(
            try device.load(UInt16.self, at: region.offset) == setup.record.vendor,
            "the vendor in configuration space")
        let event = try t.eventfd()
        t.expect(device.request(.deviceSetIRQs, SetEvent(index: 4, event.number)), .success, "SET_IRQS")
        t.expect(device.request(.deviceSetIRQs, SetEvent(index: 4, -1)), .success, "SET_IRQS, back")
    },
    Case("A.7", "every opening begins with no interrupts set", on: .groups) { t in
        let setup = try t.setUp(t.anyDevice)
        guard let group = setup.group else { return }
        let event = try t.eventfd()
        let index: UInt32 = 4
        t.expect(
            setup.device.request(.deviceSetIRQs, SetEvent(index: index, event.number)), .success, "an eventfd"
        )
        t.expect(setup.device.request(.deviceSetIRQs, Trigger(index: index)), .success, "its trigger")
        t.expect(event.isSignalled, "signals it")
        _ = try event.take()
        setup.device.close()
        guard let again = t.getDevice(setup.record.name, from: group).file else {
            throw Halt.broken("opening again")
        }
        t.expect(
            again.request(.deviceSetIRQs, Trigger(index: index)), .errno(.invalid),
            "the trigger after reopening")
        t.expect(!event.isSignalled, "signals nothing")
    },
]

/// `struct vfio_irq_set` with one eventfd.
struct SetEvent: BitwiseCopyable {
    var argsz: UInt32 = 24
    var flags: UInt32 = 4 | 32
    var index: UInt32
    var start: UInt32 = 0
    var count: UInt32 = 1
    var descriptor: Int32

    init(index: UInt32, _ descriptor: Int32) {
        self.index = index
        self.descriptor = descriptor
    }
}

/// `struct vfio_irq_set` that raises an interrupt without data.
private struct Trigger: BitwiseCopyable {
    var argsz: UInt32 = 20
    var flags: UInt32 = 1 | 32
    var index: UInt32
    var start: UInt32 = 0
    var count: UInt32 = 1

    init(index: UInt32) { self.index = index }
}

extension Trial {
    /// An open device and one of its regions that has capabilities.
    fileprivate func regionWithCapabilities() throws -> (File, UInt32) {
        for record in try devices {
            let device = try setUp(record).device
            for index in UInt32(0)..<9 {
                var info = RegionInfo(index: index)
                guard device.request(.deviceGetRegionInfo, &info) == .success else { continue }
                if info.flags.contains(.caps) { return (device, index) }
            }
            closeAll()
        }
        throw skip("it needs a region with capabilities")
    }
}
