import IOVASpace
import LinuxSystem
import VFIOABI

/// The type1 IOMMU driver of one container (kernel.md B): mappings of user memory for all devices of its
/// groups, which share one page table.
///
/// Every request runs alone, under `mutex`; devices meanwhile go through `space`, whose lock is held for
/// moments only.
final class Type1: @unchecked Sendable {
    // SAFETY: everything that changes is changed with `mutex` held.
    let mutex = Lock()
    /// Where the devices find the mappings; changed with `mutex` held.
    let space: DMASpace
    let isVersion2: Bool
    let iommu: IOMMU
    let process: Process
    let parameters: Shared<ModuleParameters>
    /// How many mappings there may be.
    let entryLimit: UInt32
    /// What is known of each mapping beyond the map's own knowledge; its index is the mapping's tag.
    var records: [Record] = []
    var unusedRecords: [UInt32] = []
    /// How many further mappings there may be.
    var available: UInt32
    /// The addresses that all groups can use; empty while there is no group.
    var usable: [IOVARange] = []
    /// The page sizes that all groups have.
    var pageSizes: UInt64
    /// How many mappings wait for a new address (kernel.md B.6).
    var invalidAddressCount = 0
    var tracksDirtyPages = false
    /// How much memory the buffers for dirty bits take, in bytes.
    var reportByteCount: UInt64 = 0
    /// The groups, in the order in which they were attached.
    var members: [Member] = []
    /// The devices that want to know what is unmapped.
    var clients: [EmulatedDMA] = []
    private var isReleased = false

    /// A group that is attached.
    struct Member {
        let group: MachineGroup
        /// Whether its devices write only to pages that they pin.
        var isLimitedToPins: Bool
    }

    /// What belongs to a mapping.
    struct Record {
        /// How many pages are counted as locked for it: all of them while there is an IOMMU, else those that
        /// devices have pinned.
        var lockedPages: UInt64 = 0
        /// Whether whoever mapped it had the right to exceed the limit of locked memory.
        var mayExceedLimit = false
        /// Whether it was put into the page table page by page.
        var isSplit = false
        /// The pages that devices have pinned.
        var pins: PinnedPages?
        /// Whether its address is to be replaced.
        var isAddressInvalid = false
        /// Which of its pages may have been written, while that is tracked.
        var report: DirtyReport?
    }

    /// - Parameter kind: what VFIO_SET_IOMMU says.
    /// - Throws: `EINVAL` for a number that is an extension and no kind of IOMMU.
    init(kind: Extension, _ core: Core) throws(Errno) {
        guard kind == .type1 || kind == .type1v2 else { throw .invalid }
        isVersion2 = kind == .type1v2
        iommu = core.iommu
        process = core.process
        space = DMASpace(core)
        parameters = core.parameters
        entryLimit = core.parameters.value.dmaEntryLimit
        available = entryLimit
        pageSizes = Type1.allPageSizes
    }

    /// What counts while there is no IOMMU.
    static var allPageSizes: UInt64 { ~UInt64(pageSize - 1) }

    /// Whether this driver answers to a number without having any data.
    static func isKnown(extension number: Extension) -> Bool {
        number == .type1 || number == .type1v2 || number == .unmapAll
    }

    /// VFIO_CHECK_EXTENSION, once this driver is set (kernel.md B.2).
    func checkExtension(_ number: Extension) -> Int32 {
        switch number {
        case _ where Type1.isKnown(extension: number): 1
        case .dmaCacheCoherent: mutex.withLock { iommu.enforcesCoherency || !hasDomain ? 1 : 0 }
        // Devices that pin pages can't be made to wait for a new address.
        case .updateVaddr: mutex.withLock { hasEmulatedGroups ? 0 : 1 }
        default: 0
        }
    }

    func control(_ request: Request, _ argument: UInt) throws(Errno) -> Int32 {
        let address = HostAddress(rawValue: argument)
        switch request {
        case .iommuGetInfo: try getInfo(address)
        case .iommuMapDMA: try mapDMA(address)
        case .iommuUnmapDMA: try unmapDMA(address)
        case .iommuDirtyPages: try dirtyPages(address)
        default: throw .noSuchRequest
        }
        return 0
    }

    /// Runs one request's work alone.
    func exclusively<R>(_ body: () throws(Errno) -> R) throws(Errno) -> R {
        try mutex.withLock { () throws(Errno) -> R in
            // The last group left while the request was on its way.
            if isReleased { throw .invalid }
            return try body()
        }
    }

    /// The unit of mappings in bytes: the smallest page of the IOMMU, but not smaller than the processor's.
    var unit: UInt64 { pageSizes & (~pageSizes &+ 1) }

    /// Everything that is mapped goes, and is no longer counted.
    func removeAllMappings() {
        space.change { map in map.removeAll() }
        for record in records { process.unpin(record.lockedPages) }
        records = []
        unusedRecords = []
        available = entryLimit
        invalidAddressCount = 0
        reportByteCount = 0
    }

    // MARK: mappings

    /// A place for what belongs to a new mapping.
    func newRecord(_ record: Record) -> UInt32 {
        if let index = unusedRecords.popLast() {
            records[Int(index)] = record
            return index
        }
        records.append(record)
        return UInt32(truncatingIfNeeded: records.count - 1)
    }

    /// The last group has left; see ``release()``.
    func markReleased() { isReleased = true }

    /// Removes one mapping with everything that belongs to it; devices are through with it on return.
    func remove(_ mapping: IOVAMapping) {
        space.change { map in _ = map.removeMapping(startingAt: mapping.range.first) }
        let record = records[Int(mapping.tag)]
        process.unpin(record.lockedPages)
        if let report = record.report { reportByteCount -= report.byteCount }
        if record.isAddressInvalid { invalidAddressCount -= 1 }
        records[Int(mapping.tag)] = Record()
        unusedRecords.append(mapping.tag)
        available += 1
    }
}
