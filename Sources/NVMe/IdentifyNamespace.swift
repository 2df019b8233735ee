/// Identify Namespace: 4096 bytes (CNS 00h; NVM Command Set 1.0, Figure 97).
public struct IdentifyNamespace: BytePage {
    /// The number of bytes of the structure.
    public static let byteCount = 4096
    /// The bytes, as they go over DMA.
    public var bytes: PageBytes
    /// A structure with these bytes, which the caller knows to be `byteCount` many.
    public init(unchecked bytes: PageBytes) { self.bytes = bytes }

    /// NSZE: the blocks of the namespace.
    public var size: UInt64 {
        get { bytes.load(0) }
        set { bytes.store(newValue, 0) }
    }
    /// NCAP: the blocks that may be allocated at one time.
    public var capacity: UInt64 {
        get { bytes.load(8) }
        set { bytes.store(newValue, 8) }
    }
    /// NUSE: the blocks that are allocated.
    public var utilization: UInt64 {
        get { bytes.load(16) }
        set { bytes.store(newValue, 16) }
    }
    /// NSFEAT: bit 0 thin provisioning, bit 1 own atomic units, bit 2 errors for deallocated blocks, bit 4 optimal sizes.
    public var features: UInt8 {
        get { bytes.load(24) }
        set { bytes.store(newValue, 24) }
    }
    /// NLBAF: one less than the LBA formats.
    public var formatCountZeroBased: UInt8 {
        get { bytes.load(25) }
        set { bytes.store(newValue, 25) }
    }
    /// FLBAS: the format in use in bits 3:0, metadata at the end of the data in bit 4.
    public var formattedSize: UInt8 {
        get { bytes.load(26) }
        set { bytes.store(newValue, 26) }
    }
    /// MC: bit 0 metadata with the data, bit 1 apart from it.
    public var metadataCapabilities: UInt8 {
        get { bytes.load(27) }
        set { bytes.store(newValue, 27) }
    }
    /// DPC: the protection types the namespace can have.
    public var protectionCapabilities: UInt8 {
        get { bytes.load(28) }
        set { bytes.store(newValue, 28) }
    }
    /// DPS: the protection type in bits 2:0; 0 is none.
    public var protectionSettings: UInt8 {
        get { bytes.load(29) }
        set { bytes.store(newValue, 29) }
    }
    /// NMIC: bit 0, more than one controller may have the namespace.
    public var sharing: UInt8 {
        get { bytes.load(30) }
        set { bytes.store(newValue, 30) }
    }
    /// RESCAP: the reservations the namespace can have.
    public var reservationCapabilities: UInt8 {
        get { bytes.load(31) }
        set { bytes.store(newValue, 31) }
    }
    /// FPI: bit 7 supported, bits 6:0 the percentage that is still to be formatted.
    public var formatProgress: UInt8 {
        get { bytes.load(32) }
        set { bytes.store(newValue, 32) }
    }
    /// DLFEAT: bits 2:0 what deallocated blocks read as (1: zeroes), bit 3 Write Zeroes may deallocate.
    public var deallocation: UInt8 {
        get { bytes.load(33) }
        set { bytes.store(newValue, 33) }
    }
    /// NAWUN: the namespace's own AWUN, if NSFEAT bit 1 is set.
    public var atomicWriteUnitZeroBased: UInt16 {
        get { bytes.load(34) }
        set { bytes.store(newValue, 34) }
    }
    /// NAWUPF: the namespace's own AWUPF, if NSFEAT bit 1 is set.
    public var atomicWriteUnitPowerFailZeroBased: UInt16 {
        get { bytes.load(36) }
        set { bytes.store(newValue, 36) }
    }
    /// NABO: where the first atomic boundary lies.
    public var atomicBoundaryZeroBased: UInt16 {
        get { bytes.load(40) }
        set { bytes.store(newValue, 40) }
    }
    /// NOIOB: reads and writes should not cross a multiple of this many blocks; 0 is not told.
    public var optimalBoundary: UInt16 {
        get { bytes.load(46) }
        set { bytes.store(newValue, 46) }
    }
    /// NVMCAP: the bytes of the medium that belong to the namespace.
    public var capacityBytes: UInt128 {
        get { bytes.load(48) }
        set { bytes.store(newValue, 48) }
    }
    /// NPWG, if NSFEAT bit 4 is set.
    public var preferredWriteGranularityZeroBased: UInt16 {
        get { bytes.load(64) }
        set { bytes.store(newValue, 64) }
    }
    /// NPWA, if NSFEAT bit 4 is set.
    public var preferredWriteAlignmentZeroBased: UInt16 {
        get { bytes.load(66) }
        set { bytes.store(newValue, 66) }
    }
    /// NPDG, if NSFEAT bit 4 is set.
    public var preferredDeallocateGranularityZeroBased: UInt16 {
        get { bytes.load(68) }
        set { bytes.store(newValue, 68) }
    }
    /// NPDA, if NSFEAT bit 4 is set.
    public var preferredDeallocateAlignmentZeroBased: UInt16 {
        get { bytes.load(70) }
        set { bytes.store(newValue, 70) }
    }
    /// NOWS, if NSFEAT bit 4 is set.
    public var optimalWriteSizeZeroBased: UInt16 {
        get { bytes.load(72) }
        set { bytes.store(newValue, 72) }
    }
    /// NSATTR: bit 0, the namespace is write protected.
    public var attributes: UInt8 {
        get { bytes.load(99) }
        set { bytes.store(newValue, 99) }
    }
    /// NGUID: 16 bytes, the most significant first; all zero is not told.
    public var globalID: [UInt8] {
        get { bytes.bytes(at: 104, count: 16) }
        set { if newValue.count == 16 { bytes.store(newValue, at: 104) } }
    }
    /// EUI64: 8 bytes, the most significant first; all zero is not told.
    public var extendedUniqueID: [UInt8] {
        get { bytes.bytes(at: 120, count: 8) }
        set { if newValue.count == 8 { bytes.store(newValue, at: 120) } }
    }
    /// LBAF0 to LBAF15: an LBA format; nil from `formatCountZeroBased` + 1 on.
    public func format(_ index: Int) -> LBAFormat? {
        guard index >= 0, index <= Int(formatCountZeroBased), index < 64 else { return nil }
        return LBAFormat(rawValue: bytes.load(128 + 4 * index))
    }
    /// Puts an LBA format at an index of 0...63; does nothing elsewhere.
    public mutating func setFormat(_ index: Int, _ format: LBAFormat) {
        guard (0..<64).contains(index) else { return }
        bytes.store(format.rawValue, 128 + 4 * index)
    }
    /// The index of the format in use: FLBAS bits 3:0, and bits 6:5 above them when there are more than 16.
    public var formatIndex: Int {
        let low = Int(formattedSize & 0xf)
        return formatCountZeroBased > 15 ? low | Int((formattedSize >> 5) & 3) << 4 : low
    }
    /// The format in use; nil when the index points behind the formats.
    public var currentFormat: LBAFormat? { format(formatIndex) }
    /// Whether there is a namespace at all: an inactive one is told as all zeroes.
    public var isActive: Bool { size != 0 }
}

/// An LBA format: 4 bytes (NVM Command Set 1.0, Figure 98).
public struct LBAFormat: RawRepresentable, Equatable, Sendable {
    /// The format as it lies in the page.
    public var rawValue: UInt32
    /// A format from its 32 bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// A format of blocks of 2 ^ `dataExponent` bytes.
    public init(dataExponent: UInt8, metadataSize: UInt16 = 0, relativePerformance: UInt8 = 0) {
        rawValue =
            UInt32(metadataSize) | UInt32(dataExponent) << 16 | UInt32(relativePerformance & 3) << 24
    }
    /// MS: the bytes of metadata of a block.
    public var metadataSize: Int { Int(rawValue & 0xffff) }
    /// LBADS: a block has 2 ^ this bytes; at least 9. 0 is a format that isn't there.
    public var dataExponent: UInt8 { UInt8((rawValue >> 16) & 0xff) }
    /// The bytes of a block; nil when LBADS isn't one that can be: 9...30.
    public var blockSize: Int? { (9...30).contains(dataExponent) ? 1 << Int(dataExponent) : nil }
    /// RP: 0 best to 3 degraded.
    public var relativePerformance: UInt8 { UInt8((rawValue >> 24) & 3) }
}
