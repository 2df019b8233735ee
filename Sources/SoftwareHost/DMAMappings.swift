import IOVASpace
import LinuxSystem

/// One mapping of a container, as a user made it, and how it lies in the IOMMU's page table.
public struct DMAMapping: Sendable, Equatable {
    /// Entries of one size.
    public struct Entries: Sendable, Equatable {
        /// What one entry maps, in bytes: one of ``IOMMU/pageSizes``.
        public let pageSize: UInt64
        /// How many there are.
        public let count: UInt64
    }

    /// The I/O virtual addresses.
    public let range: IOVARange
    /// The memory of the first address.
    public let memory: HostAddress
    /// What devices may do.
    public let permissions: IOVAPermissions
    /// The entries of the page table, the largest first; empty while no group in the container has an IOMMU.
    ///
    /// The memory of this process counts as contiguous, and as lying at physical addresses that are its own: an
    /// entry is as large as the alignment of both sides allows, unless ``ModuleParameters/disableHugepages`` was
    /// set when the mapping was made.
    public let entries: [Entries]
}

extension SoftwareHost {
    /// What the container of a group maps, in ascending order; nil for a group that is in no container with a
    /// type 1 IOMMU, or doesn't exist.
    public func dmaMappings(ofGroup number: Int) -> [DMAMapping]? {
        let type1 = core.lock.withLock { () -> Type1? in
            let group = core.groups.first { $0.number == number }
            if case .type1(let type1) = group?.container?.driver { return type1 }
            return nil
        }
        return type1?.mappings
    }
}

extension SoftwareHost {
    /// The numbers of the groups whose devices do DMA without an IOMMU (``IOMMUGroup/isEmulated``).
    public var emulatedGroups: [Int] {
        core.lock.withLock { core.groups.filter { $0.home.isEmulated }.map { $0.number } }
    }
}

extension Type1 {
    /// Everything that is mapped, in ascending order.
    var mappings: [DMAMapping] {
        mutex.withLock {
            var all: [DMAMapping] = []
            all.reserveCapacity(space.map.count)
            space.map.forEachMapping { mapping in
                let isSplit = records[Int(mapping.tag)].isSplit
                all.append(
                    DMAMapping(
                        range: mapping.range, memory: HostAddress(mapping.backing),
                        permissions: mapping.permissions,
                        entries: hasDomain ? entries(of: mapping, isSplit: isSplit) : []))
            }
            return all
        }
    }

    /// The entries that an IOMMU would use for a mapping.
    private func entries(of mapping: IOVAMapping, isSplit: Bool) -> [DMAMapping.Entries] {
        let own = iommu.pageSizes.rawValue
        // Page by page, a run is as long as a page of the processor, or of the IOMMU where those are larger.
        let longest = isSplit ? UInt64(pageSize) : UInt64.max
        var sizes: [UInt64] = []
        for bit in 0..<64 where own >> UInt64(bit) & 1 == 1 {
            let size = UInt64(1) << UInt64(bit)
            let isPossible = (mapping.range.first.rawValue ^ mapping.backing) & (size - 1) == 0
            if sizes.isEmpty || (isPossible && size <= longest) { sizes.append(size) }
        }
        return PageTableShape.entries(
            from: mapping.range.first.rawValue, lastOffset: mapping.range.lastOffset, sizes: sizes)
    }
}

/// How a range is put together from pages of several sizes.
enum PageTableShape {
    /// Uses as large pages as fit and are aligned, as Linux does.
    /// - Parameter sizes: in ascending order; the range is aligned to the first.
    static func entries(from first: UInt64, lastOffset: UInt64, sizes: [UInt64]) -> [DMAMapping.Entries] {
        var entries: [DMAMapping.Entries] = []
        guard let smallest = sizes.first else { return [] }
        // What a size covers inside the range, in its own pages; the next larger ones take their part of it.
        var larger: UInt64 = 0
        for size in sizes.reversed() {
            let start = (first &+ (size - 1)) & ~(size - 1)
            let lead = start &- first
            var bytes: UInt64 = 0
            if start >= first, lead <= lastOffset {
                bytes = (lastOffset - lead &+ 1) & ~(size - 1)
                if bytes == 0 && lastOffset - lead == .max { bytes = .max & ~(size - 1) }
            }
            if size == smallest { bytes = max(bytes, larger) }
            if bytes > larger {
                entries.append(DMAMapping.Entries(pageSize: size, count: (bytes - larger) / size))
                larger = bytes
            }
        }
        return entries
    }
}
