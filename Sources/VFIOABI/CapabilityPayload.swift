// What the capabilities of vfio.h and vfio_zdev.h hold. Each reader expects the capability that its name says: the
// identifier alone is ambiguous, because each information structure has its own numbers.

extension Capability {
    /// `VFIO_REGION_INFO_CAP_SPARSE_MMAP` of `RegionInfo`: the areas that can be mapped.
    @inlinable
    @_lifetime(copy self)
    public func sparseMmapAreas() throws(CapabilityChainError) -> TrailingArray<SparseMmapArea> {
        let head = try load(as: SparseMmapCapability.self)
        return try records(
            behind: MemoryLayout<SparseMmapCapability>.size, count: head.areaCount, of: SparseMmapArea.self)
    }

    /// `VFIO_REGION_INFO_CAP_TYPE` of `RegionInfo`: what a device-specific region is.
    @inlinable
    public func regionType() throws(CapabilityChainError) -> RegionTypeCapability { try load() }

    /// `VFIO_REGION_INFO_CAP_NVLINK2_SSATGT` of `RegionInfo`.
    @inlinable
    public func nvlink2SSATarget() throws(CapabilityChainError) -> NVLink2SSATargetCapability { try load() }

    /// `VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD` of `RegionInfo`.
    @inlinable
    public func nvlink2LinkSpeed() throws(CapabilityChainError) -> NVLink2LinkSpeedCapability { try load() }

    /// `VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE` of `IOMMUType1Info`: the IOVAs that can be mapped.
    @inlinable
    @_lifetime(copy self)
    public func iovaRanges() throws(CapabilityChainError) -> TrailingArray<Type1IOVARange> {
        let head = try load(as: Type1IOVARangeCapability.self)
        return try records(
            behind: MemoryLayout<Type1IOVARangeCapability>.size, count: head.rangeCount,
            of: Type1IOVARange.self)
    }

    /// `VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION` of `IOMMUType1Info`: dirty tracking.
    @inlinable
    public func migration() throws(CapabilityChainError) -> Type1MigrationCapability { try load() }

    /// `VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL` of `IOMMUType1Info`: how many more mappings are possible.
    @inlinable
    public func dmaAvailable() throws(CapabilityChainError) -> Type1DMAAvailableCapability { try load() }

    /// `VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP` of `DeviceInfo`: atomic operations that memory completes.
    @inlinable
    public func pciAtomicCompletion() throws(CapabilityChainError) -> PCIAtomicCompletionCapability {
        try load()
    }

    /// `VFIO_DEVICE_INFO_CAP_ZPCI_BASE` of `DeviceInfo`. Version 1 ends before the function handle, which is then 0.
    @inlinable
    public func zpciBase() throws(CapabilityChainError) -> ZPCIBaseCapability {
        try load(firstVersionSize: 32)
    }

    /// `VFIO_DEVICE_INFO_CAP_ZPCI_GROUP` of `DeviceInfo`. Version 1 ends before the size of interpreted store
    /// blocks, which is then 0.
    @inlinable
    public func zpciGroup() throws(CapabilityChainError) -> ZPCIGroupCapability {
        try load(firstVersionSize: 40)
    }

    /// `VFIO_DEVICE_INFO_CAP_ZPCI_UTIL` of `DeviceInfo`: the utility string, in EBCDIC.
    @inlinable
    @_lifetime(copy self)
    public func zpciUtilityString() throws(CapabilityChainError) -> RawSpan {
        let head = try load(as: ZPCIUtilityCapability.self)
        return try trailingBytes(behind: MemoryLayout<ZPCIUtilityCapability>.size, count: head.size)
    }

    /// `VFIO_DEVICE_INFO_CAP_ZPCI_PFIP` of `DeviceInfo`: the path to the function.
    @inlinable
    @_lifetime(copy self)
    public func zpciFunctionPath() throws(CapabilityChainError) -> RawSpan {
        let head = try load(as: ZPCIPFIPCapability.self)
        return try trailingBytes(behind: MemoryLayout<ZPCIPFIPCapability>.size, count: head.size)
    }

    /// Reads a structure whose first version was shorter; what the version lacks is zero.
    @inlinable
    func load<Structure: ABIValue>(firstVersionSize: Int) throws(CapabilityChainError) -> Structure {
        if version >= 2 { return try load() }
        let known = bytes.extracting(first: min(firstVersionSize, bytes.byteCount))
        guard let structure = Structure(prefixOf: known, minimumSize: firstVersionSize) else {
            throw CapabilityChainError(
                .truncatedPayload, at: offset, value: UInt32(clamping: firstVersionSize))
        }
        return structure
    }

    @inlinable
    @_lifetime(copy self)
    func trailingBytes(behind structureSize: Int, count: UInt32) throws(CapabilityChainError) -> RawSpan {
        guard let count = Int(exactly: count), count <= bytes.byteCount - structureSize else {
            throw CapabilityChainError(.truncatedPayload, at: offset, value: count)
        }
        return bytes.extracting(structureSize..<structureSize + count)
    }
}
