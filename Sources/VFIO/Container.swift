import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

/// An open container, `/dev/vfio/vfio`: a place for groups and, once they have an IOMMU, for their mappings.
///
/// The thin layer: every method is one request and throws the host's errno (kernel.md A.3, B). ``AddressSpace``
/// says what they mean. Closed when it goes; groups that are attached keep its mappings until they go too.
public struct Container: ~Copyable, Sendable {
    /// The open node.
    public let handle: Handle

    /// Opens a new, empty container.
    public init(on host: any Host) throws(Errno) { handle = try Handle(opening: .container, on: host) }

    init(_ handle: consuming Handle) { self.handle = handle }

    /// The uAPI's version, 0: `VFIO_GET_API_VERSION`.
    public func apiVersion() throws(Errno) -> Int32 { try handle.borrowed.send(.getAPIVersion) }

    /// Whether something is supported: `VFIO_CHECK_EXTENSION`.
    public func supports(_ feature: VFIOABI.Extension) throws(Errno) -> Bool {
        try handle.borrowed.send(.checkExtension, feature.rawValue) > 0
    }

    /// Chooses the IOMMU driver; at least one group must be attached: `VFIO_SET_IOMMU`.
    public func setIOMMU(_ type: IOMMUType) throws(Errno) {
        try handle.borrowed.send(.setIOMMU, type.rawValue)
    }

    /// What a type 1 IOMMU can do: `VFIO_IOMMU_GET_INFO`.
    /// - Throws: also `EINVAL` if the answer contradicts the uAPI.
    public func info() throws(Errno) -> IOMMUInfo {
        let bytes = try handle.borrowed.ask(.iommuGetInfo, IOMMUType1Info())
        guard let info = IOMMUInfo(type1: bytes) else { throw .invalid }
        return info
    }

    /// Maps memory of this process for DMA: `VFIO_IOMMU_MAP_DMA`.
    public func map(_ memory: HostAddress, to range: IOVARange, _ access: DMAPermissions) throws(Errno) {
        var flags: DMAMapFlags = []
        if access.contains(.read) { flags.insert(.read) }
        if access.contains(.write) { flags.insert(.write) }
        var request = DMAMap(
            flags: flags, vaddr: UInt64(memory.rawValue), iova: range.first.rawValue, size: range.byteCount)
        try handle.borrowed.send(.iommuMapDMA, &request)
    }

    /// Ends the mappings in a range: `VFIO_IOMMU_UNMAP_DMA`.
    /// - Returns: how many bytes were unmapped.
    public func unmap(_ range: IOVARange) throws(Errno) -> UInt64 {
        var request = DMAUnmap(iova: range.first.rawValue, size: range.byteCount)
        try handle.borrowed.send(.iommuUnmapDMA, &request)
        return request.size
    }

    /// Ends the mappings in a range and takes its dirty bits in the same step: `VFIO_IOMMU_UNMAP_DMA` with
    /// `VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP`.
    /// - Parameters:
    ///   - pageSize: the IOMMU's smallest page size.
    ///   - words: gets one bit for each page, as with ``dirtyBits(of:pageSize:into:)``.
    /// - Returns: how many bytes were unmapped.
    public func unmap(
        _ range: IOVARange, pageSize: UInt64, dirtyBits words: inout [UInt64]
    ) throws(Errno) -> UInt64 {
        var span = words.mutableSpan
        // SAFETY: the host writes at most the number of bytes given into the array's own memory during the call.
        return try unsafe span.withUnsafeMutableBytes { (buffer) throws(Errno) -> UInt64 in
            let bitmap = Bitmap(
                pageSize: pageSize, size: UInt64(buffer.count),
                data: UInt64(UInt(bitPattern: buffer.baseAddress)))
            var request = DMAUnmapWithBitmap(
                iova: range.first.rawValue, size: range.byteCount, bitmap: bitmap)
            try handle.borrowed.send(.iommuUnmapDMA, &request)
            return request.unmap.size
        }
    }

    /// Ends all mappings: `VFIO_IOMMU_UNMAP_DMA` with `VFIO_DMA_UNMAP_FLAG_ALL`.
    /// - Returns: how many bytes were unmapped.
    public func unmapAll() throws(Errno) -> UInt64 {
        var request = DMAUnmap(flags: .all)
        try handle.borrowed.send(.iommuUnmapDMA, &request)
        return request.size
    }

    /// Starts or ends dirty tracking: `VFIO_IOMMU_DIRTY_PAGES`.
    public func setDirtyTracking(_ on: Bool) throws(Errno) {
        var request = DirtyBitmap(flags: on ? .start : .stop)
        try handle.borrowed.send(.iommuDirtyPages, &request)
    }

    /// Takes the dirty bits of a range: `VFIO_IOMMU_DIRTY_PAGES` with `…_FLAG_GET_BITMAP`.
    /// - Parameters:
    ///   - pageSize: the IOMMU's smallest page size.
    ///   - words: gets one bit for each page, the range's first page in bit 0 of the first word; long enough for
    ///     all of them.
    public func dirtyBits(of range: IOVARange, pageSize: UInt64, into words: inout [UInt64]) throws(Errno) {
        var span = words.mutableSpan
        // SAFETY: the host writes at most the number of bytes given into the array's own memory during the call.
        try unsafe span.withUnsafeMutableBytes { (buffer) throws(Errno) in
            let bitmap = Bitmap(
                pageSize: pageSize, size: UInt64(buffer.count),
                data: UInt64(UInt(bitPattern: buffer.baseAddress)))
            var request = DirtyBitmapWithGet(
                iova: range.first.rawValue, size: range.byteCount, bitmap: bitmap)
            try handle.borrowed.send(.iommuDirtyPages, &request)
        }
    }
}

extension IOMMUInfo {
    /// Reads a `vfio_iommu_type1_info` with its capabilities; nil if it contradicts the uAPI.
    init?(type1 bytes: [UInt8]) {
        guard let head = bytes.get(IOMMUType1Info.self) else { return nil }
        self.init(
            pageSizes: head.flags.contains(.pageSizes) ? head.pageSizes : UInt64(pageSize),
            usableRanges: [.all])
        // No IOMMU has smaller pages, and numbers of pages are counted by them.
        guard pageSizes != 0, smallestPage >= 4096 else { return nil }
        do throws(CapabilityChainError) {
            // SAFETY: the array holds plain bytes, all of them initialised.
            var chain = CapabilityChain(of: head, in: unsafe bytes.span.bytes)
            while let capability = try chain.next() {
                switch IOMMUCapabilityID(rawValue: capability.id) {
                case .iovaRange:
                    let ranges = try capability.iovaRanges()
                    usableRanges = []
                    for index in 0..<ranges.count {
                        let range = ranges[index]
                        if let range = IOVARange(first: IOVA(range.start), last: IOVA(range.end)) {
                            usableRanges.append(range)
                        }
                    }
                    usableRanges.sort { $0.first < $1.first }
                case .migration:
                    let migration = try capability.migration()
                    dirtyPageSizes = migration.pageSizes
                    longestDirtyBitmap = migration.maxDirtyBitmapSize
                case .dmaAvailable: mappingsLeft = try capability.dmaAvailable().available
                default: break
                }
            }
        } catch {
            return nil
        }
    }
}
