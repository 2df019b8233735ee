import Glibc
import IOVASpace
import LinuxSystem
import VFIO
import VFIOGuest

/// The seed of a random test, printed so that a failure can be repeated: `GUEST_SEED=… swift test`.
func randomSeed(_ name: String) -> SplitMix {
    var seed = UInt64.random(in: 1...(.max))
    if let text = getenv("GUEST_SEED"), let given = UInt64(String(cString: text)) { seed = given }
    print("\(name): GUEST_SEED=\(seed)")
    return SplitMix(state: seed)
}

/// What listeners heard, in order.
final class Ears {
    var heard: [String] = []
}

/// A listener that writes down what it hears, and refuses what it is told to.
final class DiscardRecorder: RAMDiscardListener, @unchecked Sendable {
    let name: String
    let ears: Ears
    let acceptsDoubleDiscard: Bool
    /// Refuses parts that touch this range.
    var refused: Range<UInt64> = 0..<0
    /// What to do while being told.
    var whileTold: () -> Void = {}

    init(_ name: String, _ ears: Ears, acceptsDoubleDiscard: Bool = true) {
        self.name = name
        self.ears = ears
        self.acceptsDoubleDiscard = acceptsDoubleDiscard
    }

    func populate(_ range: Range<UInt64>) throws(VFIOError) {
        whileTold()
        if range.overlaps(refused) {
            ears.heard.append("\(name) refuses \(range)")
            throw VFIOError(operation: "take it up", object: name, errno: .noSpace)
        }
        ears.heard.append("\(name)+\(range)")
    }

    func discard(_ range: Range<UInt64>) {
        whileTold()
        ears.heard.append("\(name)-\(range)")
    }
}

/// A source whose populated parts are set by hand; tells nobody.
final class Parts: RAMDiscardSource, @unchecked Sendable {
    let granularity: UInt64
    var populated: [Range<UInt64>]
    weak var manager: RAMDiscardManager?

    init(_ granularity: UInt64, _ populated: [Range<UInt64>]) {
        self.granularity = granularity
        self.populated = populated
    }

    func firstRun(populated isPopulated: Bool, in range: Range<UInt64>) -> Range<UInt64>? {
        var start = range.lowerBound
        for part in populated where part.upperBound > start && part.lowerBound < range.upperBound {
            if isPopulated { return part.clamped(to: range) }
            if start < part.lowerBound { return start..<part.lowerBound }
            start = part.upperBound
        }
        return isPopulated || start >= range.upperBound ? nil : start..<range.upperBound
    }

    func didJoin(_ manager: RAMDiscardManager?) { self.manager = manager }
}

/// A table of mappings that behaves as type 1 does: no overlaps, whole mappings only, and a limit.
final class Table: DMATarget, @unchecked Sendable {
    struct Entry: Equatable {
        let byteCount: UInt64
        let memory: HostAddress
        let access: DMAPermissions
    }

    let smallestPage: UInt64
    var mappings: [UInt64: Entry] = [:]
    var limit = Int.max
    /// Says which requests to map fail.
    var refuses: () -> Bool = { false }
    var refusesToUnmap = false
    var unmapCount = 0
    var warnings: [IOVARange] = []

    init(smallestPage: UInt64 = 4096) { self.smallestPage = smallestPage }

    func map(_ memory: HostAddress, to range: IOVARange, _ access: DMAPermissions) throws(VFIOError) {
        if refuses() { throw error("map", .noMemory) }
        guard mappings.count < limit else { throw error("map", .noSpace, .entryLimit) }
        let isTaken = mappings.contains { start, entry in
            start <= range.last.rawValue && range.first.rawValue <= start + (entry.byteCount - 1)
        }
        if isTaken { throw error("map", .exists) }
        mappings[range.first.rawValue] = Entry(byteCount: range.byteCount, memory: memory, access: access)
    }

    func unmap(_ range: IOVARange) throws(VFIOError) {
        unmapCount += 1
        if refusesToUnmap { throw error("unmap", .inputOutput) }
        for (start, entry) in mappings {
            let last = start + (entry.byteCount - 1)
            guard start <= range.last.rawValue, range.first.rawValue <= last else { continue }
            guard range.contains(IOVA(start)), range.contains(IOVA(last)) else {
                throw error("unmap", .invalid)
            }
            mappings[start] = nil
        }
    }

    func mayStillReach(_ range: IOVARange, _ error: VFIOError) { warnings.append(range) }

    private func error(
        _ operation: String, _ errno: Errno, _ code: VFIOError.Code = .refused
    ) -> VFIOError {
        VFIOError(operation: operation, object: "the table", errno: errno, code: code)
    }
}

/// The error that a body throws.
func thrown<R, E: Error>(_ body: () throws(E) -> R) -> E? {
    do throws(E) {
        _ = try body()
        return nil
    } catch {
        return error
    }
}

let mib: UInt64 = 1 << 20

/// A region of RAM that can't be seen yet.
func ramRegion(
    _ name: String = "vmem0", byteCount: UInt64, isShared: Bool = true, in memory: GuestMemory = GuestMemory()
) throws -> MemoryRegion {
    try MemoryRegion(
        ram: RAMBlock(name, byteCount: Int(byteCount), isShared: isShared), in: memory)
}

extension MemoryWindow {
    /// How many of the window's pages this process has in memory.
    func residentPageCount() throws -> Int {
        var pages = [UInt8](repeating: 0, count: byteCount / pageSize)
        guard mincore(UnsafeMutableRawPointer(bitPattern: address.rawValue), byteCount, &pages) == 0 else {
            throw Errno(rawValue: errno)
        }
        return pages.count { $0 & 1 != 0 }
    }

    /// Keeps the window's pages in memory, or lets them go again.
    func setLocked(_ isLocked: Bool) throws {
        let start = UnsafeMutableRawPointer(bitPattern: address.rawValue)
        guard (isLocked ? mlock(start!, byteCount) : munlock(start!, byteCount)) == 0 else {
            throw Errno(rawValue: errno)
        }
    }
}

/// How many bytes of storage a file has.
func storedByteCount(_ descriptor: Int32) throws -> UInt64 {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Errno(rawValue: errno) }
    return UInt64(status.st_blocks) * 512
}
