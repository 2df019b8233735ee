import DeviceModel
import LinuxSystem
import VFIOABI
import VFIOHost

/// The device (kernel.md A.7, D): requests are checked as Linux checks them, and carried out by the server.
extension VFIOUserHost {
    func control(
        _ file: UserDeviceFile, _ request: Request, _ address: HostAddress
    ) throws(Errno) -> Int32 {
        try pci.beginUse()
        defer { pci.endUse() }
        switch request {
        case .deviceGetInfo: try describe(address)
        case .deviceGetRegionInfo: try describeRegion(address)
        case .deviceGetIRQInfo: try pci.describeInterrupt(address)
        case .deviceSetIRQs: return try pci.setInterrupts(address)
        case .deviceReset: try pci.reset()
        case .deviceGetPCIHotResetInfo: try describeHotReset(address)
        case .devicePCIHotReset: try hotReset(address)
        case .deviceIOEventFD: try pci.setEventWrite(address)
        case .deviceFeature: try feature(address)
        default: throw .noSuchRequest
        }
        return 0
    }

    /// `VFIO_DEVICE_GET_INFO`.
    private func describe(_ address: HostAddress) throws(Errno) {
        var info = try UserMemory.load(DeviceInfo(), from: address, count: DeviceInfo.minimumSize)
        guard info.argsz >= UInt32(DeviceInfo.minimumSize) else { throw .invalid }
        let known = device.description.info
        info.flags = pci.isResettable ? [.pci, .reset] : .pci
        info.regionCount = known.regionCount
        info.irqCount = known.irqCount
        info.capabilityOffset = 0
        try UserMemory.store(
            info, to: address, count: Int(min(info.argsz, UInt32(MemoryLayout<DeviceInfo>.size))))
    }

    /// `VFIO_DEVICE_GET_REGION_INFO`.
    private func describeRegion(_ address: HostAddress) throws(Errno) {
        var info = try UserMemory.load(RegionInfo(), from: address)
        guard info.argsz >= UInt32(RegionInfo.minimumSize),
            info.index < UInt32(device.description.regions.count)
        else { throw .invalid }
        let known = device.description.regions[Int(info.index)]
        // A window that the device doesn't have is no region at all.
        if info.index == PCIRegion.vga.rawValue && known.size == 0 { throw .invalid }
        info.flags = known.flags
        info.size = known.size
        info.offset = known.offset
        var chain = CapabilityBuilder<RegionInfo>()
        let areas = device.areas(region: Int(info.index))
        let isWhole = areas.count == 1 && areas[0] == SparseMmapArea(offset: 0, size: known.size)
        if !areas.isEmpty && !isWhole {
            do throws(CapabilityBuilderError) {
                try chain.appendSparseMmap(areas.span)
            } catch {
                throw .noMemory
            }
        }
        // Without capabilities Linux gives `cap_offset` back as it came.
        if chain.isEmpty {
            try UserMemory.store(info, to: address)
        } else {
            try chain.copyOut(info, to: address)
        }
    }

    // There is nothing but the device on its bus, and no bridge above that could reset it.

    /// `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`; the tests are in the kernel's order.
    private func describeHotReset(_ address: HostAddress) throws(Errno) {
        let header = try UserMemory.load(PCIHotResetInfo(), from: address)
        throw header.argsz < UInt32(PCIHotResetInfo.minimumSize) ? .invalid : .noDevice
    }

    /// `VFIO_DEVICE_PCI_HOT_RESET`; the tests are in the kernel's order.
    private func hotReset(_ address: HostAddress) throws(Errno) {
        let header = try UserMemory.load(PCIHotReset(), from: address)
        let isSound = header.argsz >= UInt32(PCIHotReset.minimumSize) && header.flags == 0 && header.count > 0
        throw isSound ? .noDevice : .invalid
    }

    // MARK: regions

    /// Reads from the device; see ``/VFIOHost/Host/read(_:at:into:)``.
    /// - Throws: `EBADF`; `EINVAL` for a handle that isn't a device's; what the server answers.
    public func read(
        _ handle: Int32, at offset: UInt64, into bytes: inout MutableRawSpan
    ) throws(Errno) -> Int {
        guard case .device = try file(handle) else { throw .invalid }
        if bytes.byteCount == 0 { return 0 }
        return try pci.read(at: offset, into: &bytes)
    }

    /// Writes to the device; see ``/VFIOHost/Host/write(_:at:_:)``.
    /// - Throws: `EBADF`; `EINVAL` for a handle that isn't a device's, and for a ROM; what the server answers.
    public func write(_ handle: Int32, at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        guard case .device = try file(handle) else { throw .invalid }
        if bytes.byteCount == 0 { return 0 }
        return try pci.write(at: offset, bytes)
    }

    /// Maps a part of a region that the server shares; see ``/VFIOHost/Host/map(_:at:byteCount:protection:)``.
    /// - Throws: `EBADF`; `ENODEV` for a handle that isn't a device's; `EINVAL` for what can't be mapped.
    public func map(
        _ handle: Int32, at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        let file = try file(handle)
        guard byteCount > 0, offset % UInt64(pageSize) == 0 else { throw .invalid }
        guard case .device(let file) = file else { throw .noDevice }
        guard let rounded = byteCount.roundedUp(toMultipleOf: pageSize) else { throw .noMemory }
        let index = offset >> PCIRegionOffset.shift
        guard index < UInt64(device.description.regions.count) else { throw .invalid }
        // Held before it is mapped: nobody may close it in between.
        lock.withLock { file.holderCount += 1 }
        do throws(Errno) {
            let window = try device.map(
                region: Int(index), at: offset & PCIRegionOffset.mask, byteCount: rounded,
                protection: protection)
            lock.withLock { mappedFiles[window.address.rawValue] = file }
            return window
        } catch {
            letGo(of: file)
            throw error
        }
    }

    /// Ends a mapping; a window that isn't one is left alone. The device may be closed by this.
    public func unmap(_ window: MemoryWindow) {
        // Out of the table first: the addresses may be anybody's as soon as they are free.
        guard let file = lock.withLock({ mappedFiles.removeValue(forKey: window.address.rawValue) }) else {
            return
        }
        _ = device.unmap(window)
        letGo(of: file)
    }
}
