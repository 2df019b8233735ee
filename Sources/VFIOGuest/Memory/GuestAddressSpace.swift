import LinuxSystem

/// What a processor or a device of the guest sees: the flattened view of a tree of regions.
///
/// Not to be confused with `VFIO`'s `AddressSpace`, the addresses that a real IOMMU translates: the guest layer
/// keeps that one in step with this one.
public final class GuestAddressSpace: @unchecked Sendable, CustomStringConvertible {
    /// What it is called in messages.
    public let name: String
    /// The region that it shows.
    public let root: MemoryRegion

    private let viewLock = Lock()
    private var current = FlatView()  // written under both locks, read under either
    // Guarded by the memory map's lock.
    var listeners: [any MemoryListener] = []
    private var dirty: [GuestRange] = []
    private var isPending = false
    // Scratch space.
    private var new = Rendering()
    private var old: [FlatRange] = []
    private var spans: [Span] = []

    /// A range that is rendered again, and where its ranges lie in the scratch space.
    private struct Span {
        var first: UInt64
        var last: UInt64
        var old = 0..<0
        var new = 0..<0
    }

    /// An address space that shows a region.
    public init(_ name: String, showing root: MemoryRegion) {
        self.name = name
        self.root = root
        root.memory.transaction {
            root.spaces.append(MemoryRegion.WeakSpace(self))
            root.memory.spaces.append(MemoryRegion.WeakSpace(self))
            changed(0, .max)
        }
    }

    deinit {
        root.memory.lock.withLock {
            let id = ObjectIdentifier(self)
            root.spaces.removeAll { $0.id == id }
            root.memory.spaces.removeAll { $0.id == id }
        }
    }

    /// The memory map that it belongs to.
    public var memory: GuestMemory { root.memory }

    /// What is seen now. From any thread.
    public var view: FlatView { viewLock.withLock { current } }

    /// How many sections there are.
    public var sectionCount: Int { view.count }

    /// Its name.
    public var description: String { name }

    /// The section that an address lies in; nil where nothing answers. From any thread.
    public func section(at address: GuestAddress) -> MemorySection? {
        viewRange(containing: address.rawValue).map { MemorySection($0, in: self) }
    }

    /// What an address shows. From any thread.
    func viewRange(containing address: UInt64) -> FlatRange? {
        viewLock.withLock { current.range(containing: address) }
    }

    /// All sections, ascending.
    public var sections: [MemorySection] {
        let view = self.view
        var sections: [MemorySection] = []
        sections.reserveCapacity(view.count)
        view.forEach { sections.append(MemorySection($0, in: self)) }
        return sections
    }

    // MARK: listeners

    /// Lets a listener follow the space: it hears at once of all that is seen.
    /// - Throws: if a migration is on, the listener's reason why it can't tell what is written.
    public func register(_ listener: any MemoryListener) throws(VFIOGuestError) {
        try memory.lock.withLock { () throws(VFIOGuestError) in
            // What others are still to hear of in a transaction, this one hears of with them.
            if memory.isLoggingForMigration { try listener.migrationLogStarts() }
            let place = listeners.firstIndex { $0.priority > listener.priority } ?? listeners.count
            listeners.insert(listener, at: place)
            listener.changeBegins()
            current.forEach { range in
                let section = MemorySection(range, in: self)
                listener.added(section)
                if range.isLogged { listener.loggingChanged(section, from: []) }
            }
            listener.changeEnds()
        }
    }

    /// Ends it: the listener hears of the removal of all that is seen.
    public func unregister(_ listener: any MemoryListener) {
        memory.lock.withLock {
            guard let place = listeners.firstIndex(where: { $0 === listener }) else { return }
            listener.changeBegins()
            current.forEach { listener.removed(MemorySection($0, in: self)) }
            listener.changeEnds()
            listeners.remove(at: place)
            if memory.isLoggingForMigration { listener.migrationLogStopped() }
        }
    }

    // MARK: changes

    /// Notes that a part may look different.
    func changed(_ first: UInt64, _ last: UInt64) {
        dirty.append(GuestRange(unchecked: first, last))
        if !isPending {
            isPending = true
            memory.add(self)
        }
    }

    func begin() { for listener in listeners { listener.changeBegins() } }

    func end() { for listener in listeners { listener.changeEnds() } }

    /// Renders again what may have changed, and tells the difference.
    func update() {
        isPending = false
        findSpans()
        new.reset()
        old.removeAll(keepingCapacity: true)
        for index in spans.indices {
            let span = spans[index]
            let oldStart = old.count
            current.forEach(touching: span.first, span.last) {
                old.append($0)
                return true
            }
            let newStart = new.ranges.count
            new.render(root, span.first, span.last, isMigrating: memory.isLoggingForMigration)
            spans[index].old = oldStart..<old.count
            spans[index].new = newStart..<new.ranges.count
        }
        if !listeners.isEmpty { tellRemovals() }
        viewLock.withLock {
            for span in spans where !isSame(span) {
                current.replace(span.first, span.last, with: new.ranges[span.new])
            }
        }
        if !listeners.isEmpty { tellAdditions() }
        // Regions that are gone are let go only now.
        old.removeAll(keepingCapacity: true)
        new.reset()
    }

    private func isSame(_ span: Span) -> Bool {
        span.old.count == span.new.count
            && zip(span.old, span.new).allSatisfy {
                old[$0].shows(new.ranges[$1]) && old[$0].dirtyClients == new.ranges[$1].dirtyClients
            }
    }

    /// The changed ranges, disjoint and ascending, each grown to the ends of what touches it now: so no range that
    /// is there reaches out of one, and what can join does.
    private func findSpans() {
        spans.removeAll(keepingCapacity: true)
        dirty.sort { $0.first < $1.first }
        for range in dirty {
            var first = range.first.rawValue
            var last = range.last.rawValue
            // One that ends with the known span is looked at: what follows, it may join.
            if let known = spans.last, last < known.last { continue }
            current.forEach(touching: first == 0 ? 0 : first - 1, first) {
                first = min(first, $0.first)
                last = max(last, $0.last)
                return true
            }
            current.forEach(touching: last, last == .max ? .max : last + 1) {
                first = min(first, $0.first)
                last = max(last, $0.last)
                return true
            }
            // Also one that ends where this one begins: what is new in both may join.
            while let known = spans.last, first == 0 || known.last >= first - 1 {
                first = min(first, known.first)
                last = max(last, known.last)
                spans.removeLast()
            }
            spans.append(Span(first: first, last: last))
        }
        dirty.removeAll(keepingCapacity: true)
    }

    private func tellRemovals() {
        for span in spans {
            var next = span.new.lowerBound
            for index in span.old {
                while next < span.new.upperBound && new.ranges[next].first < old[index].first { next += 1 }
                if next < span.new.upperBound && new.ranges[next].shows(old[index]) { continue }
                let section = MemorySection(old[index], in: self)
                for listener in listeners.reversed() { listener.removed(section) }
            }
        }
    }

    private func tellAdditions() {
        for span in spans {
            var next = span.old.lowerBound
            for index in span.new {
                while next < span.old.upperBound && old[next].first < new.ranges[index].first { next += 1 }
                let range = new.ranges[index]
                let section = MemorySection(range, in: self)
                if next < span.old.upperBound && old[next].shows(range) {
                    let before = old[next].dirtyClients
                    guard before != range.dirtyClients else { continue }
                    for listener in listeners { listener.loggingChanged(section, from: before) }
                } else {
                    for listener in listeners {
                        listener.added(section)
                        if range.isLogged { listener.loggingChanged(section, from: []) }
                    }
                }
            }
        }
    }
}
