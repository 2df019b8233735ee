import VFIOHost

/// Picks events out of a trace; one that says nothing picks all calls.
public struct TraceFilter: Sendable {
    /// Calls whose word contains one of these, in any case and with dashes for underscores: "map-dma", "read".
    public var verbs: [String] = []
    /// Only what is about this device.
    public var device: String?
    /// Only this handle.
    public var handle: Int32?
    /// Only this process.
    public var process: Int32?
    /// Only this thread.
    public var thread: Int32?
    /// Only what failed with this errno ("ENOMEM"), or with any ("any").
    public var errno: String?
    /// Only accesses to what has this in its place or its register's name: "BAR0", "CC".
    public var place: String?
    /// Only what began at this moment or later, in nanoseconds since the trace began.
    public var since: UInt64 = 0
    /// Only what began before this moment.
    public var until: UInt64 = .max
    /// Only what took this long or longer, in nanoseconds.
    public var slowerThan: UInt64 = 0

    /// A filter that picks all calls.
    public init() {}

    private static func plain(_ text: String) -> String {
        String(text.lowercased().map { $0 == "_" ? "-" : $0 })
    }

    /// Whether an event is picked.
    public func picks(_ event: TraceEvent) -> Bool {
        let record = event.record
        guard event.isCall, record.time >= since, record.time < until, record.duration >= slowerThan else {
            return false
        }
        if let handle, record.handle != handle { return false }
        if let process, record.process != process { return false }
        if let thread, record.thread != thread { return false }
        if let device, event.device != device { return false }
        if let place, !(event.place.map { Self.plain($0.text).contains(Self.plain(place)) } ?? false) {
            return false
        }
        if let errno {
            guard let name = event.errorName else { return false }
            if errno != "any" && errno.uppercased() != name.uppercased() { return false }
        }
        if verbs.isEmpty { return true }
        let verb = Self.plain(event.verb)
        return verbs.contains { verb.contains(Self.plain($0)) }
    }
}
