import VFIOGuest

/// A listener that keeps what it is told.
final class Recorder: MemoryListener, @unchecked Sendable {
    enum Event: Equatable, CustomStringConvertible {
        case begin
        case added(String, UInt64, UInt64, UInt64)
        case removed(String, UInt64, UInt64, UInt64)
        case logging(UInt8, UInt8)
        case end

        var description: String {
            switch self {
            case .begin: "begin"
            case .added(let name, let first, let last, let offset): "+\(name) \(first)...\(last) @\(offset)"
            case .removed(let name, let first, let last, let offset): "-\(name) \(first)...\(last) @\(offset)"
            case .logging(let old, let new): "log \(old)->\(new)"
            case .end: "end"
            }
        }
    }

    let priority: Int
    var events: [Event] = []
    /// What is there according to what was told.
    var known: [UInt64: MemorySection] = [:]
    var mistakes: [String] = []
    /// Called with every addition.
    var onAdd: ((MemorySection) -> Void)?
    var refusal: VFIOGuestError?
    var isLogging = false
    var synchronized: [String] = []

    init(priority: Int = 0) { self.priority = priority }

    func changeBegins() { events.append(.begin) }
    func changeEnds() { events.append(.end) }

    func added(_ section: MemorySection) {
        let first = section.range.first.rawValue
        events.append(.added(section.region.name, first, section.range.last.rawValue, section.offset))
        for other in known.values where other.range.overlaps(section.range) {
            mistakes.append("\(section) added over \(other)")
        }
        known[first] = section
        onAdd?(section)
    }

    func removed(_ section: MemorySection) {
        let first = section.range.first.rawValue
        events.append(.removed(section.region.name, first, section.range.last.rawValue, section.offset))
        guard let old = known.removeValue(forKey: first) else {
            mistakes.append("\(section) removed, but never added")
            return
        }
        if old.range != section.range || old.offset != section.offset || old.region !== section.region
            || old.isReadOnly != section.isReadOnly
        {
            mistakes.append("\(section) removed, but \(old) was added")
        }
    }

    func loggingChanged(_ section: MemorySection, from old: DirtyClients) {
        events.append(.logging(old.rawValue, section.dirtyClients.rawValue))
    }

    func migrationLogStarts() throws(VFIOGuestError) {
        if let refusal { throw refusal }
        isLogging = true
    }

    func migrationLogStopped() { isLogging = false }

    func synchronize(_ section: MemorySection) throws(VFIOGuestError) {
        synchronized.append("\(section)")
        if let refusal { throw refusal }
    }

    /// Events since the last call.
    func take() -> [Event] {
        defer { events = [] }
        return events
    }
}

/// SplitMix64: a small generator with a seed.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}
