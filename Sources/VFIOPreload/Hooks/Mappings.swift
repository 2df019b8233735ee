import CLinux
import LinuxSystem
import VFIOHost

// mmap(2) of a device's regions.

/// The mappings that the program has of our handles, by where it sees them.
enum ProgramMappings {
    struct Entry {
        /// Where the program sees it.
        let start: UInt
        let byteCount: Int
        /// What the kernel here gave.
        let window: MemoryWindow
        /// What keeps the device open meanwhile (``TrapHolders``).
        let holder: Int32
    }

    // SAFETY: replaced in the child of a fork only, which has one thread.
    nonisolated(unsafe) private static var lock = Lock()
    // SAFETY: only touched with `lock` held.
    nonisolated(unsafe) private static var entries: [Entry] = []
    // SAFETY: a word that is read and written whole; what is behind it is only touched with `lock` held.
    nonisolated(unsafe) private(set) static var count = 0

    static func add(_ entry: Entry) {
        unsafe lock.withLock {
            unsafe entries.append(entry)
            unsafe count += 1
        }
    }

    /// Ends a mapping that lies in a range whole; nil if there is none.
    static func end(_ start: UInt, _ byteCount: Int) -> Entry? {
        let entry = unsafe lock.withLock { () -> Entry? in
            let (end, overflow) = start.addingReportingOverflow(UInt(byteCount))
            guard !overflow else { return nil }
            let found = unsafe entries.firstIndex { entry in
                entry.start >= start && entry.start + UInt(entry.byteCount) <= end
            }
            guard let found else { return nil }
            unsafe count -= 1
            return unsafe entries.remove(at: found)
        }
        guard let entry else { return nil }
        Run.present.unmap(entry.window)
        TrapHolders.letGoIfUnused(entry.holder)
        return entry
    }

    /// Whether there is a mapping of what a number of ours keeps open.
    static func hasAny(of holder: Int32) -> Bool {
        guard unsafe count > 0 else { return false }
        return unsafe lock.withLock { unsafe entries.contains { $0.holder == holder } }
    }

    /// The child of a fork has one thread, which holds no lock.
    static func beginInChild() { unsafe lock = Lock() }
}

private func mapHandle(
    _ at: UInt, _ byteCount: Int, _ protection: Int32, _ flags: Int32, _ number: Int32, _ offset: Int
) -> UInt {
    do throws(Errno) {
        guard byteCount > 0, offset >= 0 else { throw .invalid }
        if let place = try RegisterMapping.map(number, at, byteCount, protection, flags, UInt64(offset)) {
            return place
        }
        let kernel = Run.present
        let holder = TrapHolders.hold(number)
        defer { TrapHolders.letGo(holder) }
        let window = try kernel.map(
            number, at: UInt64(offset), byteCount: byteCount,
            protection: Mapping.Protection(rawValue: protection & (PROT_READ | PROT_WRITE)))
        var place = window.address.rawValue
        if flags & clinux_map_fixed() != 0 {
            guard at % UInt(pageSize) == 0 else {
                kernel.unmap(window)
                throw .invalid
            }
            _ = ProgramMappings.end(at, window.byteCount)
            let result = clinux_map_again(place, at, window.byteCount)
            guard result == 0 else {
                kernel.unmap(window)
                throw Errno(rawValue: Int32(-result))
            }
            place = at
        }
        ProgramMappings.add(
            ProgramMappings.Entry(
                start: place, byteCount: window.byteCount, window: window, holder: holder))
        return place
    } catch {
        _ = Answer.fail(error)
        return clinux_map_failed()
    }
}

/// Stands in front of `mmap`.
@c(mmap) public func hookedMap(
    _ at: UInt, _ byteCount: Int, _ protection: Int32, _ flags: Int32, _ number: Int32, _ offset: Int
) -> UInt {
    guard Handles.contains(number) else {
        let place = RealCalls.call(.mmap, as: RealCalls.Map.self)(
            at, byteCount, protection, flags, number, offset)
        // Whatever was at a fixed place is gone.
        if flags & clinux_map_fixed() != 0 && place != clinux_map_failed() {
            RegisterMapping.replaced(place, byteCount)
        }
        return place
    }
    return mapHandle(at, byteCount, protection, flags, number, offset)
}

/// Stands in front of `mmap64`.
@c(mmap64) public func hookedMap64(
    _ at: UInt, _ byteCount: Int, _ protection: Int32, _ flags: Int32, _ number: Int32, _ offset: Int
) -> UInt {
    hookedMap(at, byteCount, protection, flags, number, offset)
}

/// Stands in front of `munmap`.
@c(munmap) public func hookedUnmap(_ at: UInt, _ byteCount: Int) -> Int32 {
    let real = RealCalls.call(.munmap, as: RealCalls.Unmap.self)
    RegisterMapping.replaced(at, byteCount)
    guard unsafe ProgramMappings.count > 0, byteCount > 0 else { return real(at, byteCount) }
    let rounded = byteCount.roundedUp(toMultipleOf: pageSize) ?? byteCount
    var isDone = false
    while let entry = ProgramMappings.end(at, rounded) {
        // The kernel here has unmapped what it mapped itself.
        if entry.start == entry.window.address.rawValue && entry.byteCount == rounded { isDone = true }
    }
    return isDone ? 0 : real(at, byteCount)
}
