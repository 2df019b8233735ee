import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

// An iommufd in a container's place (kernel.md F.7): VFIO's own requests act on one of its address spaces.

extension IOMMUFD {
    /// What an iommufd is as a container. Guarded by `Core.lock`.
    struct Compat {
        /// The address space that VFIO's requests act on.
        var ioas: IOAS?
        /// Whether it has a group without an IOMMU, and hence no address space.
        var isUnprotected = false
    }

    /// VFIO_GROUP_SET_CONTAINER: makes the address space, unless there is one. With `Core.lock` held.
    /// - Throws: `EINVAL` for a group without an IOMMU where there are groups with one, and the other way round.
    func becomeContainer(of group: Group) throws(Errno) {
        if group.isUnprotected {
            guard compat.ioas == nil else { throw .invalid }
            compat.isUnprotected = true
            return
        }
        guard !compat.isUnprotected else { throw .invalid }
        guard compat.ioas == nil else { return }
        let ioas = IOAS(core)
        _ = add(.ioas(ioas))
        compat.ioas = ioas
    }

    /// IOMMU_VFIO_IOAS: which address space it is.
    func chooseCompat(_ user: UserCommand) throws(Errno) {
        var request = try user.load(VFIOCompatibilityIOAS())
        guard request.reserved == 0 else { throw .notSupported }
        let answer = try core.lock.withLock { () throws(Errno) -> UInt32? in
            switch request.operation {
            case .get:
                guard let ioas = compat.ioas, let id = id(of: ioas) else { throw .noDevice }
                return id
            case .set:
                compat.ioas = try ioas(request.ioasID)
                return nil
            case .clear:
                compat.ioas = nil
                return nil
            default: throw .notSupported
            }
        }
        guard let answer else { return }
        request.ioasID = answer
        try user.store(request)
    }

    /// The address space that VFIO's requests act on.
    /// - Throws: `ENODEV` if there is none.
    private func compatIOAS() throws(Errno) -> IOAS {
        guard let ioas = core.lock.withLock({ compat.ioas }) else { throw .noDevice }
        return ioas
    }

    /// VFIO's own requests.
    /// - Throws: `ENOTTY` for those that aren't a container's.
    func controlAsContainer(_ request: Request, _ argument: UInt) throws(Errno) -> Int32 {
        let address = HostAddress(rawValue: argument)
        switch request {
        case .getAPIVersion: return UAPI.version
        case .checkExtension: return try checkExtension(Extension(rawValue: argument))
        case .setIOMMU: try setIOMMU(IOMMUType(rawValue: argument))
        case .iommuGetInfo: try getInfo(address)
        case .iommuMapDMA: try mapDMA(address)
        case .iommuUnmapDMA: try unmapDMA(address)
        default: throw .noSuchRequest
        }
        return 0
    }

    private func checkExtension(_ number: Extension) throws(Errno) -> Int32 {
        switch number {
        case .type1, .type1v2, .unmapAll: return core.lock.withLock { compat.isUnprotected } ? 0 : 1
        case .dmaCacheCoherent:
            _ = try compatIOAS()
            return core.iommu.enforcesCoherency ? 1 : 0
        // Whether the kernel was built with it; the parameter doesn't matter here.
        case .noIOMMU: return 1
        default: return 0
        }
    }

    private func setIOMMU(_ kind: IOMMUType) throws(Errno) {
        let isUnprotected = core.lock.withLock { compat.isUnprotected }
        if isUnprotected && kind == .noIOMMU {
            guard core.process.mayUseUnprotectedGroups else { throw .notPermitted }
            return
        }
        guard kind == .type1 || kind == .type1v2, !isUnprotected else { throw .invalid }
        let ioas = try compatIOAS()
        // A version 1 user may unmap a part of a mapping, which must not have become a part of a large page.
        if kind == .type1 { try ioas.disableLargePages() }
    }

    private func getInfo(_ address: HostAddress) throws(Errno) {
        let least = IOMMUType1Info.minimumSize
        var info = try UserMemory.load(IOMMUType1Info(), from: address, count: least)
        guard info.argsz >= UInt32(least) else { throw .invalid }
        let (pageSizes, usable) = try compatIOAS().describe()
        info.flags = .pageSizes
        info.pageSizes = pageSizes
        let ranges = usable.map { Type1IOVARange(start: $0.first.rawValue, end: $0.last.rawValue) }
        var chain = CapabilityBuilder<IOMMUType1Info>()
        do throws(CapabilityBuilderError) {
            try chain.appendDMAAvailable(.max)
            try chain.appendIOVARanges(ranges.span)
        } catch {
            throw .noMemory
        }
        try chain.copyOut(info, to: address)
    }

    private func mapDMA(_ address: HostAddress) throws(Errno) {
        let request = try UserMemory.load(DMAMap(), from: address)
        guard request.argsz >= 32, request.flags.isSubset(of: [.read, .write]) else { throw .invalid }
        let ioas = try compatIOAS()
        var flags: IOASMapFlags = .fixedIOVA
        if request.flags.contains(.read) { flags.insert(.readable) }
        if request.flags.contains(.write) { flags.insert(.writeable) }
        _ = try ioas.map(
            IOASMap(flags: flags, userVA: request.vaddr, length: request.size, iova: request.iova))
    }

    private func unmapDMA(_ address: HostAddress) throws(Errno) {
        var request = try UserMemory.load(DMAUnmap(), from: address)
        guard request.argsz >= 24, request.flags.isSubset(of: .all) else { throw .invalid }
        let ioas = try compatIOAS()
        var failure: Errno?
        if request.flags.contains(.all) {
            guard request.iova == 0 && request.size == 0 else { throw .invalid }
            request.size = try ioas.unmapAll()
        } else {
            if ioas.hasSmallPagesOnly {
                let first = IOVA(request.iova)
                let end = IOVA(request.iova &+ request.size)
                try ioas.cut(before: request.iova == 0 ? [end] : [end, first])
            }
            do throws(Errno) {
                (request.size, failure) = try ioas.unmap(request.iova, request.size)
            } catch {
                (request.size, failure) = (0, error)
            }
        }
        // The size is told even where not all could be unmapped.
        try UserMemory.store(request, to: address)
        if let failure { throw failure }
    }
}

// MARK: - devices that are opened through their group

extension GroupFile {
    /// VFIO_GROUP_GET_DEVICE_FD with an iommufd in the container's place. With the device's `openLock` held.
    /// - Returns: false if the group has a container, or nothing.
    func openThroughIOMMUFD(_ device: MachineDevice, _ bus: any BusDriver) throws(Errno) -> Bool {
        let isFirst = try core.lock.withLock { () throws(Errno) -> Bool? in
            guard let iommufd = group.iommufd else { return nil }
            guard device.openCount == 0 else {
                device.openCount += 1
                return false
            }
            if group.isUnprotected {
                guard core.process.mayUseUnprotectedGroups, iommufd.compat.ioas == nil else {
                    throw .notPermitted
                }
            } else {
                try device.bind(to: iommufd, core)
            }
            device.openCount = 1
            return true
        }
        guard let isFirst else { return false }
        guard isFirst else { return true }
        var isOpen = false
        do throws(Errno) {
            try device.openFirst(bus, core)
            isOpen = true
            try core.lock.withLock { () throws(Errno) in try device.attachToCompat() }
        } catch {
            if isOpen { bus.closeDevice() }
            let iommufd = core.lock.withLock { () -> IOMMUFD? in
                device.openCount = 0
                return device.dropBindingOfGroup()
            }
            iommufd?.letGo()
            throw error
        }
        return true
    }
}

extension MachineDevice {
    /// Gives the device's DMA to an iommufd. With `Core.lock` held. The binding holds the iommufd.
    fileprivate func bind(to iommufd: IOMMUFD, _ core: Core) throws(Errno) {
        guard let machineGroup else { throw .noDevice }
        let binding = try IOMMUFDDevice(self, machineGroup, to: iommufd, core)
        _ = binding.register()
        iommufd.hold()
        self.binding = binding
    }

    /// Attaches the device to the address space of its iommufd; one without an IOMMU has none. With `Core.lock`
    /// held.
    fileprivate func attachToCompat() throws(Errno) {
        guard let binding else { return }
        guard let ioas = binding.iommufd.compat.ioas, let id = binding.iommufd.id(of: ioas) else {
            throw .noDevice
        }
        _ = try binding.attach(to: id)
    }

    /// Undoes a binding that came with the group. With `Core.lock` held.
    /// - Returns: the iommufd, of which the caller lets go without the lock.
    func dropBindingOfGroup() -> IOMMUFD? {
        guard let binding else { return nil }
        binding.unbind()
        self.binding = nil
        return binding.iommufd
    }
}
