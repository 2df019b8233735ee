/// A structure that a capability chain may follow: `DeviceInfo`, `RegionInfo`, `IOMMUType1Info`.
public protocol CapabilityCarrier: SizePrefixed {
    /// `argsz`.
    var argsz: UInt32 { get set }
    /// `cap_offset`: where the chain starts, 0 for none.
    var capabilityOffset: UInt32 { get set }
    /// Whether the flag is set that says: there are capabilities.
    var hasCapabilities: Bool { get set }
}

/// The capabilities behind an information structure, in the order of the chain.
///
/// The bytes may come from anyone. The walk needs no memory, ends after at most one step for every 8 bytes, and
/// refuses what is wrong with the chain instead of guessing:
///
/// - `cap_offset` and every `next` must be aligned, lie behind the information structure, and lead forward by at
///   least a header (so a loop is refused where it turns back);
/// - every header must be wholly inside the bytes.
///
/// ```swift
/// var chain = CapabilityChain(of: info, in: bytes)
/// while let capability = try chain.next() { … }
/// ```
public struct CapabilityChain: ~Escapable {
    @usableFromInline let bytes: RawSpan
    @usableFromInline let structureSize: Int
    @usableFromInline let alignment: Int
    @usableFromInline var current: Int
    @usableFromInline var following: UInt32

    /// Walks the chain that starts at `offset`.
    ///
    /// - Parameters:
    ///   - bytes: The information structure and all that follows it; offsets count from its first byte.
    ///   - offset: `cap_offset`: where the first capability is. 0 is a chain without capabilities.
    ///   - structureSize: The bytes of the information structure, which no capability may overlap.
    ///   - alignment: What offsets are multiples of, a positive number. 4 by default because a header holds
    ///     32-bit numbers; Linux 6.1 does not keep to 8 (offsets 24, 56, 68), though 6.12 and 7.2 do.
    @inlinable
    @_lifetime(copy bytes)
    public init(_ bytes: RawSpan, startingAt offset: UInt32, structureSize: Int, alignment: Int = 4) {
        precondition(alignment > 0, "an alignment is a positive number")
        self.bytes = bytes
        self.structureSize = structureSize
        self.alignment = alignment
        self.current = 0
        self.following = offset
    }

    /// Walks the chain behind an information structure.
    ///
    /// The chain is empty where the structure says that it has no capabilities, or that they did not fit
    /// (`cap_offset` 0 although the flag is set: ask again with room for `argsz` bytes).
    ///
    /// - Parameters:
    ///   - structure: The structure as answered.
    ///   - bytes: The structure's own bytes and all that follows. What is beyond `argsz` is not looked at: the
    ///     answer doesn't reach there.
    ///   - alignment: See `init(_:startingAt:structureSize:alignment:)`.
    @inlinable
    @_lifetime(copy bytes)
    public init(of structure: some CapabilityCarrier, in bytes: RawSpan, alignment: Int = 4) {
        let answered = min(bytes.byteCount, Int(clamping: structure.argsz))
        self.init(
            bytes.extracting(first: answered),
            startingAt: structure.hasCapabilities ? structure.capabilityOffset : 0,
            structureSize: MemoryLayout.size(ofValue: structure), alignment: alignment)
    }

    /// Goes to the next capability.
    ///
    /// After an error the chain is at its end.
    ///
    /// - Returns: nil at the end of the chain.
    @inlinable
    @_lifetime(copy self)
    public mutating func next() throws(CapabilityChainError) -> Capability? {
        guard following != 0 else { return nil }
        let link = following
        let from = current
        following = 0
        guard let offset = Int(exactly: link), offset < bytes.byteCount else {
            throw CapabilityChainError(.outsideBuffer, at: from, value: link)
        }
        guard offset >= structureSize else {
            throw CapabilityChainError(.insideStructure, at: from, value: link)
        }
        if from != 0 {
            guard offset > from else { throw CapabilityChainError(.backward, at: from, value: link) }
            guard offset - from >= MemoryLayout<CapabilityHeader>.size else {
                throw CapabilityChainError(.overlapping, at: from, value: link)
            }
        }
        guard offset % alignment == 0 else { throw CapabilityChainError(.misaligned, at: from, value: link) }
        guard let header = CapabilityHeader(bytes, at: offset) else {
            throw CapabilityChainError(.truncatedHeader, at: offset, value: link)
        }
        current = offset
        following = header.next
        // A capability doesn't tell its size. It ends at the latest where the next one starts; where `next` is
        // no good the next call says so, and this one may use what there is.
        var end = bytes.byteCount
        if let next = Int(exactly: header.next), next >= offset + MemoryLayout<CapabilityHeader>.size,
            next < end
        {
            end = next
        }
        return Capability(header: header, offset: offset, bytes: bytes.extracting(offset..<end))
    }

    /// Goes to the next capability that has the identifier.
    ///
    /// - Returns: nil where none is left.
    @inlinable
    @_lifetime(copy self)
    public mutating func next(id: UInt16) throws(CapabilityChainError) -> Capability? {
        while let capability = try next() {
            if capability.id == id { return capability }
        }
        return nil
    }
}

/// One capability of a chain.
public struct Capability: ~Escapable {
    /// The header.
    public let header: CapabilityHeader

    /// Where the capability is, in bytes from the start of the information structure.
    public let offset: Int

    /// Header and payload. The end is a bound, not the capability's own size, which the chain doesn't tell:
    /// bytes up to the next capability or up to the end of the answer.
    public let bytes: RawSpan

    @inlinable
    @_lifetime(copy bytes)
    init(header: CapabilityHeader, offset: Int, bytes: RawSpan) {
        self.header = header
        self.offset = offset
        self.bytes = bytes
    }

    /// What the capability is; the meaning depends on the structure that the chain belongs to.
    @inlinable public var id: UInt16 { header.id }

    /// The version of its layout.
    @inlinable public var version: UInt16 { header.version }

    /// What follows the header, up to the bound that `bytes` has.
    @inlinable public var payload: RawSpan {
        @_lifetime(copy self)
        get { bytes.extracting(droppingFirst: MemoryLayout<CapabilityHeader>.size) }
    }

    /// Reads the capability as the structure that its identifier stands for, header included.
    @inlinable
    public func load<Structure: ABIValue>(
        as type: Structure.Type = Structure.self
    ) throws(CapabilityChainError) -> Structure {
        guard let structure = Structure(bytes) else {
            throw CapabilityChainError(
                .truncatedPayload, at: offset, value: UInt32(clamping: MemoryLayout<Structure>.size))
        }
        return structure
    }

    /// The records that follow a structure in the capability.
    @inlinable
    @_lifetime(copy self)
    func records<Element: ABIValue>(
        behind structureSize: Int, count: UInt32, of type: Element.Type
    ) throws(CapabilityChainError) -> TrailingArray<Element> {
        guard let records = TrailingArray<Element>(bytes, at: structureSize, count: count) else {
            throw CapabilityChainError(.truncatedPayload, at: offset, value: count)
        }
        return records
    }
}

extension DeviceInfo: CapabilityCarrier {
    /// `VFIO_DEVICE_FLAGS_CAPS`.
    @inlinable public var hasCapabilities: Bool {
        get { flags.contains(.caps) }
        set { flags = newValue ? flags.union(.caps) : flags.subtracting(.caps) }
    }
}

extension RegionInfo: CapabilityCarrier {
    /// `VFIO_REGION_INFO_FLAG_CAPS`.
    @inlinable public var hasCapabilities: Bool {
        get { flags.contains(.caps) }
        set { flags = newValue ? flags.union(.caps) : flags.subtracting(.caps) }
    }
}

extension IOMMUType1Info: CapabilityCarrier {
    /// `VFIO_IOMMU_INFO_CAPS`.
    @inlinable public var hasCapabilities: Bool {
        get { flags.contains(.caps) }
        set { flags = newValue ? flags.union(.caps) : flags.subtracting(.caps) }
    }
}
