import LinuxSystem
import VFIOABI
import VFIOHost

/// The device (kernel.md A.7, D): requests are checked as Linux checks them, and carried out by the server.
extension VFIOUserHost {
    func control(
        _ file: UserDeviceFile, _ request: Request, _ address: HostAddress
    ) throws(Errno) -> Int32 {
        switch request {
        case .deviceGetInfo: try describe(address)
        case .deviceGetRegionInfo: try describeRegion(address)
        case .deviceGetIRQInfo: try describeInterrupt(address)
        case .deviceSetIRQs: try setInterrupts(address)
        case .deviceReset:
            guard device.description.info.flags.contains(.reset) else { throw .noSuchRequest }
            try device.reset()
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
        info.flags = known.flags.intersection([.pci, .reset])
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
        info.capabilityOffset = 0
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
        try copyOut(chain.answer(info), to: address)
    }

    /// `VFIO_DEVICE_GET_IRQ_INFO`.
    private func describeInterrupt(_ address: HostAddress) throws(Errno) {
        var info = try UserMemory.load(IRQInfo(), from: address)
        guard info.argsz >= UInt32(IRQInfo.minimumSize),
            info.index < UInt32(device.description.interrupts.count)
        else { throw .invalid }
        let known = device.description.interrupts[Int(info.index)]
        info.flags = known.flags
        info.count = known.count
        try UserMemory.store(info, to: address)
    }

    /// `VFIO_DEVICE_SET_IRQS`; the tests are in the kernel's order.
    private func setInterrupts(_ address: HostAddress) throws(Errno) {
        let header = try UserMemory.load(IRQSet(), from: address)
        let all = device.description.interrupts
        let most = header.index < UInt32(all.count) ? all[Int(header.index)].count : 0
        let known = IRQSetFlags.dataTypeMask.union(.actionTypeMask)
        guard header.argsz >= UInt32(IRQSet.minimumSize), header.flags.isSubset(of: known),
            header.start < most, UInt64(header.start) + UInt64(header.count) <= UInt64(most),
            header.count <= Self.mostVectors, let width = header.flags.dataElementSize
        else { throw .invalid }
        let count = Int(header.count)
        guard Int(header.argsz) - IRQSet.minimumSize >= count * width else { throw .invalid }
        var request = RemoteInterruptRequest(
            flags: header.flags, index: header.index, start: Int(header.start), count: count)
        let data = address + IRQSet.minimumSize
        if width == 1 {
            for index in 0..<count {
                request.booleans.append(try UserMemory.load(UInt8(0), from: data + index))
            }
        } else if width == 4 {
            var numbers: [Int32] = []
            for index in 0..<count {
                numbers.append(try UserMemory.load(Int32(0), from: data + 4 * index))
            }
            for number in numbers { request.events.append(number < 0 ? nil : try RemoteEvent(number)) }
        }
        try device.setInterrupts(request)
    }

    /// The most vectors that one request is about: as many as MSI-X has.
    private static var mostVectors: UInt32 { 2048 }

    // MARK: regions

    /// How much of an access lies in a region, and where (kernel.md D.4).
    /// - Throws: `EINVAL` for a region that isn't there and for a beginning at or beyond its end; `EFAULT` for
    ///   configuration space that isn't there.
    private func clip(_ offset: UInt64, _ byteCount: Int) throws(Errno) -> (region: UInt32, count: Int) {
        let index = offset >> PCIRegionOffset.shift
        let position = offset & PCIRegionOffset.mask
        guard index < UInt64(device.description.regions.count) else { throw .invalid }
        let byteCountOfRegion = device.description.regions[Int(index)].size
        if index == UInt64(PCIRegion.config.rawValue) {
            guard position < byteCountOfRegion, UInt64(byteCount) <= byteCountOfRegion - position else {
                throw .badAddress
            }
        }
        guard position < byteCountOfRegion else { throw .invalid }
        return (UInt32(index), Int(min(UInt64(byteCount), byteCountOfRegion - position)))
    }

    /// Reads from the device; see ``Host/read(_:at:into:)``.
    /// - Throws: `EBADF`; `EINVAL` for a handle that isn't a device's; what the server answers.
    public func read(
        _ handle: Int32, at offset: UInt64, into bytes: inout MutableRawSpan
    ) throws(Errno) -> Int {
        guard case .device = try file(handle) else { throw .invalid }
        if bytes.byteCount == 0 { return 0 }
        let (region, count) = try clip(offset, bytes.byteCount)
        var part = bytes._mutatingExtracting(0..<count)
        try device.perform { (client) throws(ClientFailure) in
            try client.read(region: region, at: offset & PCIRegionOffset.mask, into: &part)
        }
        return count
    }

    /// Writes to the device; see ``Host/write(_:at:_:)``.
    /// - Throws: `EBADF`; `EINVAL` for a handle that isn't a device's, and for a ROM; what the server answers.
    public func write(_ handle: Int32, at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        guard case .device = try file(handle) else { throw .invalid }
        if bytes.byteCount == 0 { return 0 }
        guard offset >> PCIRegionOffset.shift != UInt64(PCIRegion.rom.rawValue) else { throw .invalid }
        let (region, count) = try clip(offset, bytes.byteCount)
        try device.perform { (client) throws(ClientFailure) in
            try client.write(
                region: region, at: offset & PCIRegionOffset.mask, bytes.extracting(0..<count))
        }
        return count
    }

    /// Maps a part of a region that the server shares; see ``Host/map(_:at:byteCount:protection:)``.
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
