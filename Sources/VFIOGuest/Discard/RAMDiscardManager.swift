import LinuxSystem
import VFIO

/// Keeps those who use a piece of guest RAM in step with which parts of it have memory behind them.
///
/// A part is *populated* when every ``RAMDiscardSource`` says so, and else *discarded*: the guest doesn't use it, no
/// device may reach it, and whoever touches it makes the machine give memory that nobody asked for. Listeners hear of a
/// part before the guest may use it, in the order in which they registered, and any of them can refuse; they hear of
/// its end before the memory is given back, in the opposite order.
///
/// All ranges are offsets into the region, in bytes. Sources join and leave only while nobody listens. May be used from
/// any thread: the lock of the memory map guards it, and is held while sources and listeners are called.
public final class RAMDiscardManager: @unchecked Sendable {
    /// The length of the RAM in bytes.
    public let byteCount: UInt64
    let lock: RecursiveLock
    // All below is guarded by the lock.
    private var sources: [any RAMDiscardSource] = []
    private var registrations: [Registration] = []
    private var isTelling = false

    private struct Registration {
        let listener: any RAMDiscardListener
        let range: Range<UInt64>
    }

    /// Gives a region of RAM a manager; the region keeps it. All is populated as long as no source says otherwise.
    /// - Throws: ``GuestMemoryError/wrongKind(_:)`` for what isn't RAM; ``GuestMemoryError/hasParent(_:)`` for a region
    ///   that can be seen already; ``GuestMemoryError/hasDiscardManager(_:)``.
    public init(for region: MemoryRegion) throws(GuestMemoryError) {
        guard case .ram(let block) = region.kind else { throw .wrongKind(region.name) }
        byteCount = block.byteCount
        lock = region.memory.lock
        try lock.withLock { () throws(GuestMemoryError) in
            guard region.canChangeDiscardManager else { throw .hasParent(region.name) }
            guard region.discards == nil else { throw .hasDiscardManager(region.name) }
            region.discards = self
        }
    }

    // MARK: Sources

    /// Adds a source.
    /// - Throws: ``RAMDiscardError/busy`` while somebody listens; ``RAMDiscardError/unsuitableGranularity(_:)``;
    ///   ``RAMDiscardError/alreadyRegistered``.
    public func join(_ source: any RAMDiscardSource) throws(RAMDiscardError) {
        try lock.withLock { () throws(RAMDiscardError) in
            guard registrations.isEmpty, !isTelling else { throw .busy }
            guard !sources.contains(where: { $0 === source }) else { throw .alreadyRegistered }
            guard source.granularity.nonzeroBitCount == 1 else {
                throw .unsuitableGranularity(source.granularity)
            }
            sources.append(source)
            source.didJoin(self)
        }
    }

    /// Removes a source; what it called discarded counts as populated if the others agree.
    /// - Throws: ``RAMDiscardError/busy`` while somebody listens; ``RAMDiscardError/notRegistered``.
    public func leave(_ source: any RAMDiscardSource) throws(RAMDiscardError) {
        try lock.withLock { () throws(RAMDiscardError) in
            guard registrations.isEmpty, !isTelling else { throw .busy }
            guard let index = sources.firstIndex(where: { $0 === source }) else { throw .notRegistered }
            sources.remove(at: index).didJoin(nil)
        }
    }

    /// The length of what changes at a time, in bytes: the shortest of the sources', and 0 where there is none.
    public var granularity: UInt64 { lock.withLock { sources.map(\.granularity).min() ?? 0 } }

    // MARK: Questions

    /// Whether all of a range is populated. The range needs no alignment.
    /// - Returns: false also for an empty range and for one that isn't a part of the RAM.
    public func isPopulated(_ range: Range<UInt64>) -> Bool {
        guard !range.isEmpty, range.upperBound <= byteCount else { return false }
        return lock.withLock { firstPopulated(in: range, besides: nil) == range }
    }

    /// Calls `body` with every populated part of a range, as long as they are, ascending.
    /// - Throws: the first error of `body`.
    public func replayPopulated<E: Error>(
        _ range: Range<UInt64>, _ body: (Range<UInt64>) throws(E) -> Void
    ) throws(E) {
        try lock.withLock { () throws(E) in try forEachPopulated(in: range, besides: nil, body) }
    }

    /// Calls `body` with every discarded part of a range, as long as they are, ascending.
    /// - Throws: the first error of `body`.
    public func replayDiscarded<E: Error>(
        _ range: Range<UInt64>, _ body: (Range<UInt64>) throws(E) -> Void
    ) throws(E) {
        let range = range.clamped(to: 0..<byteCount)
        try lock.withLock { () throws(E) in
            var start = range.lowerBound
            while start < range.upperBound {
                let rest = start..<range.upperBound
                let next = firstPopulated(in: rest, besides: nil) ?? rest.upperBound..<rest.upperBound
                if start < next.lowerBound { try body(start..<next.lowerBound) }
                start = next.upperBound
            }
        }
    }

    /// The first populated part of a non-empty range, as all sources but one say.
    private func firstPopulated(
        in range: Range<UInt64>, besides excluded: (any RAMDiscardSource)?
    ) -> Range<UInt64>? {
        var start = range.lowerBound
        search: while start < range.upperBound {
            var run = start..<range.upperBound
            for source in sources where source !== excluded {
                guard let part = source.firstRun(populated: true, in: run)?.clamped(to: run), !part.isEmpty
                else {
                    start = run.upperBound
                    continue search
                }
                run = part
            }
            return run
        }
        return nil
    }

    private func forEachPopulated<E: Error>(
        in range: Range<UInt64>, besides excluded: (any RAMDiscardSource)?,
        _ body: (Range<UInt64>) throws(E) -> Void
    ) throws(E) {
        let range = range.clamped(to: 0..<byteCount)
        var start = range.lowerBound
        while start < range.upperBound,
            let part = firstPopulated(in: start..<range.upperBound, besides: excluded)
        {
            try body(part)
            start = part.upperBound
        }
    }

    // MARK: Listeners

    /// How many listeners there are.
    public var listenerCount: Int { lock.withLock { registrations.count } }

    /// Lets a listener hear of the changes of a range, and at once of what is populated there.
    ///
    /// The manager keeps the listener until its registration ends.
    /// - Throws: ``RAMDiscardError/refused(_:)`` when the listener can't take up what is populated: it has then heard
    ///   that all of it is discarded again, and isn't registered. ``RAMDiscardError/outOfRange(_:end:)``,
    ///   ``RAMDiscardError/alreadyRegistered``; ``RAMDiscardError/busy`` from within a call to a listener.
    public func register(
        _ listener: any RAMDiscardListener, for range: Range<UInt64>
    ) throws(RAMDiscardError) {
        guard !range.isEmpty, range.upperBound <= byteCount else { throw .outOfRange(range, end: byteCount) }
        try telling { () throws(RAMDiscardError) in
            guard !registrations.contains(where: { $0.listener === listener }) else {
                throw .alreadyRegistered
            }
            let registration = Registration(listener: listener, range: range)
            try tell(registration, populated: range, besides: nil)
            registrations.append(registration)
        }
    }

    /// Ends a registration: the listener hears that what is populated is discarded, for it.
    /// - Throws: ``RAMDiscardError/notRegistered``; ``RAMDiscardError/busy`` from within a call to a listener, unless
    ///   this one accepts a double discard: it may end while it, or another, is being told.
    public func unregister(_ listener: any RAMDiscardListener) throws(RAMDiscardError) {
        try lock.withLock { () throws(RAMDiscardError) in
            let acceptsDoubleDiscard = listener.acceptsDoubleDiscard
            guard !isTelling || acceptsDoubleDiscard else { throw .busy }
            guard let index = registrations.firstIndex(where: { $0.listener === listener }) else {
                throw .notRegistered
            }
            let registration = registrations.remove(at: index)
            // In the middle of a change, what it was told and what the sources say may differ.
            let isUncertain = isTelling
            isTelling = true
            defer { isTelling = isUncertain }
            if !acceptsDoubleDiscard {
                tell(registration, discarded: registration.range, besides: nil)
            } else if isUncertain || firstPopulated(in: registration.range, besides: nil) != nil {
                listener.discard(registration.range)
            }
        }
    }

    private func isRegistered(_ registration: Registration) -> Bool {
        registrations.contains { $0.listener === registration.listener }
    }

    // MARK: What sources tell

    /// Tells the listeners that a range is going to be populated, as far as the other sources agree.
    ///
    /// The source says so of all of the range in its answers from when this returns, and until then of none.
    /// - Throws: ``RAMDiscardError/refused(_:)`` with the first refusal: whoever had taken the range up has let it go
    ///   again, the last one first. ``RAMDiscardError/busy`` from within a call to a listener.
    public func populate(
        _ range: Range<UInt64>, by source: any RAMDiscardSource
    ) throws(RAMDiscardError) {
        try telling { () throws(RAMDiscardError) in
            let all = registrations
            for (index, registration) in all.enumerated() where isRegistered(registration) {
                do throws(RAMDiscardError) {
                    try tell(registration, populated: range, besides: source)
                } catch {
                    for told in all[..<index].reversed() where isRegistered(told) {
                        tell(told, discarded: range, besides: source)
                    }
                    throw error
                }
                if !isRegistered(registration) {
                    // It ended while it was being told, and may have gone on taking up.
                    tell(registration, discarded: range, besides: source)
                }
            }
        }
    }

    /// Tells the listeners that a range is discarded that the source called populated until now, all of it.
    /// - Throws: ``RAMDiscardError/busy`` from within a call to a listener: the range must then stay as it is.
    public func discard(
        _ range: Range<UInt64>, by source: any RAMDiscardSource
    ) throws(RAMDiscardError) {
        try telling { () throws(RAMDiscardError) in
            for registration in registrations.reversed() where isRegistered(registration) {
                tell(registration, discarded: range, besides: source)
            }
        }
    }

    /// Runs `body`, in which listeners are told something.
    private func telling(_ body: () throws(RAMDiscardError) -> Void) throws(RAMDiscardError) {
        try lock.withLock { () throws(RAMDiscardError) in
            guard !isTelling else { throw .busy }
            isTelling = true
            defer { isTelling = false }
            try body()
        }
    }

    /// Tells one listener of what is populated; all or nothing.
    private func tell(
        _ registration: Registration, populated range: Range<UInt64>,
        besides source: (any RAMDiscardSource)?
    ) throws(RAMDiscardError) {
        let range = range.clamped(to: registration.range)
        do throws(PartRefused) {
            try forEachPopulated(in: range, besides: source) { part throws(PartRefused) in
                do throws(VFIOError) {
                    try registration.listener.populate(part)
                } catch {
                    throw PartRefused(start: part.lowerBound, error: error)
                }
            }
        } catch {
            if error.start > range.lowerBound {
                tell(registration, discarded: range.lowerBound..<error.start, besides: source)
            }
            throw .refused(error.error)
        }
    }

    private struct PartRefused: Error {
        let start: UInt64
        let error: VFIOError
    }

    private func tell(
        _ registration: Registration, discarded range: Range<UInt64>,
        besides source: (any RAMDiscardSource)?
    ) {
        forEachPopulated(in: range.clamped(to: registration.range), besides: source) { part in
            registration.listener.discard(part)
        }
    }
}

extension MemoryRegion {
    /// Who knows which parts of the region are populated; nil if all of it is.
    public var discardManager: RAMDiscardManager? { memory.lock.withLock { discards } }

    /// Takes the manager away: all of the region is populated then.
    /// - Throws: ``GuestMemoryError/hasParent(_:)`` for a region that can still be seen.
    public func removeDiscardManager() throws(GuestMemoryError) {
        try memory.lock.withLock { () throws(GuestMemoryError) in
            guard canChangeDiscardManager else { throw .hasParent(name) }
            discards = nil
        }
    }

    /// Whether the region is nowhere yet, so that nobody has mapped all of it. Under the lock.
    var canChangeDiscardManager: Bool { parentOrNil == nil && aliases.isEmpty && spaces.isEmpty }
}
