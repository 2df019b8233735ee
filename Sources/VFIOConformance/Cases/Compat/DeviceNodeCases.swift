import LinuxSystem
import VFIOABI
import VFIOHost

/// A.7: a device's node that nobody has bound.
let unboundNodeCases: [Case] = [
    Case("A.7", "a node that isn't bound refuses all requests but one", on: .cdev) { t in
        let device = try t.openNode(of: t.edu)
        for (request, label) in [
            (.deviceGetInfo, "GET_INFO"), (.deviceGetRegionInfo, "GET_REGION_INFO"), (.deviceReset, "RESET"),
            (.deviceFeature, "FEATURE"), (.deviceAttachIOMMUFD, "ATTACH"), (.deviceDetachIOMMUFD, "DETACH"),
            (.deviceSetIRQs, "SET_IRQS"), (Request(index: 99), "VFIO's request 99"),
            (Request(rawValue: 0x1234), "an unknown request"),
        ] as [(Request, String)] {
            t.expect(device.request(request), .errno(.invalid), label)
        }
    },
    Case("A.7", "a node that isn't bound can't be read, written or mapped", on: .cdev) { t in
        let device = try t.openNode(of: t.edu)
        t.expect(device.read(at: 0, count: 4).answer, .errno(.invalid), "read")
        t.expect(device.write(at: 0, [0, 0, 0, 0]), .errno(.invalid), "write")
        t.expect(device.map(at: 0, byteCount: pageSize).answer, .errno(.invalid), "mmap")
        t.expect(device.read(at: UInt64(7) << 40, count: 4).answer, .errno(.invalid), "configuration space")
    },
    Case("A.7", "a node may be open many times, and only the bound handle is of use", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        let idle = try t.openNode(of: t.edu)
        let (device, _) = try t.bound(t.edu, to: iommufd)
        let late = try t.openNode(of: t.edu)
        t.expect(t.information(from: device), .success, "the bound one")
        t.expect(t.information(from: idle), .errno(.invalid), "one from before")
        t.expect(t.information(from: late), .errno(.invalid), "one from afterwards")
        device.close()
        t.expect(t.information(from: idle), .errno(.invalid), "and still after the bound one was closed")
    },
]

/// F.2: BIND.
let bindCases: [Case] = [
    Case("F.2", "BIND looks at the structure first", on: .cdev) { t in
        let device = try t.openNode(of: t.edu)
        t.expect(device.request(.deviceBindIOMMUFD), .errno(.badAddress), "no structure")
        let short = try t.buffer(atEndOfPage: 12)
        short.store(UInt32(12))
        t.expect(
            device.request(.deviceBindIOMMUFD, short), .errno(.invalid), "argsz 12, of which all is there")
        short.store(UInt32(16))
        t.expect(device.request(.deviceBindIOMMUFD, short), .errno(.badAddress), "argsz 16, 12 there")
        let tiny = try t.buffer(atEndOfPage: 4)
        tiny.store(UInt32(15))
        t.expect(device.request(.deviceBindIOMMUFD, tiny), .errno(.invalid), "argsz 15, 4 there")
        for argsz in [0, 8, 15] as [UInt32] {
            t.expect(
                device.request(
                    .deviceBindIOMMUFD, DeviceBindIOMMUFD(argsz: argsz, flags: .init(rawValue: ~0))),
                .errno(.invalid), "argsz \(argsz)")
        }
        let long = try t.buffer(atEndOfPage: 32)
        long.store(DeviceBindIOMMUFD(argsz: 32, flags: .init(rawValue: ~0)))
        t.expect(
            device.request(.deviceBindIOMMUFD, long), .errno(.invalid), "argsz 32, zeros: on to the flags")
        long.store(UInt8(1), at: 31)
        t.expect(device.request(.deviceBindIOMMUFD, long), .errno(.tooBig), "argsz 32, a bit at the end")
        long.store(UInt32(64))
        long.store(UInt8(0), at: 31)
        t.expect(device.request(.deviceBindIOMMUFD, long), .errno(.badAddress), "argsz 64, half of it there")
    },
    Case("F.2", "BIND wants flags it knows and a number that could be a descriptor", on: .cdev) { t in
        let device = try t.openNode(of: t.edu)
        let iommufd = try t.open(.iommu)
        for flags in [2, 4, 1 << 31, 3] as [UInt32] {
            t.expect(
                device.request(
                    .deviceBindIOMMUFD,
                    DeviceBindIOMMUFD(flags: .init(rawValue: flags), iommufd: iommufd.number)),
                .errno(.invalid), "flags \(flags)")
        }
        for number in [-1, -2, .min] as [Int32] {
            t.expect(
                device.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: number)), .errno(.invalid),
                "iommufd \(number)")
        }
    },
    Case("F.2", "BIND wants an iommufd", on: .cdev) { t in
        let device = try t.openNode(of: t.edu)
        let container = try t.open(.container)
        for (number, errno, label) in [
            (0x7fff_ffff, .badDescriptor, "a number of no descriptor"),
            (container.number, .wrongDescriptorKind, "a container"),
            (device.number, .wrongDescriptorKind, "the device itself"),
        ] as [(Int32, Errno, String)] {
            t.expect(
                device.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: number)), .errno(errno), label)
        }
        let iommufd = try t.open(.iommu)
        t.expect(
            device.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: iommufd.number)), .success,
            "and takes it after all that")
    },
    Case("F.2", "BIND tells the id and nothing else", on: .cdev) { t in
        let device = try t.openNode(of: t.edu)
        let bench = try t.space()
        var bind = DeviceBindIOMMUFD(iommufd: bench.iommufd.number, deviceID: 77, tokenUUID: 0x55)
        t.expect(device.request(.deviceBindIOMMUFD, &bind), .success, "BIND")
        t.expect(bind.deviceID, equals: 2, "out_devid, behind the address space's")
        t.expect(bind.argsz, equals: 24, "argsz")
        t.expect(bind.tokenUUID, equals: 0x55, "token_uuid_ptr")
    },
    Case("F.2", "16 bytes are enough for BIND", on: .cdev) { t in
        let device = try t.openNode(of: t.edu)
        let iommufd = try t.open(.iommu)
        let buffer = try t.buffer(atEndOfPage: 16)
        buffer.store(UInt32(16))
        buffer.store(iommufd.number, at: 8)
        t.expect(device.request(.deviceBindIOMMUFD, buffer), .success, "BIND")
        t.expect(buffer.load(UInt32(0), at: 12), equals: 1, "out_devid")
    },
    Case("F.2", "a handle is bound once", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        let (device, _) = try t.bound(t.edu, to: iommufd)
        t.expect(
            device.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: iommufd.number)),
            .errno(.invalid), "again")
        t.expect(
            device.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: 0x7fff_ffff)), .errno(.invalid),
            "again, before the descriptor is looked at")
    },
    Case("F.2", "a device is bound once", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        let (device, _) = try t.bound(t.edu, to: iommufd)
        let second = try t.openNode(of: t.edu)
        let other = try t.open(.iommu)
        t.expect(
            second.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: iommufd.number)), .errno(.invalid),
            "by another handle, to the same iommufd")
        t.expect(
            second.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: other.number)), .errno(.invalid),
            "to another one")
        t.expect(
            second.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: 0x7fff_ffff)),
            .errno(.badDescriptor), "to nothing: that comes first")
        device.close()
        t.expect(
            second.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: other.number)), .success,
            "once the first is closed")
    },
    Case("F.2", "a token is for virtual functions and what has them", on: .cdev) { t in
        let device = try t.openNode(of: t.edu)
        let iommufd = try t.open(.iommu)
        let token = try t.buffer(atEndOfPage: 16)
        var bind = DeviceBindIOMMUFD(
            flags: .token, iommufd: iommufd.number, tokenUUID: UInt64(token.address.rawValue))
        t.expect(device.request(.deviceBindIOMMUFD, bind), .errno(.invalid), "a token for a plain device")
        bind.tokenUUID += 1
        t.expect(device.request(.deviceBindIOMMUFD, bind), .errno(.badAddress), "a token, half of it there")
        bind.tokenUUID = 0
        t.expect(device.request(.deviceBindIOMMUFD, bind), .errno(.badAddress), "no token")
        bind.argsz = 16
        bind.tokenUUID = UInt64(token.address.rawValue)
        t.expect(device.request(.deviceBindIOMMUFD, bind), .errno(.badAddress), "argsz 16: its address is 0")
        bind = DeviceBindIOMMUFD(flags: .token, iommufd: 0x7fff_ffff)
        t.expect(device.request(.deviceBindIOMMUFD, bind), .errno(.badAddress), "all before the descriptor")
    },
    Case("F.2", "an open group keeps its devices from being bound", on: .cdev) { t in
        let device = try t.openNode(of: t.edu)
        let iommufd = try t.open(.iommu)
        let group = try t.open(t.edu.groupNode)
        for (number, label) in [(iommufd.number, "an iommufd"), (0x7fff_ffff, "nothing: that comes later")] {
            t.expect(
                device.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: number)), .errno(.busy), label)
        }
        group.close()
        t.expect(
            device.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: iommufd.number)), .success,
            "after the group was closed")
    },
    Case("F.2", "a bound device keeps its group from being opened", on: .cdev) { t in
        let iommufd = try t.open(.iommu)
        let idle = try t.openNode(of: t.edu)
        t.expect(t.opening(try t.edu.groupNode), .descriptor, "with a handle that isn't bound")
        let (device, _) = try t.bound(t.edu, to: iommufd)
        t.expect(t.opening(try t.edu.groupNode), .errno(.busy), "bound")
        device.close()
        t.expect(t.opening(try t.edu.groupNode), .descriptor, "closed again")
        idle.close()
    },
    Case("F.2", "two devices of a group can't belong to two iommufds", on: .cdev) { t in
        let (record, other) = try t.neighbours
        try t.lend(other, to: "vfio-pci")
        let (first, second) = (try t.open(.iommu), try t.open(.iommu))
        _ = try t.bound(record, to: first)
        let node = try t.openNode(of: t.listed(other))
        t.expect(
            node.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: second.number)),
            .errno(.notPermitted),
            "to another")
        t.expect(
            node.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: first.number)), .success,
            "to the same")
    },
]
