import LinuxSystem

/// Part of what is seen in an address space: a range of addresses that shows consecutive bytes of one region.
public struct MemorySection: Sendable, CustomStringConvertible {
    /// The address space.
    public let space: GuestAddressSpace
    /// The region that is seen; keeps it alive.
    public let region: MemoryRegion
    /// Where it is seen.
    public let range: GuestRange
    /// The offset in the region of the range's first byte.
    public let offset: UInt64
    /// Whether writes are refused.
    public let isReadOnly: Bool
    /// Whether what is written stays when the power goes.
    public let isNonvolatile: Bool
    /// Whether it is kept from the DMA of devices.
    public let isHiddenFromDevices: Bool
    /// Who wants to know what is written.
    public let dirtyClients: DirtyClients

    init(_ flat: FlatRange, in space: GuestAddressSpace) {
        self.space = space
        region = flat.region
        range = GuestRange(unchecked: flat.first, flat.last)
        offset = flat.offset
        isReadOnly = flat.isReadOnly
        isNonvolatile = flat.isNonvolatile
        isHiddenFromDevices = flat.isHidden
        dirtyClients = flat.dirtyClients
    }

    private init(_ whole: MemorySection, _ range: GuestRange) {
        space = whole.space
        region = whole.region
        self.range = range
        offset = whole.offset + (range.first.rawValue - whole.range.first.rawValue)
        isReadOnly = whole.isReadOnly
        isNonvolatile = whole.isNonvolatile
        isHiddenFromDevices = whole.isHiddenFromDevices
        dirtyClients = whole.dirtyClients
    }

    /// The part of the section that lies in a range; nil if nothing does.
    public func cut(to other: GuestRange) -> MemorySection? {
        range.intersection(other).map { MemorySection(self, $0) }
    }

    /// "pc.ram+0x1000 at 0x1000...0x9ffff"
    public var description: String { "\(region.name)+0x\(String(offset, radix: 16)) at \(range)" }
}

/// Follows what is seen in an address space.
///
/// Called under the memory map's lock. What is added is removed before it is added differently: every
/// ``added(_:)`` has its ``removed(_:)``, also when the listener is unregistered. In one change all removals come
/// before all additions, each in ascending order.
public protocol MemoryListener: AnyObject {
    /// Lower ones hear of additions first and of removals last; among equals those registered first are first.
    var priority: Int { get }
    /// A change begins.
    func changeBegins()
    /// The change is told.
    func changeEnds()
    /// A section is seen from now on.
    func added(_ section: MemorySection)
    /// A section is no longer seen.
    func removed(_ section: MemorySection)
    /// The section stays, but others want to know what is written to it.
    func loggingChanged(_ section: MemorySection, from old: DirtyClients)
    /// A migration wants to know all that is written from now on.
    /// - Throws: why that can't be; the migration then doesn't start.
    func migrationLogStarts() throws(VFIOGuestError)
    /// The migration no longer wants to know.
    func migrationLogStopped()
    /// Marks in the dirty log of the section's block what was written through this listener since last time.
    /// - Throws: why that isn't known.
    func synchronize(_ section: MemorySection) throws(VFIOGuestError)
}

extension MemoryListener {
    /// 0: first to add, last to remove.
    public var priority: Int { 0 }
    /// Nothing.
    public func changeBegins() {}
    /// Nothing.
    public func changeEnds() {}
    /// Nothing.
    public func loggingChanged(_ section: MemorySection, from old: DirtyClients) {}
    /// Nothing.
    public func migrationLogStarts() throws(VFIOGuestError) {}
    /// Nothing.
    public func migrationLogStopped() {}
    /// Nothing.
    public func synchronize(_ section: MemorySection) throws(VFIOGuestError) {}
}
