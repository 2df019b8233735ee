import LinuxSystem
import VFIOABI
import VFIOHost

/// An iommufd with one address space, memory to map, and short ways to do it.
struct SpaceBench {
    let iommufd: File
    let ioas: UInt32
    let memory: UserPages

    /// The page size.
    var page: UInt64 { UInt64(pageSize) }

    /// IOAS_MAP with a structure.
    func map(_ request: IOASMap) -> Answer { iommufd.request(.ioasMap, request) }

    /// IOAS_MAP of bytes of the bench's memory at an address.
    func map(
        _ iova: UInt64, bytes: UInt64? = nil, from first: UInt64 = 0,
        _ flags: IOASMapFlags = [.fixedIOVA, .readable, .writeable]
    ) -> Answer {
        map(
            IOASMap(
                flags: flags, ioasID: ioas, userVA: memory.vaddr + first, length: bytes ?? page, iova: iova))
    }

    /// IOAS_MAP anywhere: the address that was chosen, or nil.
    func mapAnywhere(bytes: UInt64, from first: UInt64 = 0) -> (answer: Answer, iova: UInt64) {
        var request = IOASMap(
            flags: [.readable, .writeable], ioasID: ioas, userVA: memory.vaddr + first, length: bytes,
            iova: 0x1234_5678)
        let answer = iommufd.request(.ioasMap, &request)
        return (answer, request.iova)
    }

    /// IOAS_UNMAP in one text: the length that came back, or the errno.
    func unmapped(_ iova: UInt64, bytes: UInt64) -> String {
        var request = IOASUnmap(ioasID: ioas, iova: iova, length: bytes)
        let answer = iommufd.request(.ioasUnmap, &request)
        return answer == .success ? "\(request.length) bytes" : "\(answer)"
    }

    /// IOAS_IOVA_RANGES with room for so many: the answer, and the structure and ranges afterwards.
    func ranges(room: Int) -> (answer: Answer, request: IOASIOVARanges, ranges: [IOASIOVARange]) {
        guard let buffer = try? UserBuffer(byteCount: max(room, 1) * 16, atEndOfPage: true) else {
            return (.errno(.noMemory), IOASIOVARanges(), [])
        }
        var request = IOASIOVARanges(
            ioasID: ioas, rangeCount: UInt32(room), ranges: UInt64(buffer.address.rawValue))
        let answer = iommufd.request(.ioasIOVARanges, &request)
        let count = min(room, Int(request.rangeCount))
        return (answer, request, (0..<count).map { buffer.load(IOASIOVARange(), at: $0 * 16) })
    }

    /// IOAS_ALLOW_IOVAS
    func allow(_ ranges: [IOASIOVARange]) -> Answer {
        guard let buffer = try? UserBuffer(byteCount: max(1, ranges.count) * 16, atEndOfPage: true) else {
            return .errno(.noMemory)
        }
        for (index, range) in ranges.enumerated() { buffer.store(range, at: index * 16) }
        return iommufd.request(
            .ioasAllowIOVAs,
            IOASAllowIOVAs(
                ioasID: ioas, rangeCount: UInt32(ranges.count), ranges: UInt64(buffer.address.rawValue)))
    }

    /// DESTROY
    func destroy(_ id: UInt32) -> Answer { iommufd.request(.iommufdDestroy, IOMMUFDDestroy(id: id)) }
}

extension Trial {
    /// IOAS_ALLOC
    func allocate(in iommufd: File) throws -> UInt32 {
        var request = IOASAlloc()
        try require(iommufd.request(.ioasAlloc, &request), "IOAS_ALLOC")
        return request.ioasID
    }

    /// A new iommufd with an address space that no device is attached to.
    func space(pages: Int = 8) throws -> SpaceBench {
        let iommufd = try open(.iommu)
        return SpaceBench(
            iommufd: iommufd, ioas: try allocate(in: iommufd), memory: try memory(pages: pages))
    }

    /// A device that is bound and attached, and its address space.
    func attachedSpace(pages: Int = 8) throws -> (setup: Setup, bench: SpaceBench) {
        let setup = try setUp(edu)
        guard let iommufd = setup.iommufd, let ioas = setup.ioas else { throw skip("it needs an iommufd") }
        return (setup, SpaceBench(iommufd: iommufd, ioas: ioas, memory: try memory(pages: pages)))
    }

    /// A device's own node, and what BIND_IOMMUFD made of it.
    func bound(_ record: DeviceRecord, to iommufd: File) throws -> (device: File, id: UInt32) {
        let device = try openNode(of: record)
        var bind = DeviceBindIOMMUFD(iommufd: iommufd.number)
        try require(device.request(.deviceBindIOMMUFD, &bind), "BIND_IOMMUFD")
        return (device, bind.deviceID)
    }

    /// An iommufd in a container's place with a group in it, ready for mapping as a container is.
    /// - Parameter isOpen: whether the device is opened, too: only then is there a page table.
    func compat(_ kind: IOMMUType = .type1v2, isOpen: Bool = false) throws -> DMABench {
        let attached = try attach(edu, iommu: kind)
        if isOpen {
            let (answer, _) = getDevice(try edu.name, from: attached.group)
            guard answer == .descriptor else { throw Halt.broken("GET_DEVICE_FD: \(answer)") }
        }
        return DMABench(
            container: attached.container, group: attached.group, memory: try memory(pages: 8))
    }
}

extension Trial {
    /// What the inventory says of a device now.
    func listed(_ record: DeviceRecord) throws -> DeviceRecord {
        try inventory.devices.first { $0.address == record.address } ?? record
    }
}

extension File {
    /// ATTACH_IOMMUFD_PT: the answer, and the id that came back.
    func attach(to id: UInt32) -> (answer: Answer, id: UInt32) {
        var request = DeviceAttachIOMMUFDPageTable(pageTableID: id)
        let answer = self.request(.deviceAttachIOMMUFD, &request)
        return (answer, request.pageTableID)
    }

    /// DETACH_IOMMUFD_PT
    func detach() -> Answer { request(.deviceDetachIOMMUFD, DeviceDetachIOMMUFDPageTable()) }
}
