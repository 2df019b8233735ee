import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

/// Containers and the group (kernel.md A.3, A.4, B), as far as there is something to answer without a kernel.
extension VFIOUserHost {
    private static func isKnown(_ number: Extension) -> Bool {
        number == .type1 || number == .type1v2 || number == .unmapAll
    }

    func control(_ container: UserContainer, _ request: Request, _ argument: UInt) throws(Errno) -> Int32 {
        switch request {
        case .getAPIVersion: return UAPI.version
        case .checkExtension:
            let number = Extension(rawValue: argument)
            let isSet = lock.withLock { container.type != nil }
            return Self.isKnown(number) || isSet && number == .dmaCacheCoherent ? 1 : 0
        case .setIOMMU:
            try lock.withLock { () throws(Errno) in
                guard container.group != nil, container.type == nil else { throw .invalid }
                let kind = Extension(rawValue: argument)
                guard Self.isKnown(kind) else { throw .noDevice }
                guard kind == .type1 || kind == .type1v2 else { throw .invalid }
                container.type = kind
            }
            return 0
        default:
            guard let type = lock.withLock({ container.type }) else { throw .invalid }
            let address = HostAddress(rawValue: argument)
            switch request {
            case .iommuGetInfo: try describeIOMMU(address)
            case .iommuMapDMA: try mapMemory(address)
            case .iommuUnmapDMA: try unmapMemory(address, isVersion2: type == .type1v2)
            case .iommuDirtyPages: try dirtyPages(address, isVersion2: type == .type1v2)
            default: throw .noSuchRequest
            }
            return 0
        }
    }

    // MARK: the group

    func control(_ group: UserGroup, _ request: Request, _ argument: UInt) throws(Errno) -> Int32 {
        let address = HostAddress(rawValue: argument)
        switch request {
        case .groupGetStatus:
            var status = try UserMemory.load(GroupStatus(), from: address)
            guard status.argsz >= 8 else { throw .invalid }
            status.flags = lock.withLock { group.container == nil ? .viable : [.viable, .containerSet] }
            try UserMemory.store(status, to: address)
            return 0
        case .groupSetContainer:
            let number = try UserMemory.load(Int32(0), from: address)
            try lock.withLock { () throws(Errno) in
                guard files[number] != nil || Descriptor.isOpen(number) else { throw .badDescriptor }
                if group.container != nil { throw .invalid }
                guard case .container(let container)? = files[number] else { throw .wrongDescriptorKind }
                container.group = group
                group.container = container
            }
            return 0
        case .groupUnsetContainer:
            try lock.withLock { () throws(Errno) in
                guard group.container != nil else { throw .invalid }
                guard group.deviceFileCount == 0 else { throw .busy }
            }
            leaveContainer(group)
            return 0
        case .groupGetDeviceFD: return try openDevice(group, address)
        default: throw .noSuchRequest
        }
    }

    private func openDevice(_ group: UserGroup, _ address: HostAddress) throws(Errno) -> Int32 {
        let wanted = Array("\(Self.deviceAddress)".utf8) + [0]
        // A name that is longer is another; one byte after the other, since nobody knows where it ends.
        for (offset, byte) in wanted.enumerated() {
            guard try UserMemory.load(UInt8(0), from: address + offset) == byte else { throw .noDevice }
        }
        try lock.withLock { () throws(Errno) in
            guard let container = group.container, container.type != nil else { throw .invalid }
            group.deviceFileCount += 1
        }
        do throws(Errno) {
            try pci.open()
        } catch {
            lock.withLock { group.deviceFileCount -= 1 }
            leaveIfUnused(group)
            throw error
        }
        do throws(Errno) {
            return try install { () throws(Errno) -> UserFile in .device(UserDeviceFile(group)) }
        } catch {
            endUse(of: group)
            throw error
        }
    }

    // MARK: the IOMMU

    /// The addresses that can be mapped: half of all, so that no sum of theirs wraps around in a server.
    private static let usable = IOVARange(first: IOVA(0), last: IOVA(UInt64.max >> 1))

    /// The unit of mappings in bytes.
    var unit: UInt64 { UInt64(pageSize) }

    /// `VFIO_IOMMU_GET_INFO`.
    private func describeIOMMU(_ address: HostAddress) throws(Errno) {
        let least = IOMMUType1Info.minimumSize
        var info = try UserMemory.load(IOMMUType1Info(), from: address, count: least)
        guard info.argsz >= UInt32(least) else { throw .invalid }
        info.flags = .pageSizes
        info.pageSizes = ~(unit - 1)
        var chain = CapabilityBuilder<IOMMUType1Info>()
        let most = try device.perform { (client) throws(ClientFailure) in client.server.mappingCount }
        let canLog = try device.canLog()
        do throws(CapabilityBuilderError) {
            if canLog {
                try chain.appendMigration(
                    pageSizes: unit, maxDirtyBitmapSize: VFIOABI.Bitmap.mostByteCount)
            }
            try chain.appendDMAAvailable(UInt32(clamping: max(0, most - device.mappings.count)))
            let ranges = [Type1IOVARange(start: 0, end: UInt64.max >> 1)]
            try chain.appendIOVARanges(ranges.span)
        } catch {
            throw .noMemory
        }
        try chain.copyOut(info, to: address)
    }

    /// `VFIO_IOMMU_MAP_DMA`; the tests are in the kernel's order.
    private func mapMemory(_ address: HostAddress) throws(Errno) {
        let request = try UserMemory.load(DMAMap(), from: address)
        guard request.argsz >= 32, request.flags.isSubset(of: [.read, .write]), request.size != 0 else {
            throw .invalid
        }
        guard let range = IOVARange(IOVA(request.iova), byteCount: request.size),
            !request.vaddr.addingReportingOverflow(request.size - 1).overflow
        else { throw .overflow }
        var permissions: IOVAPermissions = []
        if request.flags.contains(.read) { permissions.insert(.read) }
        if request.flags.contains(.write) { permissions.insert(.write) }
        guard !permissions.isEmpty else { throw .invalid }
        let most = try device.perform { (client) throws(ClientFailure) in client.server.mappingCount }
        try mappingLock.withLock { () throws(Errno) in
            guard (request.size | request.iova | request.vaddr) & (unit - 1) == 0 else { throw .invalid }
            if device.mappings.overlaps(range) { throw .exists }
            guard device.mappings.count < most else { throw .noSpace }
            guard Self.usable?.contains(range) == true, let byteCount = Int(exactly: request.size) else {
                throw .invalid
            }
            // A kernel would pin it, and says so where it isn't there.
            try UserMemory.populate(
                HostAddress(request.vaddr), byteCount: byteCount, writable: permissions.contains(.write))
            try device.map(IOVAMapping(range, backing: request.vaddr, permissions: permissions))
        }
    }

    /// `VFIO_IOMMU_UNMAP_DMA`; the tests are in the kernel's order.
    private func unmapMemory(_ address: HostAddress, isVersion2: Bool) throws(Errno) {
        var request = try UserMemory.load(DMAUnmap(), from: address)
        guard request.argsz >= 24, request.flags.isSubset(of: [.all, .getDirtyBitmap]) else { throw .invalid }
        let bits = request.flags.contains(.getDirtyBitmap) ? try dirtyBits(of: request, address) : nil
        request.size = try mappingLock.withLock { () throws(Errno) -> UInt64 in
            guard request.iova & (unit - 1) == 0 else { throw .invalid }
            var range = IOVARange.all
            if request.flags.contains(.all) {
                guard request.iova == 0 && request.size == 0 else { throw .invalid }
            } else {
                guard request.size != 0, request.size & (unit - 1) == 0 else { throw .invalid }
                guard let some = IOVARange(IOVA(request.iova), byteCount: request.size) else {
                    throw .overflow
                }
                range = some
                if let bits, !device.isLogging(by: .container) || bits.pageSize != unit { throw .invalid }
                if isVersion2 && device.mappings.bisected(by: range) != nil { throw .invalid }
            }
            var byteCount: UInt64 = 0
            while let mapping = device.mappings.first(in: range), mapping.range.first >= range.first {
                if let bits { try device.unmap(mapping, reporting: bits) } else { try device.unmap(mapping) }
                byteCount &+= mapping.range.byteCount
            }
            return byteCount
        }
        try UserMemory.store(request, to: address)
    }
}
