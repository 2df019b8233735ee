import IOVASpace
import LinuxSystem

/// The program on this machine: what it may do, and how much memory it has locked.
final class Process: @unchecked Sendable {
    // SAFETY: `account` is only touched with `lock` held; the rest never changes.
    private let lock = Lock()
    private var account: PinAccount
    private var held: ProcessRights
    private let injector: FaultInjector
    private let counters: CounterTable

    init(_ rights: ProcessRights, _ injector: FaultInjector, _ counters: CounterTable) {
        self.injector = injector
        self.counters = counters
        account = PinAccount(limit: rights.lockedMemoryLimit.map { $0 / UInt64(pageSize) })
        held = rights
    }

    /// What it may do. A limit that is lowered counts for what is locked from then on.
    var rights: ProcessRights {
        get { lock.withLock { held } }
        set {
            lock.withLock {
                held = newValue
                account.limit = newValue.lockedMemoryLimit.map { $0 / UInt64(pageSize) }
            }
        }
    }

    /// The limit that applies, in bytes; `UInt64.max` for none.
    var lockedMemoryLimit: UInt64 {
        let rights = rights
        return rights.mayExceedLockedMemory ? .max : rights.lockedMemoryLimit ?? .max
    }

    /// `CAP_SYS_RAWIO`
    var mayUseUnprotectedGroups: Bool { rights.mayUseUnprotectedGroups }

    /// How many pages are locked.
    var lockedPages: UInt64 { lock.withLock { account.used } }

    /// Makes sure that user memory is there and allows the access, and counts its pages as locked.
    ///
    /// As a kernel that pins page by page: whatever goes wrong first on the way is the answer.
    /// - Parameters:
    ///   - counted: how many of the pages are counted already, for whoever pinned them one by one.
    ///   - mayExceedLimit: whether the limit doesn't matter; nil for what the program may do now.
    /// - Returns: the number of pages counted by this call.
    /// - Throws: `EFAULT` for memory that isn't there or read-only, `ENOMEM` over the limit. Nothing stays
    ///   locked then.
    func pin(
        _ memory: HostAddress, byteCount: UInt64, writable: Bool, counted: UInt64 = 0,
        mayExceedLimit: Bool? = nil
    ) throws(Errno) -> UInt64 {
        let unit = UInt64(pageSize)
        let start = UInt64(memory.rawValue) & ~(unit - 1)
        let (end, overflow) = UInt64(memory.rawValue).addingReportingOverflow(byteCount)
        guard !overflow, byteCount > 0 else { throw .badAddress }
        let all = (end - start - 1) / unit + 1
        if injector.isWatching(.pin) { try failOnDemand(memory, all, writable) }
        let pages = all - min(counted, all)
        var granted = false
        var reachable = all
        lock.withLock {
            do throws(PinAccount.LimitExceeded) {
                try account.charge(pages, ignoringLimit: mayExceedLimit ?? held.mayExceedLockedMemory)
                noteLocked()
                granted = true
            } catch {
                // The page that goes over the limit is looked up before it is counted. Those counted already
                // are taken to come first.
                reachable = min(all, counted + min(account.available, all) + 1)
            }
        }
        do throws(Errno) {
            let (span, overflow) = reachable.multipliedReportingOverflow(by: unit)
            guard !overflow, let count = Int(exactly: span) else { throw .badAddress }
            try UserMemory.populate(HostAddress(start), byteCount: count, writable: writable)
        } catch {
            if granted { unpin(pages) }
            throw error
        }
        if !granted { throw .noMemory }
        return pages
    }

    /// Fails on the way if a rule says so. What lies before that point must be there all the same.
    @inline(never)
    private func failOnDemand(_ memory: HostAddress, _ pages: UInt64, _ writable: Bool) throws(Errno) {
        var event = FaultEvent(kind: .pin)
        event.size = pages
        guard case .pin(let before, let errno)? = injector.fire(event)?.fault else { return }
        let start = HostAddress(UInt64(memory.rawValue) & ~UInt64(pageSize - 1))
        // Fewer than all pages, whose bytes can be counted.
        try UserMemory.populate(start, byteCount: Int(before) * pageSize, writable: writable)
        throw errno
    }

    /// Counts pages as locked, whatever is done with them.
    /// - Throws: `ENOMEM` over the limit.
    func charge(_ pages: UInt64) throws(Errno) {
        try lock.withLock { () throws(Errno) in
            do throws(PinAccount.LimitExceeded) {
                try account.charge(pages, ignoringLimit: held.mayExceedLockedMemory)
                noteLocked()
            } catch {
                throw .noMemory
            }
        }
    }

    /// Counts pages as no longer locked.
    func unpin(_ pages: UInt64) {
        lock.withLock {
            _ = account.credit(pages)
            noteLocked()
        }
    }

    /// Tells those who look on. With `lock` held.
    private func noteLocked() { counters.setLocked(account.used * UInt64(pageSize)) }
}
