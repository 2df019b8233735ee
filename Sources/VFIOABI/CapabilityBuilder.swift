/// The chain of capabilities that follows an answer, for the side that answers.
///
/// It keeps Linux's rules (kernel.md A.7): every capability starts at a multiple of 8 and takes a multiple of 8,
/// `next` and `cap_offset` count from the start of the information structure, and the last `next` is 0. See
/// `answer(_:)` for what a caller gets who left too little room.
///
/// ```swift
/// var chain = CapabilityBuilder<RegionInfo>()
/// try chain.appendSparseMmap(areas.span)
/// let bytes = chain.answer(info)          // nil: EINVAL; else what to copy to the caller
/// ```
public struct CapabilityBuilder<Structure: CapabilityCarrier>: Sendable {
    /// The most bytes that the chain may take.
    public let limit: Int

    @usableFromInline var chain: [UInt8] = []
    @usableFromInline var last: Int?

    /// Makes an empty chain.
    ///
    /// - Parameter limit: The most bytes that the chain may take; 64 KiB unless told, never more than 1 GiB.
    public init(limit: Int = 65536) {
        self.limit = max(0, min(limit, 1 << 30))
    }

    /// Whether there are no capabilities.
    public var isEmpty: Bool { chain.isEmpty }

    /// The bytes of the chain, a multiple of 8.
    public var byteCount: Int { chain.count }

    /// The chain, to be placed right behind the information structure.
    public var bytes: Span<UInt8> {
        @_lifetime(borrow self)
        get { chain.span }
    }

    /// Appends a capability whose structure starts with a header; the header's fields are filled in here.
    ///
    /// - Parameters:
    ///   - id: The identifier.
    ///   - version: The version of the layout.
    ///   - structure: The capability. Its first 8 bytes are taken as the header and overwritten.
    /// - Throws: `CapabilityBuilderError` where the chain would grow beyond `limit`; it is then as before.
    public mutating func append(
        id: UInt16, version: UInt16 = 1, _ structure: some ABIValue
    ) throws(CapabilityBuilderError) {
        try open(id: id, version: version, byteCount: MemoryLayout.size(ofValue: structure))
        structure.withBytes { bytes in copy(bytes, from: MemoryLayout<CapabilityHeader>.size) }
        close()
    }

    /// Appends a capability whose structure starts with a header and is followed by records.
    ///
    /// - Parameters:
    ///   - id: The identifier.
    ///   - version: The version of the layout.
    ///   - structure: The capability. Its first 8 bytes are taken as the header and overwritten. It must say
    ///     how many records there are.
    ///   - records: What follows it.
    /// - Throws: `CapabilityBuilderError` where the chain would grow beyond `limit`; it is then as before.
    public mutating func append<Record: ABIValue>(
        id: UInt16, version: UInt16 = 1, _ structure: some ABIValue, records: Span<Record>
    ) throws(CapabilityBuilderError) {
        let (size, overflow) = records.count.multipliedReportingOverflow(by: MemoryLayout<Record>.stride)
        guard !overflow, size <= limit else { throw CapabilityBuilderError(limit: limit) }
        try open(id: id, version: version, byteCount: MemoryLayout.size(ofValue: structure) + size)
        structure.withBytes { bytes in copy(bytes, from: MemoryLayout<CapabilityHeader>.size) }
        for index in records.indices {
            records[index].withBytes { bytes in copy(bytes, from: 0) }
        }
        close()
    }

    /// Appends a capability of which only the bytes behind the header are given.
    ///
    /// - Throws: `CapabilityBuilderError` where the chain would grow beyond `limit`; it is then as before.
    public mutating func append(
        id: UInt16, version: UInt16 = 1, payload: RawSpan
    ) throws(CapabilityBuilderError) {
        guard payload.byteCount <= limit else { throw CapabilityBuilderError(limit: limit) }
        try open(
            id: id, version: version, byteCount: MemoryLayout<CapabilityHeader>.size + payload.byteCount)
        copy(payload, from: 0)
        close()
    }

    /// Appends a capability that is a bare header.
    ///
    /// - Throws: `CapabilityBuilderError` where the chain would grow beyond `limit`; it is then as before.
    public mutating func append(id: UInt16, version: UInt16 = 1) throws(CapabilityBuilderError) {
        try open(id: id, version: version, byteCount: MemoryLayout<CapabilityHeader>.size)
        close()
    }

    /// Fills in what the chain decides in an information structure.
    ///
    /// - Parameter structure: The answer, its `argsz` still the caller's. Without capabilities the flag is
    ///   cleared, `cap_offset` is 0 and `argsz` stays. With capabilities the flag is set; where `argsz` has room
    ///   for them `cap_offset` is the structure's size and `argsz` stays, else `cap_offset` is 0 and `argsz`
    ///   becomes the size needed.
    /// - Returns: Whether the chain is to follow the structure.
    public func complete(_ structure: inout Structure) -> Bool {
        structure.hasCapabilities = !isEmpty
        structure.capabilityOffset = 0
        guard !isEmpty else { return false }
        let needed = UInt32(MemoryLayout<Structure>.size + chain.count)
        guard structure.argsz >= needed else {
            structure.argsz = needed
            return false
        }
        structure.capabilityOffset = UInt32(MemoryLayout<Structure>.size)
        return true
    }

    /// The bytes to copy to the caller.
    ///
    /// Too little room for the capabilities is not an error: the caller learns the size from `argsz` (see
    /// `complete(_:)`).
    ///
    /// - Parameter structure: The answer, its `argsz` still the caller's.
    /// - Returns: At most `argsz` bytes: the structure, cut to the caller's `argsz` where that is smaller, and
    ///   the chain where it fits. nil where `argsz` is below `minimumSize`: Linux answers EINVAL.
    public func answer(_ structure: Structure) -> [UInt8]? {
        let argsz = Int(clamping: structure.argsz)
        guard argsz >= Structure.minimumSize else { return nil }
        var completed = structure
        let follows = complete(&completed)
        let head = min(argsz, MemoryLayout<Structure>.size)
        var answer: [UInt8] = []
        answer.reserveCapacity(head + (follows ? chain.count : 0))
        completed.withBytes { bytes in answer.append(bytes, in: 0..<head) }
        if follows { answer.append(contentsOf: chain) }
        return answer
    }

    // MARK: - One capability

    /// Writes the header and links the capability before to it.
    private mutating func open(id: UInt16, version: UInt16, byteCount: Int) throws(CapabilityBuilderError) {
        // Both terms are at most 1 GiB plus a structure's size: no overflow. The limit is for whole units of 8.
        guard (byteCount + 7) & ~7 <= limit - chain.count else { throw CapabilityBuilderError(limit: limit) }
        let start = chain.count
        if let last {
            var next = UInt32(MemoryLayout<Structure>.size + start)
            for index in last + 4..<last + 8 {
                chain[index] = UInt8(truncatingIfNeeded: next)
                next >>= 8
            }
        }
        last = start
        CapabilityHeader(id: id, version: version).withBytes { bytes in copy(bytes, from: 0) }
    }

    private mutating func copy(_ bytes: RawSpan, from first: Int) {
        if first < bytes.byteCount { chain.append(bytes, in: first..<bytes.byteCount) }
    }

    /// Fills up to a multiple of 8, where the next capability starts.
    private mutating func close() {
        while chain.count & 7 != 0 { chain.append(0) }
    }
}

/// A capability that would make a chain longer than its limit.
public struct CapabilityBuilderError: Error, Equatable, Sendable {
    /// The limit in bytes.
    public var limit: Int

    /// Makes an error.
    public init(limit: Int) { self.limit = limit }
}

extension [UInt8] {
    /// Appends a part of the bytes; the part must be inside.
    fileprivate mutating func append(_ bytes: RawSpan, in part: Range<Int>) {
        for index in part {
            // SAFETY: `unsafeLoad` checks the bound, and any byte is a UInt8.
            append(unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self))
        }
    }
}

// MARK: - The capabilities of each structure

extension CapabilityBuilder where Structure == RegionInfo {
    /// `VFIO_REGION_INFO_CAP_SPARSE_MMAP`: only these areas can be mapped.
    public mutating func appendSparseMmap(_ areas: Span<SparseMmapArea>) throws(CapabilityBuilderError) {
        try append(
            id: RegionCapabilityID.sparseMmap.rawValue,
            SparseMmapCapability(areaCount: UInt32(clamping: areas.count)), records: areas)
    }

    /// `VFIO_REGION_INFO_CAP_TYPE`: what a device-specific region is.
    public mutating func appendType(
        _ type: RegionType, _ subtype: RegionSubtype
    ) throws(CapabilityBuilderError) {
        try append(
            id: RegionCapabilityID.type.rawValue, RegionTypeCapability(type: type, subtype: subtype))
    }

    /// `VFIO_REGION_INFO_CAP_MSIX_MAPPABLE`: the MSI-X table may be mapped with the rest.
    public mutating func appendMSIXMappable() throws(CapabilityBuilderError) {
        try append(id: RegionCapabilityID.msixMappable.rawValue)
    }
}

extension CapabilityBuilder where Structure == DeviceInfo {
    /// `VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP`: atomic operations that memory completes.
    public mutating func appendPCIAtomicCompletion(_ flags: PCIAtomicFlags) throws(CapabilityBuilderError) {
        try append(
            id: DeviceCapabilityID.pciAtomicCompletion.rawValue, PCIAtomicCompletionCapability(flags: flags))
    }
}

extension CapabilityBuilder where Structure == IOMMUType1Info {
    /// `VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION`: dirty tracking.
    ///
    /// - Parameters:
    ///   - pageSizes: The page sizes that a bitmap can have: bit n stands for 2^n bytes.
    ///   - maxDirtyBitmapSize: The largest bitmap in bytes.
    public mutating func appendMigration(
        pageSizes: UInt64, maxDirtyBitmapSize: UInt64
    ) throws(CapabilityBuilderError) {
        try append(
            id: IOMMUCapabilityID.migration.rawValue,
            Type1MigrationCapability(pageSizes: pageSizes, maxDirtyBitmapSize: maxDirtyBitmapSize))
    }

    /// `VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL`: how many more mappings are possible.
    public mutating func appendDMAAvailable(_ available: UInt32) throws(CapabilityBuilderError) {
        try append(
            id: IOMMUCapabilityID.dmaAvailable.rawValue, Type1DMAAvailableCapability(available: available))
    }

    /// `VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE`: the IOVAs that can be mapped.
    public mutating func appendIOVARanges(_ ranges: Span<Type1IOVARange>) throws(CapabilityBuilderError) {
        try append(
            id: IOMMUCapabilityID.iovaRange.rawValue,
            Type1IOVARangeCapability(rangeCount: UInt32(clamping: ranges.count)), records: ranges)
    }
}
