import IOVASpace
import LinuxSystem
import VFIO

/// Keeps the machine's IOMMU in step with one of the guest's, for one section: what the guest maps is mapped for DMA,
/// and what it unmaps is unmapped.
///
/// What a guest may not map, or maps wrongly, is not mapped, and noted as a rejection; only what the machine refuses
/// counts as a failure. Guarded by the memory map's lock.
public final class VIOMMUFollower: SectionFollower, IOMMUObserver, @unchecked Sendable {
    /// What is followed.
    public let section: MemorySection
    /// The whole pages of the section, as devices see it.
    public let range: IOVARange
    let iommu: any GuestIOMMU
    private let space: VFIO.AddressSpace
    private let tracker: DirtyTracker
    private weak var mapper: DMAMapper?
    private var notifier: IOMMUNotifier?
    /// What is mapped: each mapping backed by its offset in a block, whose number is the tag.
    private var book = IOVAMap(mergingAdjacent: false)
    private var blocks = BlockTable()
    private var rejectionLog = VIOMMULog<Rejection>(capacity: 64)

    /// A translation that devices aren't given.
    public struct Rejection: Hashable, Sendable, CustomStringConvertible {
        /// What the guest mapped.
        public let range: IOVARange
        /// Why that isn't followed.
        public let reason: IOMMURejection

        /// Both.
        public var description: String { "IOVA \(range): \(reason)" }
    }

    /// The first thing that the machine refused to map or to unmap; nil as long as it has refused nothing.
    public private(set) var firstFailure: VFIOGuestError?

    /// Whether memory was mapped that is plugged in blocks: while it is, the guest can make the machine keep more
    /// memory than is plugged. A limit of locked memory (`RLIMIT_MEMLOCK`) bounds that.
    public private(set) var pinsDiscardableMemory = false

    /// Begins to follow, and maps what is mapped already.
    /// - Throws: why the guest's IOMMU can't be followed: it doesn't tell what it maps, or has smaller pages than the
    ///   machine's.
    init(
        _ section: MemorySection, _ range: IOVARange, _ iommu: any GuestIOMMU, _ mapper: DMAMapper
    ) throws(VFIOGuestError) {
        self.section = section
        self.range = range
        self.iommu = iommu
        self.mapper = mapper
        space = mapper.space
        tracker = mapper.tracker
        guard iommu.target.memory === section.space.memory else {
            throw DMAMapper.error(section, "it leads to the memory of another guest")
        }
        // A window of the section's own has the only pages that count.
        if let info = space.information {
            let unit = info.windows.isEmpty ? nil : info.unit(in: range)
            try iommu.limitPageSizes(to: VIOMMUPageSizes(rawValue: unit ?? info.pageSizes))
        }
        let first = section.offset + (range.first.rawValue - section.range.first.rawValue)
        let notifier = IOMMUNotifier(
            [.map, .unmap], in: first...first + range.lastOffset,
            index: iommu.index(for: IOMMUAccessAttributes()), for: self)
        try iommu.register(notifier, byteCount: section.region.byteCount)
        self.notifier = notifier
        iommu.replay(to: notifier)
    }

    /// How many mappings there are.
    public var mappingCount: Int { book.count }

    /// What was rejected since this was last called.
    public func takeRejections() -> VIOMMULog<Rejection> {
        section.space.memory.lock.withLock { rejectionLog.take() }
    }

    // MARK: IOMMUObserver

    /// Maps what the entry leads to, or notes why not.
    public func mapped(_ entry: IOMMUEntry) {
        let iovas = iovas(of: entry)
        do throws(IOMMURejection) {
            let target = try entry.resolve(in: iommu.target)
            try check(iovas, target)
            try map(iovas, target)
        } catch {
            // What was there before isn't what the guest wants any more.
            unmap(iovas)
            rejectionLog.append(Rejection(range: iovas, reason: error))
        }
    }

    /// Unmaps a range.
    public func unmapped(_ entry: IOMMUEntry) { unmap(iovas(of: entry)) }

    /// Where devices see an entry, which was cut to the section.
    private func iovas(of entry: IOMMUEntry) -> IOVARange {
        let first = section.range.first.rawValue + (entry.iova - section.offset)
        return IOVARange(first, through: first + entry.lastOffset)
    }

    private func check(_ iovas: IOVARange, _ target: IOMMUTarget) throws(IOMMURejection) {
        guard let info = space.information else { return }
        guard let page = info.unit(in: iovas) else { throw .outsideWindows }
        guard iovas.isAligned(to: page), UInt64(target.address.rawValue) & (page - 1) == 0 else {
            throw .misaligned(page)
        }
    }

    private func map(_ iovas: IOVARange, _ target: IOMMUTarget) throws(IOMMURejection) {
        let tag = blocks.use(target.block)
        let mapping = IOVAMapping(
            iovas, backing: target.offset, permissions: target.permissions.permissions, tag: tag)
        // Told twice, which a replay may do.
        if book.mapping(startingAt: iovas.first) == mapping { return blocks.release(tag) }
        unmap(iovas)
        do throws(VFIOError) {
            try space.map(target.address, to: iovas, target.permissions)
        } catch {
            blocks.release(tag)
            if target.region.isRAMDevice { throw .unreachableDevice(error.description) }
            return failed(error)
        }
        note(mapping)
        if target.region.discardManager != nil { pinsDiscardableMemory = true }
    }

    private func note(_ mapping: IOVAMapping) {
        do throws(IOVAMapError) {
            try book.map(mapping)
        } catch {
            // Unmapping failed before, so the machine had refused to map over it.
            preconditionFailure("\(error)")
        }
    }

    // MARK: unmapping

    /// Unmaps a range, with the dirty pages of what is mapped there. Of a mapping that lies in it only in part, the rest
    /// is mapped again: no IOMMU can cut it.
    private func unmap(_ range: IOVARange) {
        guard let first = book.firstMapping(overlapping: range),
            let last = book.lastMapping(overlapping: range)
        else { return }
        let whole = IOVARange(first.range.first.rawValue, through: last.range.last.rawValue)
        var low: IOVAMapping?
        var high: IOVAMapping?
        if whole.first < range.first {
            low = first.part(IOVARange(whole.first.rawValue, through: range.first.rawValue - 1))
        }
        if whole.last > range.last {
            high = last.part(IOVARange(range.last.rawValue + 1, through: whole.last.rawValue))
        }
        if let low { blocks.retain(low.tag) }
        if let high { blocks.retain(high.tag) }
        guard forget(whole) else { return }
        if let low { restore(low) }
        if let high { restore(high) }
    }

    /// Maps again what is left of a mapping.
    private func restore(_ piece: IOVAMapping) {
        guard let block = blocks[piece.tag] else { return }
        do throws(VFIOError) {
            try space.map(
                block.window.address + Int(piece.backing), to: piece.range, DMAPermissions(piece.permissions))
            note(piece)
        } catch {
            blocks.release(piece.tag)
            failed(error)
        }
    }

    /// Unmaps a range that begins and ends with mappings.
    /// - Returns: whether that worked. If not, the mappings stay in the book: devices may still use them.
    private func forget(_ whole: IOVARange) -> Bool {
        do throws(VFIOError) {
            mark(try tracker.unmap(whole), whole)
        } catch {
            failed(error)
            return false
        }
        while let mapping = book.removeFirstMapping(startingIn: whole) { blocks.release(mapping.tag) }
        return true
    }

    private func failed(_ error: VFIOError) {
        let error = DMAMapper.told(error, section)
        firstFailure = firstFailure ?? error
        mapper?.failed(section, error)
    }

    // MARK: SectionFollower

    /// Ends it: nothing of the section is mapped any more.
    public func end() {
        if let notifier { iommu.unregister(notifier) }
        notifier = nil
        while let run = run(from: .min) {
            guard !forget(run) else { continue }
            while let mapping = book.removeFirstMapping(startingIn: run) { blocks.release(mapping.tag) }
        }
    }

    /// Asks for the dirty pages of all that is mapped.
    /// - Throws: the first error, when all have been asked.
    public func synchronize() throws(VFIOGuestError) {
        var failure: VFIOGuestError?
        var next = run(from: .min)
        while let run = next {
            do throws(VFIOError) {
                mark(try tracker.query(run), run)
            } catch {
                failure = failure ?? DMAMapper.told(error, section)
            }
            guard let above = run.last.advanced(by: 1) else { break }
            next = self.run(from: above)
        }
        if let failure { throw failure }
    }

    /// The first mappings from an address on that lie next to each other, as far as one bitmap of moderate size goes.
    private func run(from start: IOVA) -> IOVARange? {
        guard let first = book.firstMapping(startingAtOrAbove: start) else { return nil }
        var last = first
        while let next = book.firstMapping(startingAtOrAbove: last.range.last),
            next.range.first.rawValue - last.range.last.rawValue == 1,
            next.range.last.rawValue - first.range.first.rawValue < 64 << 30
        {
            last = next
        }
        return IOVARange(first.range.first.rawValue, through: last.range.last.rawValue)
    }

    /// Marks in the blocks behind a range what is known about it.
    private func mark(_ knowledge: DirtyKnowledge, _ whole: IOVARange) {
        if case .unwanted = knowledge { return }
        book.forEachMapping(overlapping: whole) { mapping in
            guard mapping.permissions.contains(.write), let block = blocks[mapping.tag] else { return }
            tracker.mark(knowledge, of: whole, mapping.range, in: block, at: mapping.backing)
        }
    }
}

extension IOVAMapping {
    /// A part of the mapping.
    fileprivate func part(_ range: IOVARange) -> IOVAMapping {
        var part = self
        part.backing += range.first.rawValue - self.range.first.rawValue
        part.range = range
        return part
    }
}

/// The blocks that mappings lead to, by number: each is kept as long as a mapping uses it.
private struct BlockTable {
    private var entries: [(block: RAMBlock?, useCount: Int)] = []
    private var numbers: [ObjectIdentifier: UInt32] = [:]
    private var free: [UInt32] = []

    subscript(number: UInt32) -> RAMBlock? { entries[Int(number)].block }

    /// The number of a block, used once more.
    mutating func use(_ block: RAMBlock) -> UInt32 {
        if let number = numbers[ObjectIdentifier(block)] {
            retain(number)
            return number
        }
        let number: UInt32
        if let old = free.popLast() {
            number = old
            entries[Int(number)] = (block, 1)
        } else {
            number = UInt32(entries.count)
            entries.append((block, 1))
        }
        numbers[ObjectIdentifier(block)] = number
        return number
    }

    mutating func retain(_ number: UInt32) { entries[Int(number)].useCount += 1 }

    mutating func release(_ number: UInt32) {
        entries[Int(number)].useCount -= 1
        guard entries[Int(number)].useCount == 0, let block = entries[Int(number)].block else { return }
        numbers[ObjectIdentifier(block)] = nil
        entries[Int(number)].block = nil
        free.append(number)
    }
}
