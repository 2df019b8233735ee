import LinuxSystem
import VFIOHost
import VFIOABI

/// A device that is bound to an iommufd. Guarded by `Core.lock`.
final class IOMMUFDDevice {
    let iommufd: IOMMUFD
    let device: MachineDevice
    let group: MachineGroup
    private(set) var id: UInt32 = 0
    private var table: PageTable?
    /// What a mediated device is attached to: it needs no page table, its driver looks up what it needs.
    private var access: IOAS?

    /// Binds a device: it gets an id, and its DMA belongs to the iommufd. A mediated device has no DMA of its own.
    /// - Throws: `EINVAL` for an IOMMU that doesn't make DMA coherent, `EPERM` if interrupts can be forged or the
    ///   DMA is somebody else's.
    init(
        _ device: MachineDevice, _ group: MachineGroup, to iommufd: IOMMUFD, _ core: Core
    ) throws(Errno) {
        if !device.isMediated {
            guard core.iommu.enforcesCoherency else { throw .invalid }
            guard core.iommu.hasIsolatedMSI || core.parameters.value.iommufdAllowUnsafeInterrupts else {
                throw .notPermitted
            }
            try group.claim(for: iommufd, shared: true)
        }
        self.iommufd = iommufd
        self.device = device
        self.group = group
    }

    /// The device gets an id.
    func register() -> UInt32 {
        id = iommufd.add(.device(self))
        return id
    }

    /// Undoes everything.
    func unbind() {
        detach()
        iommufd.remove(id)
        if !device.isMediated { group.giveBack() }
    }

    /// VFIO_DEVICE_ATTACH_IOMMUFD_PT: replaces what the device was attached to before.
    /// - Returns: the id of the page table.
    func attach(to id: UInt32) throws(Errno) -> UInt32 {
        if device.isMediated { return try attachAccess(to: id) }
        let new: PageTable
        switch try iommufd.object(id) {
        case .ioas(let ioas): new = ioas.table ?? PageTable(automaticFor: ioas)
        case .table(let table): new = table
        case .device, .faultQueue: throw .invalid
        }
        if table === new { return new.id }
        // A group has one page table: all of its devices move, or this one joins the others.
        if let other = group.table, other !== new, table == nil { throw .invalid }
        // The device's IOMMU can't use such a page table.
        guard new.tracking == nil || group.tracksDirtyPages, new.nested?.isUsable != false,
            new.nested == nil || group.nestsPageTables
        else {
            throw .invalid
        }
        // The device can't ask for pages.
        guard new.faultQueue == nil else { throw .noDevice }
        let old = group.table
        let isNew = new.id == 0
        // Another page table of the same address space: what is reserved for the group stays so.
        let stays = old?.ioas === new.ioas
        if isNew || !stays { try new.ioas.attach(stays ? nil : group, adding: isNew ? new : nil) }
        if isNew {
            new.id = iommufd.add(.table(new))
            new.ioas.table = new
        }
        group.table = new
        if table == nil {
            group.attachedCount += 1
            new.userCount += 1
        } else if let old {
            old.userCount -= group.attachedCount
            new.userCount += group.attachedCount
        }
        table = new
        for member in group.members {
            guard let other = member.binding, other.table != nil else { continue }
            other.table = new
            member.bus?.attach(to: new.space)
        }
        if let old, old !== new {
            if !stays { old.ioas.detach(group) }
            iommufd.drop(old)
        }
        return new.id
    }

    /// The same for a mediated device, which takes address spaces only.
    private func attachAccess(to id: UInt32) throws(Errno) -> UInt32 {
        guard case .ioas(let ioas) = try iommufd.object(id) else { throw .noSuchEntry }
        ioas.accessCount += 1
        access?.accessCount -= 1
        access = ioas
        return id
    }

    /// VFIO_DEVICE_DETACH_IOMMUFD_PT: the device's DMA is blocked.
    func detach() {
        if let access {
            access.accessCount -= 1
            self.access = nil
        }
        guard let table else { return }
        device.bus?.attach(to: nil)
        self.table = nil
        table.userCount -= 1
        group.attachedCount -= 1
        if group.attachedCount == 0 {
            group.table = nil
            table.ioas.detach(group)
        }
        iommufd.drop(table)
    }
}

extension IOMMUFD {
    /// An automatic page table goes with its last user.
    func drop(_ table: PageTable) {
        guard table.isAutomatic, table.userCount == 0 else { return }
        remove(table.id)
        table.ioas.table = nil
        table.ioas.remove(table)
    }
}

// MARK: - requests of a device

extension DeviceFile {
    /// VFIO_DEVICE_BIND_IOMMUFD (kernel.md F.2); the tests are in the kernel's order.
    func bind(_ address: HostAddress) throws(Errno) {
        guard core.hasDeviceNodes else { throw .noSuchRequest }
        let least = DeviceBindIOMMUFD.minimumSize
        // Unlike with the other structures, the size is read alone.
        let size = try UserMemory.load(UInt32(0), from: address)
        guard size >= UInt32(least) else { throw .invalid }
        let known = DeviceBindIOMMUFD.byteCount
        try UserStructure.checkTail(of: address, size: size, known: known)
        let request = try UserMemory.load(DeviceBindIOMMUFD(), from: address, count: min(known, Int(size)))
        guard request.iommufd >= 0, request.flags.isSubset(of: .token) else { throw .invalid }
        guard group == nil else { throw .invalid }
        // Looked up before any lock is taken, so that letting go of it is possible; its error comes in its turn.
        var iommufd: IOMMUFD?
        var lookup: Errno?
        do throws(Errno) { iommufd = try core.iommufd(request.iommufd) } catch { lookup = error }
        do throws(Errno) {
            try device.openLock.withLock { () throws(Errno) in
                let id = try core.lock.withLock { () throws(Errno) -> UInt32 in
                    try prepareBinding(request)
                    guard let iommufd else { throw lookup ?? .badDescriptor }
                    return try bind(to: iommufd)
                }
                try openBound(id, address)
            }
        } catch {
            iommufd?.letGo()
            throw error
        }
    }

    /// What is tested before the iommufd is looked at. With `Core.lock` held.
    private func prepareBinding(_ request: DeviceBindIOMMUFD) throws(Errno) {
        guard let group = device.group else { throw .noDevice }
        if group.openedFile != nil { throw .busy }
        if hasAccess { throw .invalid }
        var token: DeviceUUID?
        if request.flags.contains(.token) { token = try .load(from: HostAddress(request.tokenUUID)) }
        try core.admit(token, to: device)
    }

    /// Everything about binding except opening the device. With `Core.lock` held. The hold on the iommufd goes
    /// over to the binding.
    private func bind(to iommufd: IOMMUFD) throws(Errno) -> UInt32 {
        guard let group = device.group, device.openCount == 0 else { throw .invalid }
        let binding = try IOMMUFDDevice(device, group.home, to: iommufd, core)
        self.binding = binding
        device.binding = binding
        group.boundDeviceCount += 1
        device.openCount = 1
        return binding.register()
    }

    /// Opens a device that was just bound, and tells its id.
    private func openBound(_ id: UInt32, _ address: HostAddress) throws(Errno) {
        do throws(Errno) {
            try bus.openDevice()
        } catch {
            undoBinding()
            throw error
        }
        do throws(Errno) {
            // `out_devid` only: the rest of the structure stays the user's.
            try UserMemory.store(id, to: address + 12)
        } catch {
            bus.closeDevice()
            undoBinding()
            throw error
        }
        grantAccess()
    }

    private func undoBinding() {
        core.lock.withLock {
            device.openCount = 0
            // The caller has the hold on the iommufd, and lets go of it.
            _ = dropBinding()
        }
    }

    /// Undoes a binding. With `Core.lock` held.
    /// - Returns: the iommufd, of which the caller lets go without the lock.
    func dropBinding() -> IOMMUFD? {
        guard let binding else { return nil }
        binding.unbind()
        device.binding = nil
        device.group?.boundDeviceCount -= 1
        self.binding = nil
        return binding.iommufd
    }

    /// VFIO_DEVICE_ATTACH_IOMMUFD_PT (kernel.md F.2).
    func attach(_ address: HostAddress) throws(Errno) {
        let least = DeviceAttachIOMMUFDPageTable.minimumSize
        var request = try UserMemory.load(DeviceAttachIOMMUFDPageTable(), from: address, count: least)
        guard request.argsz >= UInt32(least) else { throw .invalid }
        guard request.flags.isSubset(of: .pasid) else { throw .invalid }
        if request.flags.contains(.pasid) {
            guard request.argsz >= 16 else { throw .invalid }
            try core.lock.withLock { () throws(Errno) in
                _ = try binding?.iommufd.object(request.pageTableID)
            }
            // The devices have no process address spaces: every PASID is beyond the highest.
            throw .invalid
        }
        request.pageTableID = try core.lock.withLock { () throws(Errno) -> UInt32 in
            guard let binding else { throw .invalid }
            return try binding.attach(to: request.pageTableID)
        }
        do throws(Errno) {
            try UserMemory.store(request.pageTableID, to: address + 8)
        } catch {
            core.lock.withLock { binding?.detach() }
            throw error
        }
    }

    /// VFIO_DEVICE_DETACH_IOMMUFD_PT (kernel.md F.2).
    func detach(_ address: HostAddress) throws(Errno) {
        let least = DeviceDetachIOMMUFDPageTable.minimumSize
        let request = try UserMemory.load(DeviceDetachIOMMUFDPageTable(), from: address, count: least)
        guard request.argsz >= UInt32(least) else { throw .invalid }
        guard request.flags.isSubset(of: .pasid) else { throw .invalid }
        if request.flags.contains(.pasid) {
            guard request.argsz >= 12 else { throw .invalid }
            return
        }
        core.lock.withLock { binding?.detach() }
    }
}

extension Core {
    /// The iommufd behind a descriptor; the caller lets go of it.
    /// - Throws: `EBADF`, `EBADFD` if it is something else.
    func iommufd(_ number: Int32) throws(Errno) -> IOMMUFD {
        let file: OpenFile
        do throws(Errno) {
            file = try files.hold(number)
        } catch {
            throw UserDescriptor.isOpen(number) ? .wrongDescriptorKind : .badDescriptor
        }
        if case .iommufd(let iommufd) = file { return iommufd }
        file.object.letGo()
        throw .wrongDescriptorKind
    }
}
