import IOVASpace
import LinuxSystem
import VFIO

/// An IOMMU for a guest, in software: its driver writes page tables into guest memory, hands over the root, and says
/// what it has changed.
///
/// The driver's contract is that of an IOMMU with a caching mode: after **every** change of the tables, also where
/// nothing was mapped before, it calls ``invalidate(_:)``. What the tables say in between counts for accesses that go
/// through ``translate(_:for:index:)``, and not for those who follow what is mapped.
///
/// It stands behind a region of kind ``MemoryRegion/Kind/iommu(_:)``, whose offset 0 is IOVA 0. A device that is to
/// bypass it sees another region in that place.
///
/// The methods may be called from any thread; they take the memory map's lock.
public final class VIOMMU: GuestIOMMU, @unchecked Sendable {
    /// What a vIOMMU can do, and how much a guest may ask of it.
    public struct Configuration: Sendable {
        /// How wide guest-physical addresses are: 30…52 bits.
        public var addressBits = 48
        /// The pages that tables may map: some of 4 KiB, 2 MiB and 1 GiB.
        public var pageSizes: VIOMMUPageSizes = [.kib4, .mib2, .gib1]
        /// Whether the driver keeps to the contract of the caching mode; without it nobody can follow what is mapped.
        public var hasCachingMode = true
        /// How many pages are kept track of at most; further ones aren't mapped for those who follow. Takes about 45
        /// bytes for each.
        public var mappingLimit = 1 << 20
        /// How many words of the tables are read at most for one invalidation.
        public var wordLimit = 1 << 24
        /// How many faults are kept until somebody takes them.
        public var faultLimit = 64

        /// The usual ones.
        public init() {}
    }

    /// Those who are told what changes.
    public let notifiers = IOMMUNotifiers()
    /// Where translations lead, and the tables lie: the guest's system memory.
    public let target: GuestAddressSpace
    let configuration: Configuration
    let lock: RecursiveLock
    /// Guards what accesses of devices touch, on whatever thread: the table and the log.
    private let accessLock = Lock()
    private var current: VIOMMUPageTable?
    private var faultLog: VIOMMULog<VIOMMUFault>
    // All below is guarded by the memory map's lock.
    var pageSizes: VIOMMUPageSizes
    /// What those who follow have been told to be mapped: every page as the tables had it, backed by its guest-physical
    /// address. Empty while nobody follows.
    var told = IOVAMap(mergingAdjacent: false)
    var isSynchronizing = false
    /// What was invalidated by those who were being told of something.
    var waiting: [IOVARange] = []
    private var hasBeenUsed = false

    /// A vIOMMU that lets nothing through until the guest gives it a table.
    /// - Throws: ``/VFIO/VFIOError/Code/notSupported`` for a width or page sizes that it can't have.
    public init(
        to target: GuestAddressSpace, _ configuration: Configuration = Configuration()
    ) throws(VFIOGuestError) {
        guard (30...52).contains(configuration.addressBits), !configuration.pageSizes.isEmpty,
            configuration.pageSizes.isSubset(of: [.kib4, .mib2, .gib1])
        else {
            throw VFIOError(
                operation: "make a vIOMMU", object: target.name, code: .notSupported,
                cause: "\(configuration.addressBits) address bits with pages of \(configuration.pageSizes)")
        }
        self.target = target
        self.configuration = configuration
        lock = target.memory.lock
        pageSizes = configuration.pageSizes
        faultLog = VIOMMULog(capacity: configuration.faultLimit)
    }

    // MARK: the guest's driver

    /// Puts a table in force; all of the old one's pages are invalidated.
    /// - Parameter root: where the table of level 4 begins in guest memory; nil to let nothing through.
    /// - Throws: ``/VFIO/VFIOError/Code/misaligned`` if no table can begin there; the old one then stays.
    public func setTable(_ root: GuestAddress?) throws(VFIOGuestError) {
        try lock.withLock { () throws(VFIOGuestError) in
            if let root {
                guard
                    let new = VIOMMUPageTable(
                        root: root, addressBits: configuration.addressBits, pageSizes: pageSizes)
                else {
                    throw VFIOError(
                        operation: "use the page table at \(root)", object: "the vIOMMU", code: .misaligned,
                        cause: "it isn't a multiple of 4 KiB of \(configuration.addressBits) bits")
                }
                accessLock.withLock { current = new }
                hasBeenUsed = true
            } else {
                accessLock.withLock { current = nil }
            }
            invalidate(VIOMMUPageTable.inputRange)
        }
    }

    /// Brings those who follow in step with the tables, in a range: what they were told of and is different or gone is
    /// unmapped, then what is new is mapped, ascending.
    ///
    /// A page that lies in the range only in part is looked at whole. Others hear that all of the range is unmapped.
    public func invalidate(_ range: IOVARange) {
        lock.withLock {
            // The tables map nothing beyond, and so nobody knows of anything there.
            guard let range = range.intersection(VIOMMUPageTable.inputRange) else { return }
            waiting.append(range)
            synchronize()
        }
    }

    /// Lets devices know that the translations of a range that they keep themselves are void.
    public func invalidateInDevices(_ range: IOVARange) {
        lock.withLock {
            notifiers.tell(.deviceUnmap, entry(range, GuestAddress(0), []))
        }
    }

    /// What went wrong since this was last called. The driver's, to find its mistakes and its devices' ones.
    public func takeFaults() -> VIOMMULog<VIOMMUFault> { accessLock.withLock { faultLog.take() } }

    func log(_ fault: VIOMMUFault) { accessLock.withLock { faultLog.append(fault) } }

    /// The table in force; nil if nothing is let through.
    var table: VIOMMUPageTable? { accessLock.withLock { current } }

    // MARK: GuestIOMMU

    /// Walks the tables as they are now. What fails is logged, unless there is no access.
    public func translate(_ offset: UInt64, for access: DMAPermissions, index: Int) -> IOMMUEntry {
        let iova = IOVA(offset)
        do throws(VIOMMUFault) {
            guard let table else { throw VIOMMUFault(.blocked, at: iova) }
            var words = GuestAddressSpaceWords(target)
            return entry(try table.page(at: iova, for: access, in: &words))
        } catch {
            if !access.isEmpty { log(error) }
            let page = offset & ~4095
            return entry(IOVARange(page, through: page + 4095), GuestAddress(0), [])
        }
    }

    /// The smallest page that tables may map.
    public var smallestPage: UInt64 { lock.withLock { pageSizes.smallest ?? 4096 } }

    /// Refuses to tell what is mapped where the driver doesn't say when that changes.
    public func willTell(_ events: IOMMUEvents, before: IOMMUEvents) throws(VFIOGuestError) {
        if events.contains(.map), !configuration.hasCachingMode {
            throw VFIOError(
                operation: "follow what the vIOMMU maps", object: "the vIOMMU", code: .notSupported,
                cause: "without caching mode the guest doesn't tell what it maps",
                remedy: "give the vIOMMU a caching mode, or the device no vIOMMU")
        }
        lock.withLock {
            if events.contains(.map), !before.contains(.map) { startFollowing() }
            if !events.contains(.map), before.contains(.map) { told.removeAll() }
        }
    }

    /// Takes away the sizes that the machine's IOMMU can't map.
    /// - Throws: ``/VFIO/VFIOError/Code/notSupported`` if none would be left; ``/VFIO/VFIOError/Code/busy``
    ///   if the guest has used a table, and so counts on the sizes that it was told.
    public func limitPageSizes(to sizes: VIOMMUPageSizes) throws(VFIOGuestError) {
        let operation = "map the guest's pages"
        let cause = "the machine's IOMMU has pages of the sizes \(sizes), the vIOMMU of \(pageSizes)"
        try lock.withLock { () throws(VFIOGuestError) in
            let left = sizes.smallest.map { pageSizes.atLeast($0) } ?? []
            guard !left.isEmpty else {
                throw VFIOError(
                    operation: operation, object: "the vIOMMU", code: .notSupported, cause: cause)
            }
            guard left == pageSizes || !hasBeenUsed else {
                throw VFIOError(
                    operation: operation, object: "the vIOMMU", code: .busy,
                    cause: cause + ", and the guest uses it already",
                    remedy: "add the device before the guest starts, or leave out the smaller pages")
            }
            pageSizes = left
        }
    }

    /// Tells one notifier of all pages that those who follow were told of. Nobody who isn't registered hears anything.
    public func replay(to notifier: IOMMUNotifier) {
        lock.withLock { tellAll(to: notifier) }
    }

    func entry(_ page: VIOMMUPage) -> IOMMUEntry { entry(page.range, page.address, page.permissions) }

    func entry(_ range: IOVARange, _ address: GuestAddress, _ permissions: DMAPermissions) -> IOMMUEntry {
        IOMMUEntry(
            target: target, iova: range.first.rawValue, translated: address, lastOffset: range.lastOffset,
            permissions: permissions)
    }
}
