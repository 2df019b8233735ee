import CLinux

/// A shared mapping of a file that somebody else may cut short at any time, which must not end this process.
///
/// A touch beyond a file's end raises SIGBUS. The first guarded mapping of the process installs a handler, which
/// puts private zeros in the place of the whole mapping and lets the access go on; faults elsewhere go to the
/// handler that was there before. Whoever uses the memory looks at ``isLost`` now and then.
public final class GuardedMapping: Sendable {
    private let mapping: Mapping
    private let place: UInt32

    /// Maps a part of a file, shared.
    /// - Throws: the errno of mmap(2); `ENOSPC` for more than 131,072 at a time.
    public init(
        sharing descriptor: Int32, at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) {
        let mapping = try Mapping(
            sharing: descriptor, at: offset, byteCount: byteCount, protection: protection)
        place = try Guard.shared.add(mapping.window)
        self.mapping = mapping
    }

    deinit {
        // While the range is still ours: another mapping may get the same addresses at once.
        Guard.shared.remove(place)
    }

    /// The memory.
    public var window: MemoryWindow { mapping.window }

    /// Whether the memory was taken away: what is there now are zeros that nobody shares.
    public var isLost: Bool { Guard.shared.isLost(place) }

    /// How many mappings of this process were taken away so far. As long as it stays the same, so does ``isLost``
    /// of every one.
    public static var lostCount: UInt64 { Guard.shared.lostCount }
}

/// The table that the handler looks at. Everything that touches it is in this file (see the header).
private final class Guard: @unchecked Sendable {
    // SAFETY: all variables are used with `lock` held; the handler reads the table by atomic loads.
    static let shared = Guard()
    private let lock = Lock()
    private var isStarted = false
    private var free: [UInt32] = []
    private var count: UInt32 = 0

    func add(_ window: MemoryWindow) throws(Errno) -> UInt32 {
        try lock.withLock { () throws(Errno) in
            if !isStarted {
                _ = try checked { clinux_guard_start() }
                isStarted = true
            }
            var place = count
            if let last = free.popLast() {
                place = last
            } else {
                guard count < clinux_guard_limit() else { throw .noSpace }
                count += 1
            }
            clinux_guard_add(place, window.address.rawValue, window.byteCount)
            return place
        }
    }

    func remove(_ place: UInt32) {
        lock.withLock {
            clinux_guard_remove(place)
            free.append(place)
        }
    }

    func isLost(_ place: UInt32) -> Bool { clinux_guard_is_lost(place) != 0 }

    var lostCount: UInt64 { clinux_guard_lost_count() }
}
