import IOVASpace
import LinuxSystem
import VFIO

/// What maps memory for DMA on behalf of a ``DiscardableMapping``: a container, an I/O address space.
public protocol DMATarget: AnyObject, Sendable {
    /// The IOMMU's smallest page, in bytes: a power of two.
    var smallestPage: UInt64 { get }

    /// Maps memory at exactly this range.
    /// - Throws: why not; nothing is mapped then.
    func map(_ memory: HostAddress, to range: IOVARange, _ access: DMAPermissions) throws(VFIOError)

    /// Ends all mappings in a range, which begins and ends where mappings do and may have gaps.
    /// - Throws: if devices may still reach some of it.
    func unmap(_ range: IOVARange) throws(VFIOError)

    /// Hears that a discarded part of the guest's RAM may still be reached by devices, because unmapping failed: the
    /// guest should be stopped, or the devices be taken from it.
    func mayStillReach(_ range: IOVARange, _ error: VFIOError)
}

/// Keeps the mappings of one section of guest RAM in step with which parts of it are populated.
///
/// What is populated is mapped in pieces that end at multiples of the granularity in the RAM, so that any of them can
/// be unmapped alone later; what is discarded is unmapped in one request.
///
/// Used under the memory map's lock, as the ``RAMDiscardManager`` that it is registered with calls it.
public final class DiscardableMapping: RAMDiscardListener, @unchecked Sendable {
    /// What the RAM is called in messages.
    public let name: String
    /// Which part of the RAM the section shows: offsets in bytes.
    public let range: Range<UInt64>
    /// Where devices see it.
    public let iovas: IOVARange
    /// The length of what is populated or discarded at a time, in bytes.
    public let granularity: UInt64

    private let memory: MemoryWindow
    private let access: DMAPermissions
    private let target: any DMATarget
    /// The piece that block 0 of `mapped` stands for, counted from the start of the RAM.
    private let firstBlock: UInt64
    private var mapped: BlockSet

    /// Describes a section; nothing is mapped before it is registered.
    /// - Parameters:
    ///   - name: what the RAM is called in messages.
    ///   - memory: all of the RAM.
    ///   - range: which part of it devices are to see, in whole pages of the IOMMU.
    ///   - iova: where they are to see its first byte.
    ///   - access: what they may do with it.
    ///   - granularity: that of the manager.
    ///   - target: where to map it.
    /// - Throws: ``/VFIO/VFIOError/Code/misaligned`` where the section or the granularity isn't whole pages
    ///   of the IOMMU; ``/VFIO/VFIOError/Code/outOfBounds`` where the section isn't in the RAM or goes beyond the
    ///   64-bit space.
    public init(
        _ name: String, _ memory: MemoryWindow, _ range: Range<UInt64>, at iova: IOVA,
        _ access: DMAPermissions, granularity: UInt64, target: any DMATarget
    ) throws(VFIOError) {
        let operation = "map \(hex(range)) as it is populated"
        let page = target.smallestPage
        guard let iovas = IOVARange(iova, byteCount: range.byteCount),
            range.upperBound <= UInt64(memory.byteCount)
        else {
            throw VFIOError(
                operation: operation, object: name, code: .outOfBounds,
                cause: "that isn't a part of its \(memory.byteCount) bytes, or of the I/O address space")
        }
        guard granularity.nonzeroBitCount == 1, granularity % page == 0 else {
            throw VFIOError(
                operation: operation, object: name, code: .misaligned,
                cause:
                    "it is populated in blocks of \(granularity) bytes, and the IOMMU's pages have \(page)",
                remedy: "take blocks of at least \(page) bytes")
        }
        guard range.isAligned(to: page), iova.isAligned(to: page),
            UInt64(memory.address.rawValue) % page == 0
        else {
            throw VFIOError(
                operation: operation, object: name, code: .misaligned,
                cause: "the section isn't whole pages of the IOMMU, \(page) bytes")
        }
        self.name = name
        self.memory = memory
        self.range = range
        self.iovas = iovas
        self.access = access
        self.granularity = granularity
        self.target = target
        firstBlock = range.lowerBound / granularity
        mapped = BlockSet(blockCount: Int((range.upperBound - 1) / granularity - firstBlock) + 1)
    }

    /// How many mappings there are now.
    public var mappingCount: Int { mapped.count }

    /// What it can come to need.
    public var demand: DMAMappingDemand.Section {
        DMAMappingDemand.Section(name, range, granularity: granularity)
    }

    /// A part of the section that devices reach.
    public struct Part: Sendable, Equatable {
        /// Where devices see it. Begins and ends where mappings do.
        public let iovas: IOVARange
        /// Which part of the RAM it is.
        public let range: Range<UInt64>
    }

    /// Calls `body` with every part of a range of the RAM that is mapped, as long as it is, ascending: what to ask the
    /// IOMMU's dirty pages of.
    /// - Parameter range: nil for the whole section; parts are longer than it where it cuts a mapping.
    /// - Throws: the first error of `body`.
    public func forEachMappedPart<E: Error>(
        in range: Range<UInt64>? = nil, _ body: (Part) throws(E) -> Void
    ) throws(E) {
        let range = (range ?? self.range).clamped(to: self.range)
        guard !range.isEmpty else { return }
        var blocks = blocks(touching: range)
        while let run = mapped.firstRun(isMember: true, in: blocks) {
            let bytes = bytes(of: run)
            try body(Part(iovas: iovas(of: bytes), range: bytes))
            blocks = run.upperBound..<blocks.upperBound
        }
    }

    // MARK: RAMDiscardListener

    /// Unmapping finds out itself what is mapped.
    public var acceptsDoubleDiscard: Bool { true }

    /// Maps a part, piece by piece.
    /// - Throws: why a piece can't be mapped; those before it are unmapped again.
    public func populate(_ part: Range<UInt64>) throws(VFIOError) {
        let part = part.clamped(to: range)
        guard !part.isEmpty else { return }
        let blocks = blocks(touching: part)
        guard bytes(of: blocks) == part else {
            throw VFIOError(
                operation: "map \(hex(part)) for DMA", object: name, code: .misaligned,
                cause: "it is populated in blocks of \(granularity) bytes, and that isn't whole ones")
        }
        if mapped.count(in: blocks) != 0 {
            // Left over where unmapping failed. The IOMMU translates there to pages that the guest has lost.
            try unmap(blocks)
        }
        for block in blocks {
            let piece = bytes(of: block..<block + 1)
            do throws(VFIOError) {
                try target.map(memory.address + Int(piece.lowerBound), to: iovas(of: piece), access)
            } catch {
                discard(part.lowerBound..<piece.lowerBound)
                throw told(error)
            }
            mapped.insert(block..<block + 1)
        }
    }

    /// Unmaps a part, with all pieces that it touches.
    public func discard(_ part: Range<UInt64>) {
        let part = part.clamped(to: range)
        guard !part.isEmpty else { return }
        let blocks = blocks(touching: part)
        do throws(VFIOError) {
            try unmap(blocks)
        } catch {
            target.mayStillReach(iovas(of: bytes(of: blocks)), told(error))
        }
    }

    /// Unmaps what is mapped of some blocks, in one request. On an error the book stays as it was: nobody knows what
    /// devices would reach there.
    private func unmap(_ blocks: Range<Int>) throws(VFIOError) {
        guard let first = mapped.firstRun(isMember: true, in: blocks) else { return }
        var end = first.upperBound
        while let run = mapped.firstRun(isMember: true, in: end..<blocks.upperBound) { end = run.upperBound }
        let span = first.lowerBound..<end
        try target.unmap(iovas(of: bytes(of: span)))
        mapped.remove(span)
    }

    /// An error that names the RAM too.
    private func told(_ error: VFIOError) -> VFIOError {
        var error = error
        error.object = name
        if error.code == .entryLimit { error.remedy = "populate the RAM in longer blocks" }
        return error
    }

    // MARK: Numbers

    /// The blocks that a non-empty part of the section touches.
    private func blocks(touching part: Range<UInt64>) -> Range<Int> {
        Int(part.lowerBound / granularity - firstBlock)..<Int(
            (part.upperBound - 1) / granularity - firstBlock)
            + 1
    }

    /// The part of the section that blocks hold.
    private func bytes(of blocks: Range<Int>) -> Range<UInt64> {
        let start = (firstBlock + UInt64(blocks.lowerBound)) * granularity
        let end = (firstBlock + UInt64(blocks.upperBound)).multipliedReportingOverflow(by: granularity)
        return max(
            start, range.lowerBound)..<(end.overflow
            ? range.upperBound : min(end.partialValue, range.upperBound))
    }

    /// Where devices see a part of the section.
    private func iovas(of part: Range<UInt64>) -> IOVARange {
        let first = iovas.first.rawValue + (part.lowerBound - range.lowerBound)
        return IOVARange(first: IOVA(first), last: IOVA(first + (part.byteCount - 1))) ?? iovas
    }
}
