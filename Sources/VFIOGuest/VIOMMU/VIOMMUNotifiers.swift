import VFIO

/// Those who are told of the changes of one IOMMU of the guest.
///
/// Each ``GuestIOMMU`` has one; used under the memory map's lock.
public final class IOMMUNotifiers: @unchecked Sendable {
    private var all: [IOMMUNotifier] = []

    /// Nobody yet.
    public init() {}

    /// How many there are.
    public var count: Int { all.count }

    /// What at least one of them wants to know.
    public var events: IOMMUEvents { all.reduce(into: []) { $0.formUnion($1.events) } }

    func contains(_ notifier: IOMMUNotifier) -> Bool { all.contains { $0 === notifier } }

    func append(_ notifier: IOMMUNotifier) {
        all.append(notifier)
        notifier.isRegistered = true
    }

    func remove(_ notifier: IOMMUNotifier) {
        all.removeAll { $0 === notifier }
        notifier.isRegistered = false
    }

    /// Whom an event is for.
    public enum Audience: Sendable {
        /// All who want such events.
        case everyone
        /// Those who also follow what is mapped, and so know what there is to lose.
        case followers
        /// Those who don't.
        case others
    }

    /// Tells those who want to know it of one event.
    ///
    /// Who registers meanwhile isn't told; who ends its registration isn't any more.
    /// - Parameter entry: as to an offset; cut to what each asked for. An ``IOMMUEvents/unmap`` has no permissions.
    public func tell(
        _ event: IOMMUEvents, _ entry: IOMMUEntry, index: Int = 0, to audience: Audience = .everyone
    ) {
        for notifier in all where notifier.index == index {
            switch audience {
            case .everyone: break
            case .followers: guard notifier.events.contains(.map) else { continue }
            case .others: guard !notifier.events.contains(.map) else { continue }
            }
            notifier.tell(event, entry)
        }
    }
}

extension GuestIOMMU {
    /// Lets a notifier hear of what changes from now on.
    ///
    /// Whoever also needs what is mapped already asks for it with ``replay(to:)``, before giving back the memory map's
    /// lock.
    /// - Parameter byteCount: the length of the IOMMU's region.
    /// - Throws: ``/VFIO/VFIOError/Code/outOfBounds`` if the notifier's range isn't a part of the region or its index
    ///   isn't one of the IOMMU's; ``/VFIO/VFIOError/Code/busy`` if it is registered already; or the IOMMU's own reason
    ///   not to tell what is asked for.
    public func register(_ notifier: IOMMUNotifier, byteCount: UInt128) throws(VFIOGuestError) {
        let operation = "follow the guest's IOMMU"
        let object = "offsets \(notifier.range.lowerBound) to \(notifier.range.upperBound)"
        guard UInt128(notifier.range.upperBound) < byteCount, (0..<indexCount).contains(notifier.index) else {
            throw VFIOError(
                operation: operation, object: object, code: .outOfBounds,
                cause: "the region has \(byteCount) bytes, and \(indexCount) kinds of access")
        }
        guard !notifier.events.isEmpty, !notifier.isRegistered else {
            throw VFIOError(
                operation: operation, object: object, code: .busy,
                cause: notifier.isRegistered ? "the notifier is registered already" : "it asks for nothing")
        }
        let old = notifiers.events
        let new = old.union(notifier.events)
        if old != new { try willTell(new, before: old) }
        notifiers.append(notifier)
    }

    /// Ends a registration; nothing is told about it.
    public func unregister(_ notifier: IOMMUNotifier) {
        guard notifiers.contains(notifier) else { return }
        let old = notifiers.events
        notifiers.remove(notifier)
        let new = notifiers.events
        // To tell less is never refused.
        if old != new { try? willTell(new, before: old) }
    }
}
