/// What a device may do with mapped memory.
@frozen
public struct IOVAPermissions: OptionSet, Hashable, Sendable, BitwiseCopyable {
    /// The bits.
    public let rawValue: UInt8

    /// The permissions with these bits.
    @inlinable
    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// The device may read the memory.
    @inlinable
    public static var read: IOVAPermissions { IOVAPermissions(rawValue: 1) }

    /// The device may write the memory.
    @inlinable
    public static var write: IOVAPermissions { IOVAPermissions(rawValue: 2) }

    /// The device may do both.
    @inlinable
    public static var readWrite: IOVAPermissions { IOVAPermissions(rawValue: 3) }
}

/// One mapping: a range of I/O virtual addresses, and the memory behind it.
@frozen
public struct IOVAMapping: Hashable, Sendable, BitwiseCopyable {
    /// The addresses that are mapped.
    public var range: IOVARange

    /// Where the memory of the first address lies: a host address, or any other linear position.
    ///
    /// It advances with the address: the byte at `range.first + n` is backed by `backing + n`.
    public var backing: UInt64

    /// What a device may do here.
    public var permissions: IOVAPermissions

    /// A number of the user's choice that stays with the mapping, such as an index or an owner.
    ///
    /// Mappings are merged only if their tags are equal; both halves of a split mapping keep it.
    public var tag: UInt32

    /// A mapping of `range` to the memory that begins at `backing`.
    @inlinable
    public init(
        _ range: IOVARange, backing: UInt64, permissions: IOVAPermissions = .readWrite, tag: UInt32 = 0
    ) {
        self.range = range
        self.backing = backing
        self.permissions = permissions
        self.tag = tag
    }
}

/// Why a map was not changed.
public enum IOVAMapError: Error, Hashable, Sendable {
    /// The new mapping has addresses in common with this one, the lowest of those in its way.
    case overlaps(IOVAMapping)

    /// The memory behind the mapping would go beyond the end of the 64-bit backing space.
    case backingWraps(IOVARange, backing: UInt64)

    /// No mapping has exactly this range.
    case notMapped(IOVARange)

    /// An end of the range lies inside this mapping, which would have to be cut.
    case bisects(IOVAMapping)
}
