import VFIO

/// An IOMMU of the guest's: what translates the addresses of an ``MemoryRegion/Kind/iommu(_:)`` region.
public protocol GuestIOMMU: AnyObject, Sendable {
    /// Translates an address.
    /// - Parameters:
    ///   - offset: an address within the region.
    ///   - access: what is to be done there; none to only look.
    /// - Returns: what lies there; without permissions where nothing does.
    func translate(_ offset: UInt64, for access: DMAPermissions) -> IOMMUEntry
}

/// A translation: a block of addresses, and where it leads.
public struct IOMMUEntry: Sendable {
    /// The address space that it leads to.
    public var target: GuestAddressSpace
    /// The block's first address, as an offset in the IOMMU's region.
    public var iova: UInt64
    /// Where its first byte lies in ``target``.
    public var translated: GuestAddress
    /// The block's length in bytes less one. A whole power of two less one, unless an event was cut to what a
    /// notifier asked for.
    public var lastOffset: UInt64
    /// What may be done; none if nothing is mapped (any longer).
    public var permissions: DMAPermissions

    /// Describes a translation.
    public init(
        target: GuestAddressSpace, iova: UInt64, translated: GuestAddress, lastOffset: UInt64,
        permissions: DMAPermissions
    ) {
        self.target = target
        self.iova = iova
        self.translated = translated
        self.lastOffset = lastOffset
        self.permissions = permissions
    }
}
