/// What there is to tell about an IOMMU of the guest: `IOMMU_NOTIFIER_…` in QEMU's words.
public struct IOMMUEvents: OptionSet, Hashable, Sendable {
    /// One bit for each.
    public let rawValue: UInt8
    /// Wraps bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// A page is mapped from now on: `MAP`. Only who follows these has everything in step, and hears exactly of the
    /// pages that are gone; others hear of ranges that the guest named.
    public static let map = IOMMUEvents(rawValue: 1)
    /// Nothing is mapped in a range any more: `UNMAP`.
    public static let unmap = IOMMUEvents(rawValue: 2)
    /// Translations that devices keep themselves are void: `DEVIOTLB_UNMAP`.
    public static let deviceUnmap = IOMMUEvents(rawValue: 4)
}

/// Someone who is told what changes in an IOMMU of the guest.
///
/// Called under the memory map's lock.
public protocol IOMMUObserver: AnyObject {
    /// A page is mapped from now on; nothing was mapped there before.
    func mapped(_ entry: IOMMUEntry)
    /// What was mapped in a range isn't any more. The range may have gaps, and the entry leads nowhere.
    func unmapped(_ entry: IOMMUEntry)
    /// Devices must let go of the translations of a range that they keep themselves.
    func unmappedInDevices(_ entry: IOMMUEntry)
}

extension IOMMUObserver {
    /// Nothing.
    public func unmappedInDevices(_ entry: IOMMUEntry) {}
}

/// One who is told of an IOMMU's changes, of which kinds, and in which part of it.
///
/// Used under the memory map's lock.
public final class IOMMUNotifier: @unchecked Sendable {
    /// What to tell.
    public let events: IOMMUEvents
    /// Where: offsets in the IOMMU's region. What reaches out of it is cut.
    public let range: ClosedRange<UInt64>
    /// For which kind of access, where the IOMMU tells several apart (``GuestIOMMU/indexCount``).
    public let index: Int
    private weak var observer: (any IOMMUObserver)?
    // Guarded by the memory map's lock.
    var isRegistered = false

    /// Describes who wants to know what.
    /// - Parameter observer: not kept; whoever registers the notifier ends that before the observer goes.
    public init(
        _ events: IOMMUEvents, in range: ClosedRange<UInt64>, index: Int = 0, for observer: any IOMMUObserver
    ) {
        self.events = events
        self.range = range
        self.index = index
        self.observer = observer
    }

    /// Tells of one event what lies in this notifier's range, if that is anything and it is to be told.
    public func tell(_ event: IOMMUEvents, _ entry: IOMMUEntry) {
        guard isRegistered, events.contains(event), let entry = entry.cut(to: range) else { return }
        if event == .map { observer?.mapped(entry) }
        if event == .unmap { observer?.unmapped(entry) }
        if event == .deviceUnmap { observer?.unmappedInDevices(entry) }
    }
}

extension IOMMUEntry {
    /// The part of the entry that lies in a range of offsets; nil if nothing does.
    ///
    /// What is left may be of any length, and leads to the same memory as before.
    public func cut(to range: ClosedRange<UInt64>) -> IOMMUEntry? {
        let (sum, overflow) = iova.addingReportingOverflow(lastOffset)
        let last = min(overflow ? .max : sum, range.upperBound)
        let first = max(iova, range.lowerBound)
        guard first <= last else { return nil }
        var part = self
        part.iova = first
        part.lastOffset = last - first
        // An entry that leads beyond the last address is refused by whoever resolves it; here it must only not trap.
        part.translated = GuestAddress(translated.rawValue &+ (first - iova))
        return part
    }
}
