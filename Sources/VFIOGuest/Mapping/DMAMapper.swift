import IOVASpace
import LinuxSystem
import VFIO

/// Keeps an IOMMU in step with what a guest's devices are to see: what appears in a ``GuestAddressSpace`` is mapped
/// for DMA at the same addresses, and what goes is unmapped.
///
/// A listener, called under the memory map's lock; its state belongs to that lock.
public final class DMAMapper: MemoryListener, @unchecked Sendable {
    /// The addresses that the host's IOMMU translates.
    public let space: VFIO.AddressSpace
    /// How it behaves where there is a choice.
    public let options: Options

    struct Entry {
        let section: MemorySection
        /// The whole pages in it.
        let range: IOVARange?
        var outcome: Outcome
    }

    private enum State { case connecting, running, ended }

    private var state = State.connecting
    /// What was told, by first address.
    private(set) var entries: [UInt64: Entry] = [:]
    private(set) var firstError: VFIOGuestError?
    /// Sections that are mapped together when the change is over.
    private var batch: [UInt64] = []
    /// The mappings of several sections, by the first address of each: with `joinsNeighbours` only.
    private var joined: [UInt64: Joined] = [:]
    let tracker: DirtyTracker
    /// Makes a window for each section, where the host's IOMMU has such ones.
    var sectionWindows: SectionWindows?
    /// Makes the follower for a section whose mappings come and go; set by those who know such sections.
    var makeFollower:
        ((MemorySection, IOVARange, DMAMapper) throws(VFIOGuestError) -> (any SectionFollower)?)?

    /// Called when a section can't be mapped or unmapped while the guest runs. Nothing else happens then: the VMM
    /// decides whether to stop the guest or to take the devices away. Called under the memory
    /// map's lock.
    public var onFailure: (@Sendable (Failure) -> Void)?

    init(_ space: VFIO.AddressSpace, _ options: Options = Options()) {
        self.space = space
        self.options = options
        tracker = DirtyTracker(space)
        tracker.ranges = { [unowned self] in writableRanges }
    }

    /// Everything that was told, by address, and what became of it.
    public var outcomes: [(section: MemorySection, outcome: Outcome)] {
        entries.values.sorted { $0.section.range.first < $1.section.range.first }
            .map { ($0.section, $0.outcome) }
    }

    /// The host's windows: ranges that can be mapped, ascending.
    public var windows: [HostWindow] {
        guard let info = space.information else { return [] }
        if !info.windows.isEmpty { return info.windows.map { HostWindow($0.range, pageSizes: $0.pageSize) } }
        return info.usableRanges.map { HostWindow($0, pageSizes: info.pageSizes) }
    }

    /// Ends the first phase, in which the first failure is kept for whoever connects.
    /// - Throws: that failure.
    func start() throws(VFIOGuestError) {
        if let firstError { throw firstError }
        state = .running
    }

    /// Unmaps everything that is still mapped, after the last removal was told.
    func end() {
        state = .ended
        entries = [:]
        joined = [:]
        batch = []
    }

    // MARK: sections come

    /// Maps a section, or notes why not.
    public func added(_ section: MemorySection) {
        let key = section.range.first.rawValue
        let range: IOVARange
        switch examine(section) {
        case .success(let whole): range = whole
        case .failure(let skip):
            entries[key] = Entry(section: section, range: nil, outcome: .skipped(skip.reason))
            return
        }
        entries[key] = Entry(section: section, range: range, outcome: .mapped)
        do throws(VFIOGuestError) {
            if let sectionWindows, SectionWindows.needsWindow(section) {
                try sectionWindows.open(section, range)
            }
            if case .iommu(let iommu) = section.region.kind {
                // Need not fit a window: what the guest maps in it must.
                entries[key]?.outcome = .followed(try VIOMMUFollower(section, range, iommu, self))
                return
            }
            let window = try self.window(for: range, section)
            if let follower = try makeFollower?(section, range, self) {
                entries[key]?.outcome = .followed(follower)
                return
            }
            if let manager = section.region.discards {
                let follower = try RAMDiscardFollower(
                    section, range, unit: window.smallestPage, manager, for: self)
                entries[key]?.outcome = .followed(follower)
                tellShortage()
                return
            }
            guard section.region.block != nil else {
                throw Self.error(section, "nobody here follows the mappings of such a region")
            }
            if section.region.isRAMDevice, !range.isAligned(to: window.smallestPage) {
                entries[key]?.outcome = .skipped(.partialPages)
                return
            }
            if options.joinsNeighbours && !section.region.isRAMDevice {
                batch.append(key)
            } else {
                try map(section, range)
            }
        } catch {
            failed(key, error)
        }
    }

    private struct Skip: Error { let reason: SkipReason }

    /// The whole pages of a section, or why it isn't mapped.
    private func examine(_ section: MemorySection) -> Result<IOVARange, Skip> {
        func skip(_ reason: SkipReason) -> Result<IOVARange, Skip> { .failure(Skip(reason: reason)) }
        let first = section.range.first.rawValue
        let isTranslated = section.region.isTranslated
        guard isTranslated || section.region.block != nil else { return skip(.notMemory) }
        if section.region.block?.isProtected == true { return skip(.protected) }
        if section.isHiddenFromDevices { return skip(.hidden) }
        if first >> 63 != 0 { return skip(.sizing) }
        if section.isReadOnly && !options.mapsReadOnly && !isTranslated { return skip(.readOnly) }
        let page = UInt64(pageSize)
        guard first % page == section.offset % page else { return skip(.misaligned) }
        // The end is one beyond the last address, up to 2^64.
        let low = (UInt128(first) + UInt128(page - 1)) / UInt128(page) * UInt128(page)
        let high = (UInt128(section.range.last.rawValue) + 1) / UInt128(page) * UInt128(page)
        guard low < high, let range = IOVARange(first: IOVA(UInt64(low)), last: IOVA(UInt64(high - 1)))
        else { return skip(.shorterThanPage) }
        return .success(range)
    }

    /// The window that a range lies in.
    private func window(for range: IOVARange, _ section: MemorySection) throws(VFIOGuestError) -> HostWindow {
        if let info = space.information,
            let usable = info.usableRanges.first(where: { $0.contains(range) })
        {
            // A DMA window has pages of its own.
            let window = info.windows.first { $0.range == usable }
            return HostWindow(usable, pageSizes: window?.pageSize ?? info.pageSizes)
        }
        let windows = self.windows
        let list = windows.isEmpty ? "nothing" : windows.map(\.description).joined(separator: ", ")
        var error = Self.error(section, "\(range) isn't within what the host's IOMMU translates: \(list)")
        error.code = .outsideAperture
        error.remedy = "move the guest's memory out of the gap, or give its processors fewer address bits"
        throw error
    }

    static func error(_ section: MemorySection, _ cause: String) -> VFIOGuestError {
        VFIOGuestError(
            operation: "map it for the guest's devices", object: "section \(section)", cause: cause)
    }

    /// The memory behind a range of a section.
    func memory(_ section: MemorySection, at iova: IOVA) -> HostAddress? {
        guard let block = section.region.block else { return nil }
        let offset = section.offset + (iova.rawValue - section.range.first.rawValue)
        return block.window.address + Int(offset)
    }

    private func map(_ section: MemorySection, _ range: IOVARange) throws(VFIOGuestError) {
        guard let memory = memory(section, at: range.first) else { return }
        do throws(VFIOError) {
            try space.map(
                memory, to: range, section.isReadOnly ? .read : [.read, .write],
                file: filePlace(of: range, in: section))
        } catch {
            throw Self.told(error, section)
        }
    }

    /// Where a range of a section lies in a file; nil if it doesn't, or not wholly in one.
    private func filePlace(of range: IOVARange, in section: MemorySection) -> FilePlace? {
        guard let block = section.region.block, let file = block.file else { return nil }
        let offset = section.offset + (range.first.rawValue - section.range.first.rawValue)
        // A joined mapping goes on in another block.
        guard range.lastOffset < block.byteCount, offset <= block.byteCount - 1 - range.lastOffset else {
            return nil
        }
        return FilePlace(descriptor: file.descriptor, offset: file.offset + offset)
    }

    /// An error that names the section too.
    static func told(_ error: VFIOError, _ section: MemorySection) -> VFIOGuestError {
        var error = error
        error.object = "section \(section)"
        return error
    }

    private func failed(_ key: UInt64, _ error: VFIOGuestError) {
        guard let section = entries[key]?.section else { return }
        // Nothing is mapped in it.
        closeWindow(section)
        if section.region.isRAMDevice {
            entries[key]?.outcome = .unreachable(error)
            return
        }
        entries[key]?.outcome = .failed(error)
        failed(section, error)
    }

    /// Tells of a failure in the way that fits the moment.
    func failed(_ section: MemorySection, _ error: VFIOGuestError) {
        switch state {
        case .connecting: firstError = firstError ?? error
        case .running: onFailure?(Failure(section: section, error: error))
        case .ended: break
        }
    }

    // MARK: sections go

    /// Unmaps a section.
    public func removed(_ section: MemorySection) {
        let key = section.range.first.rawValue
        guard let entry = entries.removeValue(forKey: key) else { return }
        defer { closeWindow(section) }
        switch entry.outcome {
        case .skipped, .unreachable, .failed: return
        case .followed(let follower): follower.end()
        case .mapped:
            guard let range = entry.range else { return }
            if let index = batch.firstIndex(of: key) {
                batch.remove(at: index)
                return
            }
            do throws(VFIOError) {
                if try !removeJoined(section, range) { try unmap(section, range) }
            } catch {
                failed(section, Self.told(error, section))
            }
        }
    }

    /// Removes the section's own window, if it has one.
    private func closeWindow(_ section: MemorySection) {
        do throws(VFIOGuestError) {
            try sectionWindows?.close(section)
        } catch {
            failed(section, error)
        }
    }

    /// Unmaps a range of a section, with its dirty pages where somebody wants to know them.
    func unmap(_ section: MemorySection, _ range: IOVARange) throws(VFIOError) {
        mark(try tracker.unmap(range), of: range, in: section, range)
    }

    /// Takes what was written to a mapped range of a section.
    func query(_ section: MemorySection, _ range: IOVARange) throws(VFIOError) {
        mark(try tracker.query(range), of: range, in: section, range)
    }

    /// Marks what is known about a mapped range in the log of a section that has a part of it.
    private func mark(
        _ knowledge: DirtyKnowledge, of mapped: IOVARange, in section: MemorySection, _ part: IOVARange
    ) {
        guard !section.isReadOnly, let block = section.region.block else { return }
        let offset = section.offset + (part.first.rawValue - section.range.first.rawValue)
        tracker.mark(knowledge, of: mapped, part, in: block, at: offset)
    }

    // MARK: neighbours joined

    /// Maps what was added in this change.
    public func changeEnds() {
        guard !batch.isEmpty else { return }
        let keys = batch.sorted()
        batch.removeAll(keepingCapacity: true)
        map(joining: keys)
    }

    private func map(joining keys: [UInt64]) {
        var index = 0
        while index < keys.count {
            guard let first = entries[keys[index]], let start = first.range else { return }
            var last = first
            var end = index + 1
            while end < keys.count, let next = entries[keys[end]], isNeighbour(last, next) {
                last = next
                end += 1
            }
            let members = Array(keys[index..<end])
            index = end
            guard let lastRange = last.range, let whole = IOVARange(first: start.first, last: lastRange.last)
            else { continue }
            do throws(VFIOGuestError) {
                try map(first.section, whole)
                guard members.count > 1 else { continue }
                let mapping = Joined(range: whole, members: members)
                for key in members { joined[key] = mapping }
            } catch {
                for key in members { failed(key, error) }
            }
        }
    }

    /// One mapping of several sections.
    private struct Joined {
        let range: IOVARange
        let members: [UInt64]
    }

    private func isNeighbour(_ a: Entry, _ b: Entry) -> Bool {
        guard let first = a.range, let second = b.range, first.last.rawValue != .max,
            first.last.rawValue + 1 == second.first.rawValue, a.section.isReadOnly == b.section.isReadOnly,
            let memory = self.memory(a.section, at: first.first),
            let next = self.memory(b.section, at: second.first)
        else { return false }
        return UInt64(memory.rawValue) + first.byteCount == UInt64(next.rawValue)
    }

    /// Takes a section out of a joined mapping: unmaps all of it and maps the rest again.
    /// - Returns: whether it was in one.
    private func removeJoined(_ section: MemorySection, _ range: IOVARange) throws(VFIOError) -> Bool {
        let key = section.range.first.rawValue
        guard let mapping = joined[key] else { return false }
        for member in mapping.members { joined[member] = nil }
        let knowledge = try tracker.unmap(mapping.range)
        mark(knowledge, of: mapping.range, in: section, range)
        let others = mapping.members.filter { $0 != key }
        mark(knowledge, mapping, others)
        map(joining: others)
        return true
    }

    private func mark(_ knowledge: DirtyKnowledge, _ mapping: Joined, _ members: [UInt64]) {
        for member in members {
            guard let entry = entries[member], let range = entry.range else { continue }
            mark(knowledge, of: mapping.range, in: entry.section, range)
        }
    }

    // MARK: the dirty log

    /// All that devices can write, for their logs.
    private var writableRanges: [IOVARange] {
        entries.values.compactMap { entry in
            switch entry.outcome {
            case .mapped where !entry.section.isReadOnly && !entry.section.region.isRAMDevice: entry.range
            case .followed: entry.range
            default: nil
            }
        }
    }

    /// A device goes: asks its log for the last time.
    func removeDevice(_ id: ObjectIdentifier) {
        if tracker.isWanted(id) {
            tracker.quiesce(id)
            for entry in entries.values where (try? synchronize(entry.section)) == nil {
                // Nobody will ever know better.
                if let block = entry.section.region.block {
                    block.dirtyLog.mark(0..<block.dirtyLog.pageCount, for: .migration)
                }
            }
        }
        tracker.remove(id)
    }

    /// Starts to note what devices write.
    public func migrationLogStarts() throws(VFIOGuestError) { try tracker.start() }

    /// Ends it.
    public func migrationLogStopped() { tracker.stop() }

    /// Marks what devices wrote since last time.
    public func synchronize(_ section: MemorySection) throws(VFIOGuestError) {
        guard let entry = entries[section.range.first.rawValue] else { return }
        switch entry.outcome {
        case .skipped, .unreachable, .failed: return
        case .followed(let follower): try follower.synchronize()
        case .mapped:
            // What can only be read can't have been written.
            guard let range = entry.range, !section.isReadOnly, !section.region.isRAMDevice else { return }
            do throws(VFIOError) {
                if let mapping = joined[section.range.first.rawValue] {
                    // Asked once, with the first of them: who asks takes what is there.
                    guard mapping.members.first == section.range.first.rawValue else { return }
                    mark(try tracker.query(mapping.range), mapping, mapping.members)
                } else {
                    try query(section, range)
                }
            } catch {
                throw Self.told(error, section)
            }
        }
    }
}

/// Maps and unmaps the parts of a section whose mappings come and go.
public protocol SectionFollower: AnyObject, Sendable {
    /// The section is gone: unmaps all that is mapped of it.
    func end()
    /// Marks in the dirty logs of the blocks behind it what devices wrote since last time.
    func synchronize() throws(VFIOGuestError)
}
