import LinuxSystem
import VFIOABI
import VFIOHost

/// A.7: what may be asked of a device's file, by the way in which it was opened.
let accessCases: [Case] = [
    Case(
        "A.7", "a device's own node answers nothing before it is bound, not even to a bad address", on: .cdev
    ) { t in
        let device = try t.openNode(of: t.edu)
        for (name, request) in deviceRequests { t.expect(device.request(request), .errno(.invalid), name) }
        t.expect(device.request(Request(rawValue: 0x3bff)), .errno(.invalid), "an unknown request")
    },
    Case("A.7", "a device's own node can't be attached or detached before it is bound", on: .cdev) { t in
        let device = try t.openNode(of: t.edu)
        t.expect(device.request(.deviceAttachIOMMUFD), .errno(.invalid), "ATTACH_IOMMUFD_PT")
        t.expect(device.request(.deviceDetachIOMMUFD), .errno(.invalid), "DETACH_IOMMUFD_PT")
    },
    Case(
        "A.7", "a device that was opened through its group has no page tables of its own",
        on: [.group, .compat, .noIOMMU]
    ) { t in
        let device = try t.openEdu().device
        t.expect(device.request(.deviceAttachIOMMUFD), .errno(.noSuchRequest), "ATTACH_IOMMUFD_PT")
        t.expect(device.request(.deviceDetachIOMMUFD), .errno(.noSuchRequest), "DETACH_IOMMUFD_PT")
    },
    Case(
        "A.7", "a device refuses requests that it doesn't know, and those of containers and groups", on: .all
    ) { t in
        let device = try t.openEdu().device
        for (name, request) in [
            ("an unknown request", Request(rawValue: 0x3bff)), ("request 0", Request(rawValue: 0)),
            ("GET_API_VERSION", .getAPIVersion), ("GROUP_GET_STATUS", .groupGetStatus),
            ("QUERY_GFX_PLANE", Request(rawValue: 0x3b64 + 14)),
        ] {
            t.expect(device.request(request), .errno(.noSuchRequest), name)
        }
    },
    Case(
        "A.7", "the requests of a device with a structure are EFAULT for an address where nothing is",
        on: .all
    ) { t in
        let device = try t.openEdu().device
        for (name, request) in deviceRequests where request != .deviceReset {
            t.expect(device.request(request), .errno(.badAddress), name)
        }
    },
    Case(
        "A.7", "a device that was opened through its group can't be bound to an iommufd",
        on: [.group, .compat]
    ) {
        t in
        let edu = try t.openEdu()
        let hasNodes = edu.setup.record.deviceNode != nil
        let reason = "the kernel has no nodes of devices"
        let iommufd = hasNodes ? try t.open(.iommu).number : -1
        t.expect(
            edu.device.request(.deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: iommufd)), .errno(.invalid),
            "BIND_IOMMUFD", .when(!hasNodes, .errno(.noSuchRequest), reason))
        t.expect(
            edu.device.request(.deviceBindIOMMUFD), .errno(.badAddress), "BIND_IOMMUFD with a bad address",
            .when(!hasNodes, .errno(.noSuchRequest), reason))
    },
]

private let deviceRequests: [(String, Request)] = [
    ("GET_INFO", .deviceGetInfo), ("GET_REGION_INFO", .deviceGetRegionInfo),
    ("GET_IRQ_INFO", .deviceGetIRQInfo), ("SET_IRQS", .deviceSetIRQs), ("RESET", .deviceReset),
    ("FEATURE", .deviceFeature),
]
