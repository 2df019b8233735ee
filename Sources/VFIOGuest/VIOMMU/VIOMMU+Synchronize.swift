import IOVASpace
import VFIO

// How those who follow a vIOMMU are kept in step. All under the lock.
extension VIOMMU {
    /// Works off what was invalidated. Those who are told may invalidate more: that then comes after it.
    func synchronize() {
        guard !isSynchronizing else { return }
        isSynchronizing = true
        defer { isSynchronizing = false }
        var next = 0
        while next < waiting.count {
            let range = waiting[next]
            next += 1
            let events = notifiers.events
            if events.contains(.unmap) {
                notifiers.tell(.unmap, entry(range, GuestAddress(0), []), to: .others)
            }
            if events.contains(.map) { update(range) }
        }
        waiting.removeAll(keepingCapacity: true)
    }

    /// Compares the tables with what was told, in one pass over both.
    private func update(_ range: IOVARange) {
        // Pages are aligned to their sizes, so those that reach into the range nest: with the longest of them looked
        // at whole, none is cut.
        let low = told.mapping(containing: range.first)?.range.first ?? range.first
        let high = told.mapping(containing: range.last)?.range.last ?? range.last
        let range = IOVARange(low.rawValue, through: high.rawValue)
        var update = VIOMMUUpdate(of: self, from: range.first.rawValue)
        forEachPage(in: range) { update.settle($0) }
        update.finish(through: range.last.rawValue)
    }

    /// Calls `body` with what the tables map; faults are logged.
    private func forEachPage(in range: IOVARange, _ body: (VIOMMUPage) -> Void) {
        guard let table else { return }
        var walk = VIOMMUPageTableWalk(of: range, in: table, wordLimit: configuration.wordLimit)
        var words = GuestAddressSpaceWords(target)
        while true {
            do throws(VIOMMUFault) {
                guard let page = try walk.next(in: &words) else { return }
                body(page)
            } catch {
                log(error)
            }
        }
    }

    /// Notes what the tables map, for the first who follows.
    func startFollowing() {
        forEachPage(in: VIOMMUPageTable.inputRange) { _ = note($0) }
    }

    /// Notes a page as told; nothing else is there.
    /// - Returns: whether there was room.
    func note(_ page: VIOMMUPage) -> Bool {
        guard told.count < configuration.mappingLimit else {
            log(VIOMMUFault(.tooManyMappings, at: page.range.first))
            return false
        }
        do throws(IOVAMapError) {
            try told.map(page.mapping)
            return true
        } catch {
            // Guest-physical addresses have 52 bits, and what overlapped was taken out.
            preconditionFailure("\(error)")
        }
    }

    /// Tells one notifier of all that was told.
    func tellAll(to notifier: IOMMUNotifier) {
        let range = IOVARange(notifier.range.lowerBound, through: notifier.range.upperBound)
        let isOutermost = !isSynchronizing
        isSynchronizing = true
        var next = told.firstMapping(overlapping: range)
        while let mapping = next {
            notifier.tell(
                .map, entry(mapping.range, GuestAddress(mapping.backing), DMAPermissions(mapping.permissions))
            )
            next = told.mapping(after: mapping, overlapping: range)
        }
        guard isOutermost else { return }
        isSynchronizing = false
        synchronize()
    }
}

/// One pass over a range: what the tables map comes in, ascending, and what those who follow must hear goes out.
private struct VIOMMUUpdate {
    let iommu: VIOMMU
    /// All below is in step.
    private var position: UInt64
    /// What is gone and hasn't been told yet: one event for pages that lie next to each other.
    private var gone: IOVARange?

    init(of iommu: VIOMMU, from position: UInt64) {
        self.iommu = iommu
        self.position = position
    }

    /// Brings everything up to the end of a page in step with it.
    mutating func settle(_ page: VIOMMUPage) {
        let first = page.range.first.rawValue
        if position < first { forget(IOVARange(position, through: first - 1)) }
        position = page.range.last.rawValue + 1
        if iommu.told.mapping(startingAt: page.range.first) == page.mapping { return }
        forget(page.range)
        // Nothing is mapped where something is told to be still.
        tellGone()
        if iommu.note(page) { iommu.notifiers.tell(.map, iommu.entry(page), to: .followers) }
    }

    /// Ends the pass: what lies between the last page and the end isn't mapped.
    mutating func finish(through last: UInt64) {
        if position <= last { forget(IOVARange(position, through: last)) }
        tellGone()
    }

    /// Takes out all that was told in a range.
    private mutating func forget(_ range: IOVARange) {
        while let mapping = iommu.told.firstMapping(overlapping: range) {
            _ = iommu.told.removeMapping(startingAt: mapping.range.first)
            if let run = gone, run.last.rawValue + 1 == mapping.range.first.rawValue {
                gone = IOVARange(run.first.rawValue, through: mapping.range.last.rawValue)
            } else {
                tellGone()
                gone = mapping.range
            }
        }
    }

    private mutating func tellGone() {
        guard let run = gone else { return }
        gone = nil
        iommu.notifiers.tell(.unmap, iommu.entry(run, GuestAddress(0), []), to: .followers)
    }
}

extension VIOMMUPage {
    /// The page as it is noted.
    fileprivate var mapping: IOVAMapping {
        IOVAMapping(range, backing: address.rawValue, permissions: permissions.permissions)
    }
}
