import IOVASpace

/// What a device may do with memory.
public struct DMAPermissions: OptionSet, Hashable, Sendable {
    /// The bits of `VFIO_DMA_MAP_FLAG_READ` and `…_WRITE`.
    public let rawValue: UInt32
    /// Wraps bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// The device may read: `VFIO_DMA_MAP_FLAG_READ`.
    public static let read = DMAPermissions(rawValue: 1)
    /// The device may write: `VFIO_DMA_MAP_FLAG_WRITE`.
    public static let write = DMAPermissions(rawValue: 2)
    /// Both.
    public static let readWrite: DMAPermissions = [.read, .write]

    /// What the map of ranges keeps.
    public init(_ permissions: IOVAPermissions) {
        self = []
        if permissions.contains(.read) { insert(.read) }
        if permissions.contains(.write) { insert(.write) }
    }

    /// The same, as the map of ranges keeps it.
    public var permissions: IOVAPermissions {
        var permissions: IOVAPermissions = []
        if contains(.read) { permissions.insert(.read) }
        if contains(.write) { permissions.insert(.write) }
        return permissions
    }
}
