/// How many DMA mappings a machine can come to need, set against how many its IOMMU takes.
///
/// RAM that is populated block by block takes one mapping for each block; all other memory takes about one for each
/// memory slot of the machine.
public struct DMAMappingDemand: Sendable, Equatable, CustomStringConvertible {
    /// A piece of guest RAM that is populated block by block.
    public struct Section: Sendable, Equatable {
        /// What it is called.
        public var name: String
        /// Which part of the RAM is seen: offsets in bytes.
        public var range: Range<UInt64>
        /// The length of the blocks, in bytes: a power of two.
        public var granularity: UInt64

        /// Describes a piece.
        public init(_ name: String, _ range: Range<UInt64>, granularity: UInt64) {
            self.name = name
            self.range = range
            self.granularity = granularity
        }

        /// How many mappings it takes when all of it is populated: the blocks that it touches.
        public var mappingCount: UInt64 { mappingCount(inBlocksOf: granularity) }

        func mappingCount(inBlocksOf unit: UInt64) -> UInt64 {
            guard !range.isEmpty, unit > 0 else { return 0 }
            return (range.upperBound - 1) / unit - range.lowerBound / unit + 1
        }
    }

    /// The pieces that are populated block by block.
    public var sections: [Section]
    /// How many memory slots the machine has at most; QEMU takes 512 where there is no KVM to ask.
    public var memorySlotCount: UInt64
    /// How many mappings the IOMMU takes in all; nil where there is no limit (iommufd).
    public var limit: UInt64?
    /// How many are in use now.
    public var inUse: UInt64

    /// Sets a demand against a limit.
    public init(
        _ sections: [Section], memorySlotCount: UInt64 = 512, limit: UInt64?, inUse: UInt64 = 0
    ) {
        self.sections = sections
        self.memorySlotCount = memorySlotCount
        self.limit = limit
        self.inUse = inUse
    }

    /// Sets a demand against what the host says is left (``/VFIO/IOMMUInfo/mappingsLeft``) besides what is in use.
    public init(
        _ sections: [Section], memorySlotCount: UInt64 = 512, left: UInt32?, inUse: UInt64
    ) {
        self.init(
            sections, memorySlotCount: memorySlotCount, limit: left.map { saturating(UInt64($0), inUse) },
            inUse: inUse)
    }

    /// How many mappings the sections take when all is populated.
    public var sectionMappingCount: UInt64 { sectionMappingCount(growingBlocksBy: 0) }

    /// How many mappings the rest of the machine takes at most: a section takes one slot away from it.
    public var otherMappingCount: UInt64 {
        memorySlotCount > UInt64(sections.count) ? memorySlotCount - UInt64(sections.count) : 0
    }

    /// How many mappings can come to be needed at the same time. `UInt64.max` stands for more than that, too.
    public var mappingCount: UInt64 { saturating(sectionMappingCount, otherMappingCount) }

    /// Whether the IOMMU takes them all.
    public var fits: Bool { limit.map { mappingCount <= $0 } ?? true }

    /// How many mappings could fail for want of room; 0 where all fit.
    public var shortfall: UInt64 { limit.map { mappingCount > $0 ? mappingCount - $0 : 0 } ?? 0 }

    /// How many times longer all blocks must be for the demand to fit: a power of two, 1 if it does already; nil where
    /// no length is enough.
    public var sufficientFactor: UInt64? {
        guard let limit else { return 1 }
        return (0..<UInt64(64)).first {
            saturating(sectionMappingCount(growingBlocksBy: $0), otherMappingCount) <= limit
        }.map { 1 << $0 }
    }

    private func sectionMappingCount(growingBlocksBy shift: UInt64) -> UInt64 {
        sections.reduce(0) { sum, section in
            let unit = section.granularity.multipliedReportingOverflow(by: 1 << shift)
            return saturating(
                sum, section.mappingCount(inBlocksOf: unit.overflow ? .max : unit.partialValue))
        }
    }

    /// What there is to be said to the machine's owner: what is needed, what there is, and the remedy where that is
    /// too little.
    public var description: String {
        var text = sections.map { section in
            "\(section.name): \(size(section.range.byteCount)) in blocks of \(size(section.granularity))"
                + " can need \(section.mappingCount) DMA mappings; "
        }.joined()
        text += "the rest of the machine up to \(otherMappingCount): \(mappingCount) in all"
        guard let limit else { return text + ", and the IOMMU has no limit" }
        text += fits ? ", and the IOMMU takes \(limit)" : ", but the IOMMU takes only \(limit)"
        text += " (\(inUse) in use)"
        if fits { return text }
        text += "; remedy: "
        if let factor = sufficientFactor {
            let blocks = sections.map { section in
                let (length, overflow) = section.granularity.multipliedReportingOverflow(by: factor)
                return "\(section.name) in blocks of \(overflow ? "more than 2^64 bytes" : size(length))"
            }
            text += blocks.joined(separator: ", ") + ", or "
        }
        return text + "load vfio_iommu_type1 with dma_entry_limit=\(mappingCount)"
    }
}

/// The sum, or the greatest number where it is more.
private func saturating(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? .max : sum
}

/// A number of bytes in the longest unit that it is a whole number of: "2 MiB".
private func size(_ byteCount: UInt64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    let power = byteCount == 0 ? 0 : min(byteCount.trailingZeroBitCount / 10, units.count - 1)
    return "\(byteCount >> UInt64(power * 10)) \(units[power])"
}
