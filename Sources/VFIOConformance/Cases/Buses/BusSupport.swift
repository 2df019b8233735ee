import LinuxSystem
import VFIOABI
import VFIOHost

/// An open device that isn't a PCI function.
struct OtherDevice {
    let summary: DeviceSummary
    let file: File
    /// The container, or the iommufd in its place; nil for a device's own node.
    let container: File?
    /// The group; nil for a device's own node.
    let group: File?
    /// The iommufd and the address space in it, for a device's own node.
    let space: (iommufd: File, id: UInt32)?

    /// The device's information.
    var info: (answer: Answer, info: DeviceInfo) {
        var info = DeviceInfo(argsz: 16)
        let answer = file.request(.deviceGetInfo, &info)
        return (answer, info)
    }

    /// What is told of an index.
    func interrupt(_ index: UInt32) -> (answer: Answer, info: IRQInfo) {
        file.irqInfo(PCIInterrupt(rawValue: index))
    }

    /// SET_IRQS without data.
    func setIRQs(_ index: UInt32, _ flags: IRQSetFlags, start: UInt32 = 0, count: UInt32 = 1) -> Answer {
        file.setIRQs(PCIInterrupt(rawValue: index), flags, start: start, count: count)
    }

    /// Gives a line its eventfd.
    func setEvent(
        _ index: UInt32, _ number: Int32, _ flags: IRQSetFlags = .events, start: UInt32 = 0
    ) -> Answer {
        file.setIRQs(
            PCIInterrupt(rawValue: index), flags, start: start, count: 1, data: bytes(of: [number]))
    }
}

extension Trial {
    /// The first device of a bus, with a driver of a name, that the run may use.
    /// - Parameter what: for the reason if there is none.
    func other(_ bus: DeviceID.Bus, _ driver: String, _ what: String) throws -> DeviceSummary {
        for summary in try inventory.otherDevices where summary.id.bus == bus {
            if summary.driver?.name == driver, try isFree(summary) { return summary }
        }
        throw skip("it needs \(what), bound to \(driver)")
    }

    /// The device with a name.
    func other(named name: String, on bus: DeviceID.Bus, _ what: String) throws -> DeviceSummary {
        for summary in try inventory.otherDevices where summary.id.bus == bus && summary.id.name == name {
            if summary.driver?.isVFIO == true, try isFree(summary) { return summary }
        }
        throw skip("it needs \(what)")
    }

    private func isFree(_ summary: DeviceSummary) throws -> Bool {
        guard let group = summary.group else { return false }
        return try inventory.blockers(ofGroup: group).isEmpty
    }

    /// Opens a device by the way in of the run, ready for DMA.
    func open(_ summary: DeviceSummary) throws -> OtherDevice {
        if route == .cdev {
            guard let node = summary.deviceNode else { throw skip("\(summary.id) has no node of its own") }
            let iommufd = try open(.iommu)
            let file = try open(.device(node))
            var bind = DeviceBindIOMMUFD(iommufd: iommufd.number)
            try require(file.request(.deviceBindIOMMUFD, &bind), "BIND_IOMMUFD")
            var ioas = IOASAlloc()
            try require(iommufd.request(.ioasAlloc, &ioas), "IOAS_ALLOC")
            var attach = DeviceAttachIOMMUFDPageTable(pageTableID: ioas.ioasID)
            try require(file.request(.deviceAttachIOMMUFD, &attach), "ATTACH_IOMMUFD_PT")
            return OtherDevice(
                summary: summary, file: file, container: nil, group: nil, space: (iommufd, ioas.ioasID))
        }
        let container = try open(route == .compat ? .iommu : .container)
        let group = try open(.group(summary.group ?? -1))
        let answer = group.request(.groupSetContainer, container.number)
        if route == .compat && answer == .errno(.notSupported) {
            throw skip("an iommufd can't take a container's place here")
        }
        try require(answer, "SET_CONTAINER")
        try require(container.request(.setIOMMU, IOMMUType.type1v2.rawValue), "SET_IOMMU")
        let (got, file) = getDevice(summary.id.name, from: group)
        guard let file else { throw Halt.broken("GET_DEVICE_FD: \(got)") }
        return OtherDevice(summary: summary, file: file, container: container, group: group, space: nil)
    }

    /// Maps memory for reading and writing by the device.
    func map(_ memory: UserPages, at iova: UInt64, for device: OtherDevice) throws {
        if let space = device.space {
            var map = IOASMap(
                flags: [.fixedIOVA, .readable, .writeable], ioasID: space.id, userVA: memory.vaddr,
                length: memory.size, iova: iova)
            try require(space.iommufd.request(.ioasMap, &map), "IOAS_MAP")
        } else if let container = device.container {
            var map = DMAMap(flags: [.read, .write], vaddr: memory.vaddr, iova: iova, size: memory.size)
            try require(container.request(.iommuMapDMA, &map), "MAP_DMA")
        }
    }
}

/// G: devices of other buses than PCI.
let busCases: [Case] = [platformCases, platformLineCases, cdxCases, managementCases, channelCases].flatMap {
    $0
}

/// The ways in for devices behind an IOMMU.
let protectedRoutes: Routes = [.group, .compat, .cdev]
