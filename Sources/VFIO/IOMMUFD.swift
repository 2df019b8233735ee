import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

/// An open `/dev/iommu`: a collection of I/O address spaces and the devices bound to it.
///
/// The thin layer: every method is one request and throws the host's errno (kernel.md F). Closed when it goes;
/// devices that are bound to it keep its objects until they are closed too.
public struct IOMMUFD: ~Copyable, Sendable {
    /// The open node.
    public let handle: Handle

    /// Opens a new one.
    public init(on host: any Host) throws(Errno) { handle = try Handle(opening: .iommu, on: host) }

    init(_ handle: consuming Handle) { self.handle = handle }

    /// Makes an empty I/O address space: `IOMMU_IOAS_ALLOC`.
    public func makeIOAS() throws(Errno) -> IOAS {
        var request = IOASAlloc()
        try handle.borrowed.send(.ioasAlloc, &request)
        return IOAS(id: request.ioasID)
    }

    /// Ends an I/O address space that no device is attached to: `IOMMU_DESTROY`.
    public func destroy(_ space: IOAS) throws(Errno) {
        var request = IOMMUFDDestroy(id: space.id)
        try handle.borrowed.send(.iommufdDestroy, &request)
    }

    /// What can be mapped in a space, with the devices attached so far: `IOMMU_IOAS_IOVA_RANGES`.
    public func info(_ space: IOAS) throws(Errno) -> IOMMUInfo {
        var room = 64
        for _ in 0..<4 {
            var entries = [IOASIOVARange](repeating: IOASIOVARange(), count: room)
            var query = IOASIOVARanges(ioasID: space.id, rangeCount: UInt32(room))
            do throws(Errno) {
                var span = entries.mutableSpan
                // SAFETY: the host writes at most `room` entries into the array's own memory during the call.
                try unsafe span.withUnsafeMutableBytes { (buffer) throws(Errno) in
                    query.ranges = UInt64(UInt(bitPattern: buffer.baseAddress))
                    try handle.borrowed.send(.ioasIOVARanges, &query)
                }
            } catch {
                guard error == .messageSize, Int(query.rangeCount) > room, query.rangeCount <= 1 << 16 else {
                    throw error
                }
                room = Int(query.rangeCount)
                continue
            }
            let ranges = entries.prefix(Int(query.rangeCount)).compactMap {
                IOVARange(first: IOVA($0.start), last: IOVA($0.last))
            }
            let unit = query.alignment.nonzeroBitCount == 1 ? query.alignment : UInt64(pageSize)
            return IOMMUInfo(
                pageSizes: ~(max(unit, UInt64(pageSize)) &- 1),
                usableRanges: ranges.sorted { $0.first < $1.first })
        }
        throw .messageSize
    }

    /// Maps memory of this process for DMA at a given place: `IOMMU_IOAS_MAP` with
    /// `IOMMU_IOAS_MAP_FIXED_IOVA`.
    public func map(
        _ memory: HostAddress, to range: IOVARange, _ access: DMAPermissions, in space: IOAS
    ) throws(Errno) {
        var request = IOASMap(
            flags: access.mapFlags.union(.fixedIOVA), ioasID: space.id, userVA: UInt64(memory.rawValue),
            length: range.byteCount,
            iova: range.first.rawValue)
        try handle.borrowed.send(.ioasMap, &request)
    }

    /// Maps memory of a file for DMA at a given place: `IOMMU_IOAS_MAP_FILE` (Linux 6.14 and later).
    ///
    /// The mapping is the file's, not the process's: it stays what it is in another process that the iommufd is
    /// handed to, and when the file is unmapped here.
    /// - Parameters:
    ///   - file: a memory file, or one in a tmpfs or hugetlbfs.
    ///   - offset: where the memory begins in the file, in bytes: whole pages once a device is attached.
    public func map(
        file: Int32, at offset: UInt64, to range: IOVARange, _ access: DMAPermissions, in space: IOAS
    ) throws(Errno) {
        var request = IOASMapFile(
            flags: access.mapFlags.union(.fixedIOVA), ioasID: space.id, fd: file, start: offset,
            length: range.byteCount, iova: range.first.rawValue)
        try handle.borrowed.send(.ioasMapFile, &request)
    }

    /// Maps memory that another space (or this one) maps, without looking it up and locking it once more:
    /// `IOMMU_IOAS_COPY`.
    /// - Parameters:
    ///   - source: all of it is mapped in `origin`.
    ///   - access: no writing where the memory was mapped for reading only.
    public func map(
        copyOf source: IOVARange, in origin: IOAS, to iova: IOVA, _ access: DMAPermissions, in space: IOAS
    ) throws(Errno) {
        var request = IOASCopy(
            flags: access.mapFlags.union(.fixedIOVA), destinationIOASID: space.id,
            sourceIOASID: origin.id, length: source.byteCount, destinationIOVA: iova.rawValue,
            sourceIOVA: source.first.rawValue)
        try handle.borrowed.send(.ioasCopy, &request)
    }

    /// Ends the mappings in a range: `IOMMU_IOAS_UNMAP`.
    /// - Returns: how many bytes were unmapped.
    public func unmap(_ range: IOVARange, in space: IOAS) throws(Errno) -> UInt64 {
        var request = IOASUnmap(ioasID: space.id, iova: range.first.rawValue, length: range.byteCount)
        try handle.borrowed.send(.ioasUnmap, &request)
        return request.length
    }

    /// Ends all mappings of a space: `IOMMU_IOAS_UNMAP` of everything.
    /// - Returns: how many bytes were unmapped.
    public func unmapAll(in space: IOAS) throws(Errno) -> UInt64 {
        var request = IOASUnmap(ioasID: space.id, iova: 0, length: .max)
        try handle.borrowed.send(.ioasUnmap, &request)
        return request.length
    }

    /// Binds a device that was opened through its own node: `VFIO_DEVICE_BIND_IOMMUFD`.
    /// - Returns: the device's object number.
    @discardableResult
    public func bind(_ device: borrowing Handle) throws(Errno) -> UInt32 {
        var request = DeviceBindIOMMUFD(iommufd: handle.number)
        try device.borrowed.send(.deviceBindIOMMUFD, &request)
        return request.deviceID
    }

    /// Binds a device whose driver wants a token, as for virtual functions, and for what has them:
    /// `VFIO_DEVICE_BIND_IOMMUFD` with `VFIO_DEVICE_BIND_FLAG_TOKEN` (Linux 6.17 and later).
    /// - Parameter token: what the physical function's user has set, or is to set from now on.
    /// - Returns: the device's object number.
    /// - Throws: `EACCES` for another token than the physical function's user has set; `EINVAL` also for a device
    ///   whose driver wants none.
    @discardableResult
    public func bind(
        _ device: borrowing Handle, token: DeviceUUID
    ) throws(Errno) -> UInt32 {
        var token = token.words
        var request = DeviceBindIOMMUFD(flags: .token, iommufd: handle.number)
        // SAFETY: the host reads the token's own memory during the call.
        try unsafe withUnsafeMutableBytes(of: &token) { (bytes) throws(Errno) in
            request.tokenUUID = UInt64(UInt(bitPattern: bytes.baseAddress))
            try device.borrowed.send(.deviceBindIOMMUFD, &request)
        }
        return request.deviceID
    }

    /// Attaches a bound device to a space: `VFIO_DEVICE_ATTACH_IOMMUFD_PT`. What it was attached to before is
    /// replaced in one step.
    /// - Returns: the object number of the page table that is used.
    @discardableResult
    public func attach(_ device: borrowing Handle, to space: IOAS) throws(Errno) -> UInt32 {
        try attach(device, toObject: space.id)
    }

    /// Attaches a bound device to a page table: `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
    public func attach(_ device: borrowing Handle, to table: IOPageTable) throws(Errno) {
        _ = try attach(device, toObject: table.id)
    }

    /// Attaches one of a bound device's process address spaces to a space: `VFIO_DEVICE_ATTACH_IOMMUFD_PT` with
    /// `VFIO_DEVICE_ATTACH_PASID`.
    /// - Parameter pasid: the number that the device tells its requests apart by.
    /// - Returns: the object number of the page table that is used.
    /// - Throws: `EOPNOTSUPP` if the driver doesn't have it, `EINVAL` for a number that is too large for the device
    ///   (``IOMMUHardwareInfo/pasidBits``).
    @discardableResult
    public func attach(
        _ device: borrowing Handle, pasid: UInt32, to space: IOAS
    ) throws(Errno) -> UInt32 {
        var request = DeviceAttachIOMMUFDPageTable(flags: .pasid, pageTableID: space.id, pasid: pasid)
        try device.borrowed.send(.deviceAttachIOMMUFD, &request)
        return request.pageTableID
    }

    /// Detaches one of a device's process address spaces, if it is attached: `VFIO_DEVICE_DETACH_IOMMUFD_PT` with
    /// `VFIO_DEVICE_DETACH_PASID`.
    public func detach(_ device: borrowing Handle, pasid: UInt32) throws(Errno) {
        var request = DeviceDetachIOMMUFDPageTable(flags: .pasid, pasid: pasid)
        try device.borrowed.send(.deviceDetachIOMMUFD, &request)
    }

    private func attach(_ device: borrowing Handle, toObject id: UInt32) throws(Errno) -> UInt32 {
        var request = DeviceAttachIOMMUFDPageTable(pageTableID: id)
        try device.borrowed.send(.deviceAttachIOMMUFD, &request)
        return request.pageTableID
    }

    /// Detaches a device from what it is attached to, if anything: its DMA is blocked.
    /// `VFIO_DEVICE_DETACH_IOMMUFD_PT`
    public func detach(_ device: borrowing Handle) throws(Errno) {
        var request = DeviceDetachIOMMUFDPageTable()
        try device.borrowed.send(.deviceDetachIOMMUFD, &request)
    }
}

extension DMAPermissions {
    /// As the mapping requests of an iommufd have it.
    fileprivate var mapFlags: IOASMapFlags {
        var flags: IOASMapFlags = []
        if contains(.read) { flags.insert(.readable) }
        if contains(.write) { flags.insert(.writeable) }
        return flags
    }
}

/// An I/O address space of an ``IOMMUFD``: its number there. It lives until it is destroyed or the iommufd goes.
public struct IOAS: Hashable, Sendable {
    /// The object's number.
    public let id: UInt32

    /// A space with a number that an iommufd gave.
    public init(id: UInt32) { self.id = id }
}
