import LinuxSystem
import VFIOABI
import VFIOHost

/// A device that is open, with all that it took, by the way in of the run.
struct Setup {
    /// What was opened.
    let record: DeviceRecord
    /// The container, or the iommufd in its place; nil for a device's own node.
    let container: File?
    /// The group; nil for a device's own node.
    let group: File?
    /// The iommufd, where there is one.
    let iommufd: File?
    /// The id of the address space in the iommufd that the device is attached to; nil elsewhere.
    let ioas: UInt32?
    /// The device.
    let device: File
}

/// A group in a container, without a device open.
struct Attached {
    /// The container, or the iommufd in its place.
    let container: File
    /// The group.
    let group: File
}

extension Trial {
    /// Opens a device by the way in of the run, ready for DMA.
    func setUp(_ record: DeviceRecord) throws -> Setup {
        if route == .cdev { return try setUpNode(record) }
        let attached = try attach(record)
        let (answer, device) = getDevice(record.name, from: attached.group)
        guard let device else { throw Halt.broken("GET_DEVICE_FD: \(answer)") }
        return Setup(
            record: record, container: attached.container, group: attached.group,
            iommufd: route == .compat ? attached.container : nil, ioas: nil, device: device)
    }

    /// Opens a group, puts it into a new container (or an iommufd) and chooses the IOMMU.
    /// - Parameter iommu: the kind; nil for the usual one of the way in.
    func attach(_ record: DeviceRecord, iommu: IOMMUType? = nil) throws -> Attached {
        try attach(toGroup: record.groupNode, iommu: iommu)
    }

    /// The same for a group's node.
    func attach(toGroup node: Node, iommu: IOMMUType? = nil) throws -> Attached {
        let container = try open(route == .compat ? .iommu : .container)
        let group = try open(node)
        let answer = group.request(.groupSetContainer, container.number)
        if route == .compat && answer == .errno(.notSupported) {
            throw Halt.skipped("an iommufd can't take a container's place here")
        }
        try require(answer, "SET_CONTAINER")
        let kind = iommu ?? (route == .noIOMMU ? .noIOMMU : .type1v2)
        try require(container.request(.setIOMMU, kind.rawValue), "SET_IOMMU")
        return Attached(container: container, group: group)
    }

    private func setUpNode(_ record: DeviceRecord) throws -> Setup {
        guard let node = record.deviceNode else {
            throw Halt.skipped("\(record.name) has no node below /dev/vfio/devices")
        }
        let (iommufd, ioas, device) = try setUpNode(at: node)
        return Setup(
            record: record, container: nil, group: nil, iommufd: iommufd, ioas: ioas, device: device)
    }

    /// Opens a device's own node, ready for DMA.
    func setUpNode(at node: Int) throws -> (iommufd: File, ioas: UInt32, device: File) {
        let iommufd = try open(.iommu)
        let device = try open(.device(node))
        var bind = DeviceBindIOMMUFD(iommufd: iommufd.number)
        try require(device.request(.deviceBindIOMMUFD, &bind), "BIND_IOMMUFD")
        var ioas = IOASAlloc()
        try require(iommufd.request(.ioasAlloc, &ioas), "IOAS_ALLOC")
        var attach = DeviceAttachIOMMUFDPageTable(pageTableID: ioas.ioasID)
        try require(device.request(.deviceAttachIOMMUFD, &attach), "ATTACH_IOMMUFD_PT")
        return (iommufd, ioas.ioasID, device)
    }

    /// Opens a device's own node, which is of no use until it is bound.
    func openNode(of record: DeviceRecord) throws -> File {
        guard let node = record.deviceNode else {
            throw Halt.skipped("\(record.name) has no node below /dev/vfio/devices")
        }
        return try open(.device(node))
    }

    /// Maps memory for reading and writing by the device.
    func map(_ memory: UserPages, at iova: UInt64, for setup: Setup) throws {
        if let ioas = setup.ioas, let iommufd = setup.iommufd {
            var map = IOASMap(
                flags: [.fixedIOVA, .readable, .writeable], ioasID: ioas, userVA: memory.vaddr,
                length: memory.size, iova: iova)
            try require(iommufd.request(.ioasMap, &map), "IOAS_MAP")
        } else if let container = setup.container {
            var map = DMAMap(flags: [.read, .write], vaddr: memory.vaddr, iova: iova, size: memory.size)
            try require(container.request(.iommuMapDMA, &map), "MAP_DMA")
        }
    }
}
