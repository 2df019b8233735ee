import CLinux
import LinuxSystem

// What changes mappings that are there. Trapped ranges stay without access, whatever the program asks for: only what
// it may do is noted.

private typealias Protect = @convention(c) (UInt, Int, Int32) -> Int32
private typealias Move = @convention(c) (UInt, Int, Int, Int32, UInt) -> UInt

/// Stands in front of `mprotect`.
@c(mprotect) public func hookedProtect(_ at: UInt, _ byteCount: Int, _ protection: Int32) -> Int32 {
    let real = RealCalls.call(.mprotect, as: Protect.self)
    guard !TrapRanges.isEmpty, byteCount > 0, let rounded = byteCount.roundedUp(toMultipleOf: pageSize),
        at % UInt(pageSize) == 0
    else { return real(at, byteCount, protection) }
    let end = at &+ UInt(rounded)
    guard end > at, TrapRanges.overlaps(from: at, to: end) else { return real(at, byteCount, protection) }
    return Answer.int { () throws(Errno) -> Int32 in
        var parts = try TrapRanges.change(from: at, to: end) { range in
            var changed = range
            changed.protection = protection & (PROT_READ | PROT_WRITE)
            return changed
        }
        parts.sortCompactly { $0.start < $1.start }
        // What lies between them is the program's own.
        var next = at
        for part in parts {
            if part.start > next, real(next, Int(part.start - next), protection) != 0 {
                throw Errno(rawValue: clinux_errno())
            }
            next = part.end
        }
        if next < end, real(next, Int(end - next), protection) != 0 {
            throw Errno(rawValue: clinux_errno())
        }
        return 0
    }
}

/// Stands in front of `mremap`.
@c(mremap) public func hookedMove(
    _ at: UInt, _ byteCount: Int, _ newCount: Int, _ flags: Int32, _ to: UInt
) -> UInt {
    let real = RealCalls.call(.mremap, as: Move.self)
    guard !TrapRanges.isEmpty, let old = byteCount.roundedUp(toMultipleOf: pageSize), old > 0,
        let new = newCount.roundedUp(toMultipleOf: pageSize), new > 0
    else { return real(at, byteCount, newCount, flags, to) }
    let end = at &+ UInt(old)
    let isTrapped = end > at && TrapRanges.overlaps(from: at, to: end)
    // A device's memory can't grow.
    guard !isTrapped || new <= old else {
        _ = Answer.fail(.badAddress)
        return clinux_map_failed()
    }
    let place = real(at, byteCount, newCount, flags, to)
    guard place != clinux_map_failed() else { return place }
    if !isTrapped {
        if place != at { RegisterMapping.replaced(place, new) }
        return place
    }
    do throws(Errno) {
        let parts = try TrapRanges.remove(from: at, to: end)
        if place != at { RegisterMapping.replaced(place, new) }
        for part in parts {
            guard var moved = part.part(from: at, to: at + UInt(new)) else { continue }
            moved.start = place + (moved.start - at)
            moved.end = place + (min(part.end, at + UInt(new)) - at)
            try TrapRanges.add(moved)
        }
        for part in parts { TrapHolders.letGoIfUnused(part.handle) }
    } catch {
        _ = Answer.fail(error)
        return clinux_map_failed()
    }
    return place
}
