/// Memory that is contiguous both on the device's side and behind it.
@frozen
public struct IOVAPiece: Hashable, Sendable, BitwiseCopyable {
    /// Where the first byte lies: the ``IOVAMapping/backing`` of the mapping, advanced to the address.
    public var backing: UInt64

    /// How many bytes lie there in one piece; never more than was asked for.
    public var byteCount: UInt64

    /// A piece of memory.
    @inlinable
    public init(backing: UInt64, byteCount: UInt64) {
        self.backing = backing
        self.byteCount = byteCount
    }
}

/// Why a device can't reach an address.
@frozen
public enum IOVAFault: Error, Hashable, Sendable {
    /// Nothing is mapped at the address.
    case unmapped(IOVA)

    /// What is mapped at the address allows only the permissions given.
    case denied(IOVA, IOVAPermissions)
}

/// What a map answered last, kept by whoever asks: a device that goes on in the same mapping is answered
/// without a search.
///
/// Owned by one thread at a time (each device or queue has its own), so that a map can be read by several
/// threads at once. An answer is used only while it is true: changes of the map are noticed, and so is a cache
/// that comes to another map.
@frozen
public struct IOVATranslationCache: Sendable, BitwiseCopyable {
    /// The id of the map; 0 is none's.
    @usableFromInline var owner: UInt64 = 0
    @usableFromInline var generation: UInt64 = 0
    @usableFromInline var first: UInt64 = 0
    @usableFromInline var lastOffset: UInt64 = 0
    @usableFromInline var backing: UInt64 = 0
    @usableFromInline var permissions: IOVAPermissions = []

    /// A cache that knows nothing yet.
    @inlinable
    public init() {}
}

extension IOVAMap {
    /// Finds the memory behind `iova`, as far as it lies in one piece.
    ///
    /// A transfer is translated piece by piece: go on at `iova + piece.byteCount` until all of it is done.
    /// Nothing is allocated. Touching mappings give a piece each.
    ///
    /// - Parameters:
    ///   - iova: the first address.
    ///   - byteCount: how many bytes are wanted. May be beyond what is mapped, or even the end of the space:
    ///     the piece is what there is.
    ///   - access: what the device is about to do.
    /// - Throws: ``IOVAFault`` about `iova`; later addresses are not looked at.
    public func translate(
        _ iova: IOVA, byteCount: UInt64, for access: IOVAPermissions
    ) throws(IOVAFault) -> IOVAPiece {
        guard let place = tree.place(containing: iova.rawValue) else {
            throw .unmapped(iova)
        }
        let payload = place.leaf.payload(at: place.index)
        guard payload.permissions.isSuperset(of: access) else {
            throw .denied(iova, payload.permissions)
        }
        let offset = iova.rawValue &- place.leaf.key(at: place.index)
        return IOVAMap.piece(
            at: payload.backing &+ offset, upTo: payload.last &- iova.rawValue, byteCount: byteCount)
    }

    /// Finds the memory behind `iova`, as far as it lies in one piece, with the help of what was found last.
    ///
    /// The same as ``translate(_:byteCount:for:)``, and much faster where addresses stay in one mapping.
    ///
    /// - Parameters:
    ///   - iova: the first address.
    ///   - byteCount: how many bytes are wanted.
    ///   - access: what the device is about to do.
    ///   - cache: the asker's own; holds the mapping of `iova` afterwards.
    /// - Throws: ``IOVAFault`` about `iova`.
    @inlinable
    @inline(__always)
    public func translate(
        _ iova: IOVA, byteCount: UInt64, for access: IOVAPermissions, cache: inout IOVATranslationCache
    ) throws(IOVAFault) -> IOVAPiece {
        var offset = iova.rawValue &- cache.first
        if cache.owner != id || cache.generation != generation || offset > cache.lastOffset {
            guard refill(&cache, for: iova) else {
                throw .unmapped(iova)
            }
            offset = iova.rawValue &- cache.first
        }
        guard cache.permissions.rawValue & access.rawValue == access.rawValue else {
            throw .denied(iova, cache.permissions)
        }
        return IOVAMap.piece(
            at: cache.backing &+ offset, upTo: cache.lastOffset &- offset, byteCount: byteCount)
    }

    /// Calls `body` for every piece of memory behind `range`, in ascending order.
    ///
    /// Stops at the first address that the device can't reach: the pieces before it have been handed over by
    /// then. To have all or nothing ask ``firstFault(in:for:)`` before.
    ///
    /// - Throws: ``IOVAFault`` about that address.
    @inlinable
    public func forEachPiece(
        of range: IOVARange, for access: IOVAPermissions, cache: inout IOVATranslationCache,
        _ body: (IOVAPiece) -> Void
    ) throws(IOVAFault) {
        var iova = range.first
        while true {
            let wanted = IOVARange(unchecked: iova.rawValue, range.last.rawValue)
            let piece = try translate(iova, byteCount: wanted.byteCount, for: access, cache: &cache)
            body(piece)
            // The count of all the space is one byte short, which the second turn then makes up for.
            let next = iova.rawValue.addingReportingOverflow(piece.byteCount)
            if next.overflow || next.partialValue > range.last.rawValue { return }
            iova = IOVA(next.partialValue)
        }
    }

    /// The piece of at most `byteCount` bytes of memory that goes on for `lastOffset` bytes after its first.
    @inlinable
    @inline(__always)
    static func piece(at backing: UInt64, upTo lastOffset: UInt64, byteCount: UInt64) -> IOVAPiece {
        IOVAPiece(
            backing: backing,
            byteCount: byteCount <= lastOffset
                ? byteCount : byteCount == 0 ? 0 : Swift.min(byteCount &- 1, lastOffset) &+ 1)
    }

    /// Fills the cache with the mapping of `iova`; false, and an empty cache, if there is none.
    @usableFromInline
    func refill(_ cache: inout IOVATranslationCache, for iova: IOVA) -> Bool {
        guard let place = tree.place(containing: iova.rawValue) else {
            cache = IOVATranslationCache()
            return false
        }
        let payload = place.leaf.payload(at: place.index)
        cache.owner = id
        cache.generation = generation
        cache.first = place.leaf.key(at: place.index)
        cache.lastOffset = payload.last &- cache.first
        cache.backing = payload.backing
        cache.permissions = payload.permissions
        return true
    }
}
