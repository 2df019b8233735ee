import VFIO

/// An IOMMU of the guest's: what translates the addresses of an ``MemoryRegion/Kind/iommu(_:)`` region.
///
/// Used under the memory map's lock, except for ``translate(_:for:index:)``.
public protocol GuestIOMMU: AnyObject, Sendable {
    /// Translates an address. From any thread.
    /// - Parameters:
    ///   - offset: an address within the region.
    ///   - access: what is to be done there; none to only look.
    ///   - index: which kind of access it is, less than ``indexCount``.
    /// - Returns: what lies there; without permissions where nothing does, and then about a block in which nothing does.
    func translate(_ offset: UInt64, for access: DMAPermissions, index: Int) -> IOMMUEntry

    /// The address space that translations lead to: the guest's system memory.
    var target: GuestAddressSpace { get }

    /// Those who are told what changes.
    var notifiers: IOMMUNotifiers { get }

    /// The smallest block that is translated alone, in bytes: a power of two.
    var smallestPage: UInt64 { get }

    /// Hears that it is to tell of other events than before.
    /// - Throws: why it can't. Not when it has only less to tell.
    func willTell(_ events: IOMMUEvents, before: IOMMUEvents) throws(VFIOGuestError)

    /// Hears what sizes of pages the machine's IOMMU has that is kept in step with this one: from now on, nothing
    /// smaller than the smallest of them may be mapped.
    /// - Throws: why that can't be.
    func limitPageSizes(to sizes: VIOMMUPageSizes) throws(VFIOGuestError)

    /// Tells one notifier of all that is mapped in its range, in ascending order.
    func replay(to notifier: IOMMUNotifier)

    /// Something that not every IOMMU has.
    /// - Returns: nil where this one doesn't have it.
    func value(of attribute: IOMMUAttribute) -> IOMMUAttribute.Value?

    /// How many kinds of access are translated differently (secure and non-secure ones, for instance).
    var indexCount: Int { get }

    /// The kind that an access is of.
    func index(for access: IOMMUAccessAttributes) -> Int
}

/// What a device says about an access besides the address.
public struct IOMMUAccessAttributes: Hashable, Sendable {
    /// Whether it is made in the secure state.
    public var isSecure: Bool
    /// Who makes it: a PCI requester ID; nil if that isn't told.
    public var requester: UInt16?

    /// Describes an access; without arguments one that nothing is known about.
    public init(isSecure: Bool = false, requester: UInt16? = nil) {
        self.isSecure = isSecure
        self.requester = requester
    }
}

/// What an IOMMU of the guest can be asked for.
public enum IOMMUAttribute: Hashable, Sendable {
    /// The descriptor of the table that KVM keeps for it: `IOMMU_ATTR_SPAPR_TCE_FD`.
    case kernelTable

    /// An answer.
    public enum Value: Hashable, Sendable {
        /// An open descriptor, which stays the IOMMU's.
        case descriptor(Int32)
    }
}

extension GuestIOMMU {
    /// 4 KiB.
    public var smallestPage: UInt64 { 4096 }

    /// All events are told.
    public func willTell(_ events: IOMMUEvents, before: IOMMUEvents) throws(VFIOGuestError) {}

    /// Refused if this IOMMU's smallest page is smaller.
    public func limitPageSizes(to sizes: VIOMMUPageSizes) throws(VFIOGuestError) {
        guard let smallest = sizes.smallest, smallest <= smallestPage else {
            throw VFIOError(
                operation: "map the guest's pages of \(smallestPage) bytes", object: "the guest's IOMMU",
                code: .notSupported,
                cause: "the machine's IOMMU has pages of the sizes \(sizes) and no smaller ones")
        }
    }

    /// Asks for one translation after the other. Takes as long as there are blocks in the notifier's range, mapped ones
    /// and empty ones: an IOMMU whose region is large says in one entry of all that is empty, or replays by itself.
    public func replay(to notifier: IOMMUNotifier) {
        var offset = notifier.range.lowerBound & ~(smallestPage - 1)
        while true {
            let entry = translate(offset, for: [], index: notifier.index)
            if !entry.permissions.isEmpty { notifier.tell(.map, entry) }
            // An entry that isn't about what was asked says nothing about how far it goes.
            let (last, overflow) = entry.iova.addingReportingOverflow(entry.lastOffset)
            let isUsable = entry.iova <= offset && !overflow && last >= offset
            let end = isUsable ? last : offset | (smallestPage - 1)
            guard end < notifier.range.upperBound else { return }
            offset = end + 1
        }
    }

    /// Nothing.
    public func value(of attribute: IOMMUAttribute) -> IOMMUAttribute.Value? { nil }

    /// One.
    public var indexCount: Int { 1 }

    /// The only one.
    public func index(for access: IOMMUAccessAttributes) -> Int { 0 }

    /// Translates an access that nothing else is known about.
    public func translate(_ offset: UInt64, for access: DMAPermissions) -> IOMMUEntry {
        translate(offset, for: access, index: index(for: IOMMUAccessAttributes()))
    }
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
