import LinuxSystem

/// The memory map of one guest: its regions, the address spaces in which processors and devices see them, and those
/// who follow the changes.
///
/// One lock, which its holder may take again, guards all of it: changes, and the listeners that are called about
/// them, happen one after the other. Views (``GuestAddressSpace/view``) are read without it.
public final class GuestMemory: @unchecked Sendable {
    /// Guards everything; whoever holds it may call everything.
    public let lock = RecursiveLock()
    /// Who needs that the guest's RAM can be discarded, and who can't have that it is.
    public let discardPolicy = RAMDiscardPolicy()
    var serial: UInt64 = 0
    private var depth = 0
    private var isCommitting = false
    private var pending: [GuestAddressSpace] = []
    /// Those of `pending` that are being brought up to date.
    private var updating: [GuestAddressSpace] = []
    var spaces: [MemoryRegion.WeakSpace] = []
    private var liveSpaces: [GuestAddressSpace] { spaces.compactMap(\.space) }
    private(set) var isLoggingForMigration = false {
        didSet { migrationLogFlag.store(isLoggingForMigration ? 1 : 0) }
    }
    /// The same, for those who write without the lock.
    let migrationLogFlag = AtomicWord()

    /// An empty memory map.
    public init() {}

    /// Makes several changes at once: listeners hear the difference between before and after, once, when the
    /// outermost transaction ends.
    ///
    /// A listener that changes the map while it is being told of a change is heard when that is over.
    public func transaction<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        try lock.withLock { () throws(E) -> R in
            depth += 1
            defer {
                depth -= 1
                if depth == 0 { commit() }
            }
            return try body()
        }
    }

    func change<E: Error>(_ body: () throws(E) -> Void) throws(E) { try transaction(body) }

    func add(_ space: GuestAddressSpace) { pending.append(space) }

    private func commit() {
        guard !isCommitting else { return }
        isCommitting = true
        defer { isCommitting = false }
        while !pending.isEmpty {
            // Swapped, so that the arrays keep their memory and a listener's own changes have a place.
            swap(&updating, &pending)
            for space in updating { space.begin() }
            for space in updating { space.update() }
            for space in updating { space.end() }
            updating.removeAll(keepingCapacity: true)
        }
    }

    // MARK: the dirty log of a migration

    /// Starts to note all written pages of RAM for ``DirtyClients/migration``.
    ///
    /// Every listener is told, and must from then on know what is written through it.
    /// - Throws: the first listener's error; those that had started have been stopped then.
    public func startMigrationLog() throws(VFIOGuestError) {
        try lock.withLock { () throws(VFIOGuestError) in
            guard !isLoggingForMigration else { return }
            var started: [any MemoryListener] = []
            do throws(VFIOGuestError) {
                for space in liveSpaces {
                    for listener in space.listeners {
                        try listener.migrationLogStarts()
                        started.append(listener)
                    }
                }
            } catch {
                for listener in started.reversed() { listener.migrationLogStopped() }
                throw error
            }
            isLoggingForMigration = true
            allChanged()
        }
    }

    /// Ends it. What was noted stays.
    public func stopMigrationLog() {
        lock.withLock {
            guard isLoggingForMigration else { return }
            isLoggingForMigration = false
            allChanged()
            for space in liveSpaces.reversed() {
                for listener in space.listeners.reversed() { listener.migrationLogStopped() }
            }
        }
    }

    /// Brings the dirty logs of all blocks up to date: each listener is asked for what was written through it.
    /// - Throws: the first error, when all have been asked: the logs may then lack pages that were written.
    public func synchronizeDirtyLog() throws(VFIOGuestError) {
        try lock.withLock { () throws(VFIOGuestError) in
            var failure: VFIOGuestError?
            for space in liveSpaces {
                let listeners = space.listeners
                guard !listeners.isEmpty else { continue }
                space.view.forEach { range in
                    guard range.isLogged else { return }
                    let section = MemorySection(range, in: space)
                    for listener in listeners {
                        do throws(VFIOGuestError) {
                            try listener.synchronize(section)
                        } catch {
                            failure = failure ?? error
                        }
                    }
                }
            }
            if let failure { throw failure }
        }
    }

    private func allChanged() {
        transaction { for space in liveSpaces { space.root.changed() } }
    }
}
