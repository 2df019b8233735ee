import LinuxSystem
import VFIOABI
import VFIOHost

extension Routes {
    /// The ways in through a container that is a container.
    static let containers: Routes = [.group, .noIOMMU]
    /// The ways in through a group.
    static let groups: Routes = [.group, .compat, .noIOMMU]
}

extension Trial {
    /// What the way in has for a container.
    var containerNode: Node { route == .compat ? .iommu : .container }

    /// The kind of IOMMU that the way in takes.
    var usualIOMMU: UInt { (route == .noIOMMU ? IOMMUType.noIOMMU : IOMMUType.type1v2).rawValue }

    /// Two devices in groups of their own.
    var twoDevices: (DeviceRecord, DeviceRecord) {
        get throws {
            let first = try edu
            return (
                first,
                try device("a second device, in another group") {
                    $0.group != first.group && $0.address != first.address
                }
            )
        }
    }

    /// A device whose group has another PCI device that the run may move between drivers, and that device.
    var neighbours: (device: DeviceRecord, other: DeviceRecord) {
        get throws {
            let inventory = try inventory
            for device in inventory.devices where device.driver?.name == "vfio-pci" && !device.isUnprotected {
                let others = inventory.devices.filter {
                    $0.group == device.group && $0.address != device.address && $0.classCode >> 16 != 6
                }
                if let other = others.first { return (device, other) }
            }
            throw skip("it needs a group of two devices")
        }
    }

    /// GET_STATUS's flags, or its errno.
    func status(of group: File) -> String {
        var status = GroupStatus()
        let answer = group.request(.groupGetStatus, &status)
        return answer == .success ? "\(status.flags.rawValue)" : "\(answer)"
    }

    /// SET_CONTAINER.
    func put(_ group: File, into container: File) -> Answer {
        group.request(.groupSetContainer, container.number)
    }

    /// Whether a node can be opened: "a descriptor", or the errno.
    func isOpen(_ record: DeviceRecord) -> Answer { opening(record.groupNode) }

    /// Whether a device answers through a handle.
    func information(from device: File) -> Answer { device.request(.deviceGetInfo, DeviceInfo()) }

    /// Where a region begins in the device's offsets, and its description.
    func region(_ index: PCIRegion, of device: File) throws -> RegionInfo {
        var info = RegionInfo(index: index.rawValue)
        try require(device.request(.deviceGetRegionInfo, &info), "GET_REGION_INFO \(index.rawValue)")
        return info
    }

    /// Opens a device that has memory which may be mapped; the rest of `body` is about it.
    /// - Returns: the setup, and where in the handle's offsets a page can be mapped.
    func setUpMappable() throws -> (setup: Setup, offset: UInt64) {
        for record in try devices {
            let setup = try setUp(record)
            for index in UInt32(0)..<6 {
                let info = try region(PCIRegion(rawValue: index), of: setup.device)
                if info.flags.isSuperset(of: [.mmap]), info.size >= UInt64(pageSize), info.argsz == 32 {
                    let (answer, window) = setup.device.map(at: info.offset, byteCount: pageSize)
                    if answer == .success, let window {
                        setup.device.unmap(window)
                        return (setup, info.offset)
                    }
                }
            }
            closeAll()
        }
        throw skip("it needs a device with memory that can be mapped")
    }
}

extension Setup {
    /// Whether DMA of an edu device reaches memory: it reads four bytes at an address and writes them to the
    /// address 256 bytes on.
    func eduCopies(_ memory: UserPages, at iova: UInt32, by trial: Trial) throws -> Bool {
        let value = UInt32(truncatingIfNeeded: Clock.now) | 1
        memory.window.store32(0, value)
        memory.window.store32(256, 0)
        try eduCopy(from: iova, to: iova + 256, by: trial)
        return memory.window.load32(256) == value
    }

    /// Lets an edu device read four bytes of memory and write them elsewhere.
    func eduCopy(from first: UInt32, to second: UInt32, by trial: Trial) throws {
        let configuration = try trial.region(.config, of: device).offset
        let registers = try trial.region(.bar0, of: device).offset
        let command = try device.load(UInt16.self, at: configuration + 4)
        device.store(command | 6, at: configuration + 4)
        for (source, target, order) in [(first, 0x40000, 1), (0x40000, second, 3)]
            as [(UInt32, UInt32, UInt32)]
        {
            device.store(source, at: registers + 0x80)
            device.store(target, at: registers + 0x88)
            device.store(UInt32(4), at: registers + 0x90)
            device.store(order, at: registers + 0x98)
            let deadline = Clock.moment(inMilliseconds: 5000)
            while try device.load(UInt32.self, at: registers + 0x98) & 1 != 0 {
                guard Clock.now < deadline else { throw Halt.broken("edu's DMA doesn't end") }
                Clock.sleep(nanoseconds: 1_000_000)
            }
        }
    }
}
