import VFIOABI
import VFIOHost

/// What a trace comes to.
public struct TraceSummary: Sendable {
    /// Calls of one kind.
    public struct Calls: Sendable {
        /// The word for what was done.
        public var verb: String
        /// How many there were.
        public var count = 0
        /// How many failed, by errno.
        public var errors: [String: Int] = [:]
        /// How long they took together, in nanoseconds.
        public var duration: UInt64 = 0
        /// How long the slowest took, in nanoseconds.
        public var slowest: UInt64 = 0
    }

    /// Accesses to one register, or to a region where its registers have no names.
    public struct Accesses: Sendable {
        /// The device.
        public var device: String
        /// The region.
        public var region: String
        /// The register; nil for all in the region that have no name.
        public var register: String?
        /// How often it was read.
        public var reads = 0
        /// How often it was written.
        public var writes = 0
    }

    /// A stretch of time in which much the same was done.
    public struct Phase: Sendable {
        /// What was done, e.g. "opening", "DMA", "registers".
        public var name: String
        /// When it began, in nanoseconds since the trace began.
        public var begin: UInt64
        /// When its last call ended.
        public var end: UInt64
        /// How many calls there were.
        public var count: Int
    }

    /// A handle that nobody closed.
    public struct OpenHandle: Sendable {
        /// The process.
        public var process: Int32
        /// Its number.
        public var handle: Int32
        /// What it is.
        public var object: String
        /// When it was opened.
        public var time: UInt64
    }

    /// The processes, with their command lines, in order of appearance.
    public private(set) var processes: [(number: Int32, command: String)] = []
    /// How many threads made calls.
    public private(set) var threadCount = 0
    /// The first moment and the last, in nanoseconds since the trace began.
    public private(set) var begin: UInt64 = 0
    /// When the last call ended.
    public private(set) var end: UInt64 = 0
    /// By kind, the most time first.
    public private(set) var calls: [Calls] = []
    /// By register, the most often used first.
    public private(set) var accesses: [Accesses] = []
    /// The slowest calls, the slowest first.
    public private(set) var slowest: [TraceEvent] = []
    /// What was done when.
    public private(set) var phases: [Phase] = []
    /// The handles that nobody closed.
    public private(set) var openHandles: [OpenHandle] = []

    /// How many calls there are.
    public var callCount: Int { calls.reduce(0) { $0 + $1.count } }
    /// How many of them failed.
    public var errorCount: Int { calls.reduce(0) { $0 + $1.errors.values.reduce(0, +) } }

    /// Adds up a trace.
    /// - Parameter slowestCount: how many of the slowest calls are kept.
    public init(_ trace: Trace, slowestCount: Int = 5) {
        var session = TraceSession()
        var byVerb: [String: Calls] = [:]
        var byPlace: [String: Accesses] = [:]
        var threads: Set<Int32> = []
        var isFirst = true
        for record in trace.records {
            let event = session.take(record)
            if record.kind == .process {
                processes.append((record.process, String(decoding: record.text, as: UTF8.self)))
            }
            guard event.isCall else { continue }
            threads.insert(record.thread)
            if isFirst { begin = record.time }
            isFirst = false
            end = max(end, record.time &+ record.duration)
            byVerb[event.verb, default: Calls(verb: event.verb)].add(event)
            if let place = event.place, let device = event.device, record.kind != .map {
                let key = "\(device) \(place.region) \(place.register ?? "")"
                let empty = Accesses(device: device, region: place.region, register: place.register)
                byPlace[key, default: empty].add(isWrite: record.kind == .write)
            }
            keep(event, slowestCount)
            note(event)
        }
        threadCount = threads.count
        calls = byVerb.values.sorted { ($0.duration, $0.verb) > ($1.duration, $1.verb) }
        accesses = byPlace.values.sorted {
            ($0.reads + $0.writes, $0.register ?? "") > ($1.reads + $1.writes, $1.register ?? "")
        }
        openHandles = session.openHandles.map {
            OpenHandle(process: $0.process, handle: $0.handle, object: $0.object, time: $0.time)
        }
    }

    private mutating func keep(_ event: TraceEvent, _ count: Int) {
        if slowest.count == count, let last = slowest.last, last.record.duration >= event.record.duration {
            return
        }
        let place = slowest.firstIndex { $0.record.duration < event.record.duration } ?? slowest.count
        slowest.insert(event, at: place)
        if slowest.count > count { slowest.removeLast() }
    }

    /// Longer without a call, in nanoseconds, and it is told as a phase of its own.
    private static let pause: UInt64 = 50_000_000

    private mutating func note(_ event: TraceEvent) {
        let name = event.phase
        let record = event.record
        if var last = phases.last {
            if last.name == name, record.time < last.end || record.time - last.end < Self.pause {
                last.end = max(last.end, record.time &+ record.duration)
                last.count += 1
                phases[phases.count - 1] = last
                return
            }
            if record.time > last.end, record.time - last.end >= Self.pause {
                phases.append(Phase(name: "nothing", begin: last.end, end: record.time, count: 0))
            }
        }
        phases.append(Phase(name: name, begin: record.time, end: record.time &+ record.duration, count: 1))
    }

    /// The phases; short ones are told together with those before, until there are at most so many.
    public func timeline(atMost count: Int) -> [Phase] {
        var phases = phases
        var threshold = 1
        while phases.count > max(1, count), threshold <= callCount {
            var joined: [Phase] = []
            for phase in phases {
                // Pauses stay as long as others can go.
                let isShort = phase.count > 0 && phase.count <= threshold
                guard isShort, var last = joined.last, last.count > 0 else {
                    joined.append(phase)
                    continue
                }
                last.join(phase)
                joined[joined.count - 1] = last
            }
            phases = joined
            threshold *= 2
        }
        return phases
    }
}

extension TraceSummary.Phase {
    fileprivate mutating func join(_ other: TraceSummary.Phase) {
        let names = Set((name + ", " + other.name).split(separator: ", ").map { String($0) })
        name = names.sorted().joined(separator: ", ")
        end = max(end, other.end)
        count += other.count
    }
}

extension TraceSummary.Calls {
    fileprivate mutating func add(_ event: TraceEvent) {
        count += 1
        duration &+= event.record.duration
        slowest = max(slowest, event.record.duration)
        if let name = event.errorName { errors[name, default: 0] += 1 }
    }
}

extension TraceSummary.Accesses {
    fileprivate mutating func add(isWrite: Bool) {
        if isWrite { writes += 1 } else { reads += 1 }
    }
}

extension TraceEvent {
    /// What kind of work a call belongs to.
    var phase: String {
        switch record.kind {
        case .open: return "opening"
        case .close: return "closing"
        case .receive, .send: return "migration"
        case .map, .unmap: return "mapping"
        case .read, .write: return place?.region == "config" ? "configuration" : "registers"
        default: break
        }
        switch request?.request {
        case .iommuMapDMA, .iommuUnmapDMA, .ioasMap, .ioasUnmap, .ioasMapFile, .ioasCopy:
            return "DMA mappings"
        case .deviceSetIRQs: return "interrupts"
        case .deviceReset, .devicePCIHotReset: return "reset"
        case .iommuDirtyPages, .hwptGetDirtyBitmap, .hwptSetDirtyTracking: return "dirty pages"
        default: return "opening"
        }
    }
}
