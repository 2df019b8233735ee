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
    /// Groups whose devices may write to any mapped page without being seen: all that there are so far.
    var untrackedGroupCount: Int { groups.count }
    private var groups: [MachineGroup] = []
    private(set) var isReleased = false

    /// What belongs to a mapping.
    struct Record {
        /// How many pages are counted as locked for it.
        var lockedPages: UInt64 = 0
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
        space = DMASpace(log: core.faults)
        parameters = core.parameters
        entryLimit = core.parameters.value.dmaEntryLimit
        available = entryLimit
        pageSizes = ~UInt64(pageSize - 1)
    }

    /// Whether this driver answers to a number without having any data.
    static func isKnown(extension number: Extension) -> Bool {
        number == .type1 || number == .type1v2 || number == .unmapAll
    }

    /// VFIO_CHECK_EXTENSION, once this driver is set (kernel.md B.2).
    func checkExtension(_ number: Extension) -> Int32 {
        switch number {
        case _ where Type1.isKnown(extension: number): 1
        case .dmaCacheCoherent: iommu.enforcesCoherency ? 1 : 0
        case .updateVaddr: 1
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

    // MARK: groups

    /// A group's devices are to use these mappings (kernel.md B.9).
    func attach(_ group: MachineGroup) throws(Errno) {
        try exclusively { () throws(Errno) in
            if invalidAddressCount > 0 { throw .busy }
            if groups.contains(where: { $0 === group }) { throw .invalid }
            var conflict = false
            space.map.forEachMapping { mapping in
                if !iommu.apertures.contains(where: { $0.contains(mapping.range) }) { conflict = true }
                for reserved in group.reserved where reserved.kind != .relaxable {
                    if reserved.range.overlaps(mapping.range) { conflict = true }
                }
            }
            if conflict { throw .invalid }
            let ranges = UsableRanges.find(iommu, groups + [group])
            if ranges.isEmpty { throw .invalid }
            if !iommu.hasIsolatedMSI && !parameters.value.allowUnsafeInterrupts { throw .notPermitted }
            groups.append(group)
            usable = ranges
            pageSizes = UsableRanges.pageSizes(iommu)
        }
    }

    /// A group's devices no longer use these mappings.
    func detach(_ group: MachineGroup) {
        mutex.withLock {
            groups.removeAll { $0 === group }
            guard !groups.isEmpty else {
                removeAllMappings()
                usable = []
                return
            }
            usable = UsableRanges.find(iommu, groups)
            // The group may have written anywhere, and can't be asked any more.
            if tracksDirtyPages { for record in records { record.report?.insertAll() } }
        }
    }

    /// The last group has left: all mappings go.
    func release() {
        mutex.withLock {
            removeAllMappings()
            isReleased = true
        }
    }

    private func removeAllMappings() {
        space.change { map in map.removeAll() }
        for record in records { process.unpin(record.lockedPages) }
        records = []
        unusedRecords = []
        available = entryLimit
        invalidAddressCount = 0
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

    /// Removes one mapping with everything that belongs to it; devices are through with it on return.
    func remove(_ mapping: IOVAMapping) {
        space.change { map in _ = map.removeMapping(startingAt: mapping.range.first) }
        let record = records[Int(mapping.tag)]
        process.unpin(record.lockedPages)
        if record.isAddressInvalid { invalidAddressCount -= 1 }
        records[Int(mapping.tag)] = Record()
        unusedRecords.append(mapping.tag)
        available += 1
    }
}

/// What an IOMMU can map for some groups.
enum UsableRanges {
    /// The apertures without what is reserved for any of the groups, in ascending order.
    static func find(_ iommu: IOMMU, _ groups: [MachineGroup]) -> [IOVARange] {
        var ranges = iommu.apertures.sorted { $0.first < $1.first }
        for group in groups {
            for reserved in group.reserved where reserved.kind != .relaxable {
                ranges = ranges.flatMap { subtract(reserved.range, from: $0) }
            }
        }
        return ranges
    }

    /// What is left of a range.
    private static func subtract(_ hole: IOVARange, from range: IOVARange) -> [IOVARange] {
        guard range.overlaps(hole) else { return [range] }
        var rest: [IOVARange] = []
        if range.first < hole.first,
            let below = IOVARange(first: range.first, last: IOVA(hole.first.rawValue &- 1))
        {
            rest.append(below)
        }
        if hole.last < range.last,
            let above = IOVARange(first: IOVA(hole.last.rawValue &+ 1), last: range.last)
        {
            rest.append(above)
        }
        return rest
    }

    /// The IOMMU's page sizes as users see them: those smaller than the processor's pages count as one of
    /// them.
    static func pageSizes(_ iommu: IOMMU) -> UInt64 {
        let own = iommu.pageSizes.rawValue
        let ordinary = UInt64(pageSize)
        let smaller = own & (ordinary - 1)
        return own & ~(ordinary - 1) | (smaller != 0 ? ordinary : 0)
    }
}
