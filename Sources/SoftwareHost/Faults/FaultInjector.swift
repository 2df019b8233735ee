import LinuxSystem
import Synchronization
import VFIOABI
import VFIOHost

/// A rule that was given to ``SoftwareHost/inject(_:)``.
public struct FaultToken: Sendable, Hashable {
    /// Its number; those of a plan are 0, 1, 2, … in the plan's order.
    public let number: UInt64
}

/// How often the events of a rule have happened.
public struct FaultCount: Sendable, Equatable {
    /// The events that it is about.
    public internal(set) var events: UInt64 = 0
    /// Those at which it fired and was the first to.
    public internal(set) var fired: UInt64 = 0
}

/// Something that went wrong because a rule said so.
public struct FaultRecord: Sendable, Equatable {
    /// The rule.
    public let token: FaultToken
    /// The how-manieth of its events it was, from 1.
    public let event: UInt64
}

/// Something that a rule may be about.
struct FaultEvent {
    /// The kinds of events, as bits.
    struct Kinds: OptionSet, Sendable {
        let rawValue: UInt32
        static let request = Kinds(rawValue: 1)
        static let open = Kinds(rawValue: 1 << 1)
        static let read = Kinds(rawValue: 1 << 2)
        static let write = Kinds(rawValue: 1 << 3)
        static let map = Kinds(rawValue: 1 << 4)
        static let pin = Kinds(rawValue: 1 << 5)
        static let dma = Kinds(rawValue: 1 << 6)
        static let interrupt = Kinds(rawValue: 1 << 7)
        static let device = Kinds(rawValue: 1 << 8)
        /// Not an event: some device doesn't answer.
        static let absence = Kinds(rawValue: 1 << 9)
    }

    var kind: Kinds
    var request: Request?
    var node: Node?
    var files: FaultScope.Files = .all
    var device: DeviceID?
    /// Whether memory is written; for `dma`.
    var isWrite = false
    /// Pages, for `pin`; bytes, for `dma`.
    var size: UInt64 = 0
    var vector = 0

    /// Whether a rule is about this event.
    func matches(_ rule: FaultRule) -> Bool {
        guard rule.fault.kind == kind else { return false }
        if let wanted = rule.scope.device, wanted != device { return false }
        switch rule.fault {
        case .request(let wanted, _):
            return rule.scope.files.isSuperset(of: files) && (wanted == nil || wanted == request)
        case .open(let wanted, _): return wanted == nil || wanted == node
        case .pin(let pages, _): return size > pages
        case .dmaRead: return !isWrite
        case .dmaWrite(let byteCount, _):
            return isWrite && (byteCount == nil || byteCount == Int(exactly: size))
        case .interrupt(let wanted, _): return wanted == nil || wanted == vector
        case .read, .write, .map, .device: return true
        }
    }
}

extension Fault {
    /// The kind of event that it is about.
    var kind: FaultEvent.Kinds {
        switch self {
        case .request: .request
        case .open: .open
        case .read: .read
        case .write: .write
        case .map: .map
        case .pin: .pin
        case .dmaRead, .dmaWrite: .dma
        case .interrupt: .interrupt
        case .device: .device
        }
    }

    /// What the caller is told, for faults that are told.
    var errno: Errno? {
        switch self {
        case .request(_, let errno), .open(_, let errno), .read(let errno), .write(let errno),
            .map(let errno), .pin(_, let errno):
            errno
        default: nil
        }
    }
}

/// The rules by which things go wrong on a machine, their counts, and what they did.
///
/// Whoever could be hit asks ``isWatching(_:)`` first, which costs one load and one branch; only where a rule is
/// about that kind of event it goes on to ``fire(_:)``. The lock is an innermost one.
final class FaultInjector: @unchecked Sendable {
    // SAFETY: everything that changes is guarded by `lock`, or atomic.

    private struct Active {
        let token: FaultToken
        let rule: FaultRule
        var count = FaultCount()
    }

    /// How many of the latest firings are kept.
    static let logLimit = 256

    private let watched = Atomic<UInt32>(0)
    private let lock = Lock()
    private let seed: UInt64
    private var rules: [Active] = []
    private var next: UInt64 = 0
    /// The latest firings; begins at `oldest` once it is full.
    private var log: [FaultRecord] = []
    private var oldest = 0
    /// Kinds that are looked at even without a rule about them.
    private var kept: FaultEvent.Kinds = []
    /// Where delayed interrupts wait.
    let delays = DelayLine()

    /// - Parameter seed: what chance is drawn from.
    init(seed: UInt64 = 1) { self.seed = seed }

    /// Whether anything has to be looked at for one of these kinds.
    @inline(__always)
    func isWatching(_ kinds: FaultEvent.Kinds) -> Bool {
        watched.load(ordering: .relaxed) & kinds.rawValue != 0
    }

    /// Adds a rule, the last in the row.
    func add(_ rule: FaultRule) -> FaultToken {
        lock.withLock {
            let token = FaultToken(number: next)
            next += 1
            rules.append(Active(token: token, rule: rule))
            // What was delayed must not overtake what comes later, so that one looks on.
            if rule.fault.kind == .interrupt { kept.insert(.interrupt) }
            publish()
            return token
        }
    }

    /// Removes a rule.
    /// - Returns: the rule; nil if there is none.
    func remove(_ token: FaultToken) -> FaultRule? {
        lock.withLock {
            guard let index = rules.firstIndex(where: { $0.token == token }) else { return nil }
            defer { publish() }
            return rules.remove(at: index).rule
        }
    }

    /// Looks from now on whether devices answer at all.
    func keepWatchingForAbsence() {
        lock.withLock {
            kept.insert(.absence)
            publish()
        }
    }

    private func publish() {
        var kinds = kept
        for active in rules { kinds.insert(active.rule.fault.kind) }
        watched.store(kinds.rawValue, ordering: .relaxed)
    }

    /// An event happens. All rules that are about it count it.
    /// - Returns: what goes wrong, and 64 random bits for whatever chance has to decide further; nil if all goes
    ///   well.
    @inline(never)
    func fire(_ event: FaultEvent) -> (fault: Fault, token: FaultToken, draw: UInt64)? {
        lock.lock()
        defer { lock.unlock() }
        var result: (fault: Fault, token: FaultToken, draw: UInt64)?
        for index in rules.indices where event.matches(rules[index].rule) {
            rules[index].count.events += 1
            let number = rules[index].count.events
            let token = rules[index].token
            let draw = Self.draw(seed, token.number, number)
            guard result == nil, rules[index].rule.moment.has(event: number, draw: draw) else { continue }
            rules[index].count.fired += 1
            note(FaultRecord(token: token, event: number))
            result = (rules[index].rule.fault, token, Self.draw(draw, token.number, number))
        }
        return result
    }

    /// Notes what happened without an event: a device that is hit at once.
    func noteImmediate(_ token: FaultToken) {
        lock.withLock {
            if let index = rules.firstIndex(where: { $0.token == token }) { rules[index].count.fired += 1 }
            note(FaultRecord(token: token, event: 0))
        }
    }

    private func note(_ record: FaultRecord) {
        if log.count < Self.logLimit {
            log.append(record)
        } else {
            log[oldest] = record
            oldest = (oldest + 1) % Self.logLimit
        }
    }

    /// The errno of an event that goes wrong.
    func errno(_ event: FaultEvent) -> Errno? { fire(event)?.fault.errno }

    /// What became of a rule; nil if there is none.
    func count(of token: FaultToken) -> FaultCount? {
        lock.withLock { rules.first { $0.token == token }?.count }
    }

    /// The rules that hold, in their order.
    var active: [(token: FaultToken, rule: FaultRule)] {
        lock.withLock { rules.map { ($0.token, $0.rule) } }
    }

    /// The latest firings, the oldest first.
    var records: [FaultRecord] {
        lock.withLock { [FaultRecord](log[oldest...]) + [FaultRecord](log[..<oldest]) }
    }

    /// 64 random bits that depend on three numbers and on nothing else (the mixing function of SplitMix64).
    private static func draw(_ seed: UInt64, _ rule: UInt64, _ event: UInt64) -> UInt64 {
        func mix(_ word: UInt64) -> UInt64 {
            var word = word &+ 0x9e37_79b9_7f4a_7c15
            word = (word ^ word >> 30) &* 0xbf58_476d_1ce4_e5b9
            word = (word ^ word >> 27) &* 0x94d0_49bb_1331_11eb
            return word ^ word >> 31
        }
        return mix(mix(mix(seed) &+ rule) &+ event)
    }
}
