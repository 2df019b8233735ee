import CLinux
import LinuxSystem

/// A stretch of the program's addresses whose accesses are carried out here, one by one.
struct TrapRange {
    var start: UInt
    /// The first address behind it.
    var end: UInt
    /// The handle that it is a mapping of.
    var handle: Int32
    /// Where in the handle it begins.
    var offset: UInt64
    /// What the program may do: `PROT_READ`, `PROT_WRITE`.
    var protection: Int32

    /// A part of it; nil if they have nothing in common.
    func part(from start: UInt, to end: UInt) -> TrapRange? {
        let first = max(start, self.start)
        let last = min(end, self.end)
        guard first < last else { return nil }
        var part = self
        part.start = first
        part.end = last
        part.offset += UInt64(first - self.start)
        return part
    }
}

/// The trapped ranges of the process.
///
/// The handler of a fault looks here while other threads map and unmap: places are read without a lock, each under a
/// count that changes when the place does.
enum TrapRanges {
    /// How many there can be at a time.
    static let most = 4096
    private static let wordsPerPlace = 6

    // SAFETY: set once by `prepare`, before there is a range; what is behind it is read and written by atomic operations
    // only.
    nonisolated(unsafe) private static var places: UInt = 0
    // SAFETY: made by `prepare`.
    nonisolated(unsafe) private static var lock: Lock?

    /// How many ranges there are; a quick answer for calls that have nothing to do with them.
    static var isEmpty: Bool { unsafe places == 0 || clinux_relaxed_load(places) == 0 }

    /// Makes room. Called with no range there yet, by one thread at a time.
    static func prepare() throws(Errno) {
        guard unsafe places == 0 else { return }
        unsafe lock = Lock()
        // The first word counts the ranges, the second the places that were ever used, the third the changes.
        let room = try Mapping(anonymous: (3 + most * wordsPerPlace) * 8).release()
        unsafe places = room.address.rawValue
    }

    private static var highest: UInt { unsafe places + 8 }

    /// Odd while ranges are being changed.
    private static var changes: UInt { unsafe places + 16 }

    private static func place(_ index: Int) -> UInt { unsafe places + UInt(24 + index * wordsPerPlace * 8) }

    /// The range that an address lies in.
    static func range(at address: UInt) -> TrapRange? {
        guard unsafe places != 0 else { return nil }
        // A range that is being split is for a moment in no place at all. The end of that is awaited, but not for ever:
        // the handler may have interrupted the very thread that changes something.
        for _ in 0..<1_000_000 {
            let before = clinux_atomic_load(changes)
            if let found = find(address) { return found }
            if before & 1 == 0 && clinux_atomic_load(changes) == before { return nil }
            spinHint()
        }
        return nil
    }

    private static func find(_ address: UInt) -> TrapRange? {
        for index in 0..<Int(clinux_atomic_load(highest)) {
            let place = place(index)
            while true {
                let count = clinux_atomic_load(place)
                let start = UInt(clinux_atomic_load(place + 8))
                let end = UInt(clinux_atomic_load(place + 16))
                if address < start || address >= end { break }
                let offset = clinux_atomic_load(place + 24)
                let handle = clinux_atomic_load(place + 32)
                let protection = clinux_atomic_load(place + 40)
                // Changed meanwhile, or being changed: once more.
                if count & 1 != 0 || clinux_atomic_load(place) != count { continue }
                return TrapRange(
                    start: start, end: end, handle: Int32(truncatingIfNeeded: handle), offset: offset,
                    protection: Int32(truncatingIfNeeded: protection))
            }
        }
        return nil
    }

    /// With `lock` held.
    private static func read(_ index: Int) -> TrapRange? {
        let place = place(index)
        let end = UInt(clinux_atomic_load(place + 16))
        guard end != 0 else { return nil }
        return TrapRange(
            start: UInt(clinux_atomic_load(place + 8)), end: end,
            handle: Int32(truncatingIfNeeded: clinux_atomic_load(place + 32)),
            offset: clinux_atomic_load(place + 24),
            protection: Int32(truncatingIfNeeded: clinux_atomic_load(place + 40)))
    }

    /// With `lock` held.
    private static func write(_ range: TrapRange?, _ index: Int) {
        let place = place(index)
        _ = clinux_atomic_add(place, 1)
        clinux_atomic_store(place + 16, 0)
        if let range {
            clinux_atomic_store(place + 8, UInt64(range.start))
            clinux_atomic_store(place + 24, range.offset)
            clinux_atomic_store(place + 32, UInt64(UInt32(bitPattern: range.handle)))
            clinux_atomic_store(place + 40, UInt64(UInt32(bitPattern: range.protection)))
            clinux_atomic_store(place + 16, UInt64(range.end))
        }
        _ = clinux_atomic_add(place, 1)
    }

    /// Adds a range. Its addresses belong to nobody else.
    /// - Throws: `ENOMEM` if there are too many.
    static func add(_ range: TrapRange) throws(Errno) {
        guard let lock = unsafe lock else { throw .noMemory }
        try lock.withLock { () throws(Errno) in try insert(range) }
    }

    /// With `lock` held.
    private static func insert(_ range: TrapRange) throws(Errno) {
        let used = Int(clinux_atomic_load(highest))
        var index = 0
        while index < used && read(index) != nil { index += 1 }
        guard index < most else { throw .noMemory }
        write(range, index)
        if index == used { clinux_atomic_store(highest, UInt64(used + 1)) }
        unsafe clinux_relaxed_add(places, 1)
    }

    /// Changes what lies between two addresses, and splits ranges that reach beyond.
    /// - Parameter change: makes of the part what stays in its place; nil for nothing.
    /// - Returns: the parts as they were.
    /// - Throws: `ENOMEM` if there would be too many; some may have been changed then.
    @discardableResult
    static func change(
        from start: UInt, to end: UInt, _ change: (TrapRange) -> TrapRange?
    ) throws(Errno) -> [TrapRange] {
        guard !isEmpty, let lock = unsafe lock else { return [] }
        lock.lock()
        _ = clinux_atomic_add(changes, 1)
        defer {
            _ = clinux_atomic_add(changes, 1)
            lock.unlock()
        }
        var changed: [TrapRange] = []
        for index in 0..<Int(clinux_atomic_load(highest)) {
            guard let range = read(index), let part = range.part(from: start, to: end) else { continue }
            changed.append(part)
            unsafe clinux_relaxed_add(places, UInt64.max)
            write(nil, index)
            // What is left is put in place before anything new: these addresses are in use.
            if let before = range.part(from: 0, to: part.start) { try insert(before) }
            if let after = range.part(from: part.end, to: .max) { try insert(after) }
            if let replacement = change(part) { try insert(replacement) }
        }
        return changed
    }

    /// Takes out what lies between two addresses.
    @discardableResult
    static func remove(from start: UInt, to end: UInt) throws(Errno) -> [TrapRange] {
        try change(from: start, to: end) { _ in nil }
    }

    /// Whether anything of a handle is mapped.
    static func hasAny(of handle: Int32) -> Bool {
        guard !isEmpty, let lock = unsafe lock else { return false }
        return lock.withLock {
            for index in 0..<Int(clinux_atomic_load(highest)) where read(index)?.handle == handle {
                return true
            }
            return false
        }
    }

    /// Whether any address of a stretch is trapped.
    static func overlaps(from start: UInt, to end: UInt) -> Bool {
        guard !isEmpty, let lock = unsafe lock else { return false }
        return lock.withLock {
            for index in 0..<Int(clinux_atomic_load(highest))
            where read(index)?.part(from: start, to: end) != nil { return true }
            return false
        }
    }

    /// The child of a fork has one thread, which holds no lock.
    static func beginInChild() {
        guard unsafe places != 0 else { return }
        unsafe lock = Lock()
        if clinux_atomic_load(changes) & 1 != 0 { _ = clinux_atomic_add(changes, 1) }
    }
}
