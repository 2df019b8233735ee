import LinuxSystem
import VFIOABI
import VFIOHost

/// The open node of a group (kernel.md A.4). There is one at a time for each group.
///
/// Held by its descriptor and by every open device of the group, so that a device goes on working after
/// everything else has been closed.
final class GroupFile: FileObject {
    let core: Core
    let group: Group

    init(_ core: Core, _ group: Group) {
        self.core = core
        self.group = group
    }

    /// Opens a group's node. With `Core.lock` held.
    static func open(_ group: Group, _ core: Core) throws(Errno) -> GroupFile {
        if group.isUnprotected && !core.process.mayUseUnprotectedGroups { throw .notPermitted }
        if group.boundDeviceCount > 0 { throw .busy }
        if group.openedFile != nil { throw .busy }
        let file = GroupFile(core, group)
        group.openedFile = file
        return file
    }

    override func release() {
        let iommufd = core.lock.withLock { () -> IOMMUFD? in
            group.leaveContainer()
            group.openedFile = nil
            return group.iommufd.take()
        }
        iommufd?.letGo()
    }

    func control(_ request: Request, _ argument: UInt) throws(Errno) -> Int32 {
        switch request {
        case .groupGetStatus: try getStatus(HostAddress(rawValue: argument))
        case .groupSetContainer: try setContainer(HostAddress(rawValue: argument))
        case .groupUnsetContainer:
            let iommufd = try core.lock.withLock { () throws(Errno) in try unsetContainer() }
            iommufd?.letGo()
        case .groupGetDeviceFD: return try getDevice(HostAddress(rawValue: argument))
        default: throw .noSuchRequest
        }
        return 0
    }

    private func getStatus(_ address: HostAddress) throws(Errno) {
        var status = try UserMemory.load(GroupStatus(), from: address)
        guard status.argsz >= 8 else { throw .invalid }
        status.flags = try core.lock.withLock { () throws(Errno) -> GroupFlags in
            if group.isGone { throw .noDevice }
            if group.isAttached { return [.viable, .containerSet] }
            return group.home.isFree ? .viable : []
        }
        try UserMemory.store(status, to: address)
    }

    private func setContainer(_ address: HostAddress) throws(Errno) {
        let number = try UserMemory.load(Int32(0), from: address)
        let file: OpenFile
        do throws(Errno) {
            file = try core.files.hold(number)
        } catch {
            // A descriptor of somebody else's is open, but of the wrong kind.
            guard UserDescriptor.isOpen(number) else { throw .badDescriptor }
            try core.lock.withLock { () throws(Errno) in try checkUnattached() }
            throw .wrongDescriptorKind
        }
        defer { file.object.letGo() }
        try core.lock.withLock { () throws(Errno) in
            try checkUnattached()
            switch file {
            case .container(let container): try group.enter(container, core.process)
            case .iommufd(let iommufd):
                try iommufd.becomeContainer(of: group)
                iommufd.hold()
                group.iommufd = iommufd
            case .group, .device, .migration, .plane, .dmaBuf, .faultQueue: throw .wrongDescriptorKind
            }
        }
    }

    /// What comes before the question which container is meant.
    private func checkUnattached() throws(Errno) {
        if group.isAttached { throw .invalid }
        if group.isGone { throw .noDevice }
    }

    /// - Returns: an iommufd, of which the caller lets go without the lock. Linux doesn't mind that devices are
    ///   open through it.
    private func unsetContainer() throws(Errno) -> IOMMUFD? {
        if let iommufd = group.iommufd.take() { return iommufd }
        guard group.container != nil else { throw .invalid }
        guard group.containerUsers == 1 else { throw .busy }
        group.leaveContainer()
        return nil
    }

    // MARK: external users (kernel.md A.10)

    /// Somebody relies on the group's IOMMU. The caller's hold on the file goes over to that user.
    func addExternalUser() throws(Errno) {
        try core.lock.withLock { () throws(Errno) in
            guard let container = group.container else { throw .invalid }
            if group.isUnprotected { throw .notPermitted }
            if case .none = container.driver { throw .invalid }
            group.containerUsers += 1
        }
    }

    /// Somebody doesn't rely on it any more, and lets go of the file.
    func removeExternalUser() {
        // A group that is gone was taken out of its container whoever relied on it.
        core.lock.withLock { if !group.isGone { group.containerUsers -= 1 } }
        letGo()
    }

    /// `VFIO_CHECK_EXTENSION` of the container; 0 without one.
    func checkExtension(_ number: Extension) -> Int32 {
        core.lock.withLock { group.container?.checkExtension(number) ?? 0 }
    }

    /// Whether the IOMMU makes the DMA of all devices coherent.
    var enforcesCoherency: Bool {
        core.lock.withLock { group.devices.isEmpty || core.iommu.enforcesCoherency }
    }

    /// Whether a device belongs to the group, and a VFIO driver has it.
    func has(_ address: PCIAddress) -> Bool {
        core.lock.withLock { group.devices.contains { $0.address == address } }
    }

    // MARK: devices

    /// GET_DEVICE_FD (kernel.md A.6).
    private func getDevice(_ address: HostAddress) throws(Errno) -> Int32 {
        let name = try UserString.load(from: address, limit: pageSize)
        let (device, bus) = try core.lock.withLock {
            () throws(Errno) -> (MachineDevice, any BusDriver) in
            for device in group.devices where !device.isLeaving && device.faults.presence != .vanished {
                guard let bus = device.bus else { continue }
                if device.pci != nil {
                    guard let match = try DeviceName.match(name, device.name) else { continue }
                    try core.admit(match.token, to: device)
                } else if !name.elementsEqual(device.name) {
                    // Only vfio-pci takes options.
                    continue
                }
                // Keeps the driver from being unbound until there is a file, or an error.
                device.fileCount += 1
                return (device, bus)
            }
            throw .noDevice
        }
        do throws(Errno) {
            return try core.files.install { () throws(Errno) -> OpenFile in
                try device.openLock.withLock { () throws(Errno) in try openDevice(device, bus) }
                return .device(DeviceFile(core, device, bus, throughGroup: group))
            }
        } catch {
            core.letGo(of: device)
            throw error
        }
    }

    /// Grants access to a device, and opens it if it is the first. With the device's `openLock` held.
    private func openDevice(_ device: MachineDevice, _ bus: any BusDriver) throws(Errno) {
        if try openThroughIOMMUFD(device, bus) { return }
        let isFirst = try core.lock.withLock { () throws(Errno) -> Bool in
            guard let container = group.container else { throw .invalid }
            guard device.openCount == 0 else {
                device.openCount += 1
                return false
            }
            if case .none = container.driver { throw .invalid }
            if group.isUnprotected && !core.process.mayUseUnprotectedGroups { throw .notPermitted }
            // From here on the container can't be unset, and the group's file stays open.
            hold()
            device.groupFile = self
            group.containerUsers += 1
            device.openCount = 1
            device.startEmulatedDMA(of: group)
            return true
        }
        guard isFirst else { return }
        if let dma = device.emulatedDMA { dma.client?.connectDMA(dma) }
        do throws(Errno) {
            try device.openFirst(bus, core)
        } catch {
            device.endEmulatedDMA()
            core.lock.withLock {
                device.openCount = 0
                group.containerUsers -= 1
                device.groupFile = nil
            }
            letGo()
            throw error
        }
    }
}
