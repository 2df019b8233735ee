import LinuxSystem
import VFIO
import VFIOHost

/// Interrupts of one device as they come: several kinds and all of their vectors at once, counted.
///
/// Lines that mask themselves are unmasked after each interrupt. When it goes, the interrupts are disabled. Not safe
/// for use from several threads at once.
public final class InterruptWatch {
    /// Interrupts that have come.
    public struct Arrival: Sendable {
        /// Which kind.
        public let kind: InterruptKind
        /// Which vector.
        public let vector: Int
        /// How often it was signalled since it was last looked at.
        public let count: UInt64
        /// How often it was signalled in all.
        public let total: UInt64
        /// When that was seen: nanoseconds since the watch was made.
        public let nanoseconds: UInt64
    }

    /// What one vector has been signalled.
    public struct Sum: Sendable {
        /// Which kind.
        public let kind: InterruptKind
        /// Which vector.
        public let vector: Int
        /// How often it was signalled.
        public let total: UInt64
    }

    /// What is enabled of one kind.
    private final class Enabled {
        let kind: InterruptKind
        let vectors: Range<Int>
        var interrupts: Interrupts?
        var totals: [UInt64]

        init(_ kind: InterruptKind, _ vectors: Range<Int>, _ interrupts: consuming Interrupts) {
            self.kind = kind
            self.vectors = vectors
            self.interrupts = consume interrupts
            totals = [UInt64](repeating: 0, count: vectors.count)
        }
    }

    private let device: Device
    private let poller: Poller
    private var enabled: [Enabled] = []
    /// When it was made.
    private let start = Clock.now
    private static let alarmTag = UInt64.max

    /// Done after each arrival of a line that masks itself, before it is unmasked: what makes the device lower it.
    public var acknowledge: (() throws(VFIOError) -> Void)?

    /// Makes a watch without interrupts.
    /// - Parameter alarm: a descriptor that ends waiting when it is readable.
    public init(_ device: Device, endedBy alarm: Int32? = nil) throws(VFIOError) {
        self.device = device
        do throws(Errno) {
            poller = try Poller()
            if let alarm { try poller.add(alarm, .readable, tag: Self.alarmTag) }
        } catch {
            throw VFIOError(operation: "watch interrupts", object: device.id.name, errno: error)
        }
    }

    /// Nanoseconds since it was made.
    public var elapsed: UInt64 { Clock.now - start }

    /// How many vectors are watched.
    public var vectorCount: Int { enabled.reduce(0) { $0 + $1.vectors.count } }

    /// Enables a kind of interrupts. Those below the range are enabled too, as VFIO wants it, and not watched.
    /// - Parameter vectors: which are watched; nil for all that there are.
    /// - Throws: as ``/VFIO/Device/enableInterrupts(_:count:)``.
    public func enable(_ kind: InterruptKind, vectors: Range<Int>? = nil) throws(VFIOError) {
        let range = vectors ?? 0..<max(1, kind.info.count)
        do throws(VFIOError) {
            enabled.append(
                Enabled(kind, range, try device.enableInterrupts(kind.index, count: range.upperBound)))
        } catch {
            var error = error
            if error.errno == .tooManyDescriptors {
                error.remedy = "raise the limit (ulimit -n), or watch fewer: --vectors 0-15"
            } else if error.code == .tooFewVectors, kind.info.count > 0 {
                error.remedy = "watch vectors below \(kind.info.count)"
            } else if error.code == .busy, !enabled.isEmpty {
                error.remedy = "watch one of them at a time"
            }
            throw error
        }
        let place = enabled.count - 1
        for vector in range {
            let descriptor = enabled[place].interrupts?.descriptor(vector) ?? -1
            do throws(Errno) {
                try poller.add(descriptor, .readable, tag: UInt64(place) << 32 | UInt64(vector))
            } catch {
                throw VFIOError(operation: "watch vector \(vector)", object: device.id.name, errno: error)
            }
        }
    }

    /// Has the host signal every watched vector once, as if the device had (`VFIO_IRQ_SET_DATA_BOOL`): a test of the way
    /// from the host to here.
    public func trigger() throws(VFIOError) {
        for each in enabled { try each.interrupts?.trigger(each.vectors) }
    }

    /// Waits until an interrupt comes, the time is up, or the alarm is raised.
    /// - Parameter milliseconds: how long to wait; nil for ever.
    /// - Returns: what came, in the order in which it was seen; empty at the time's end; nil for the alarm.
    public func wait(milliseconds: Int?) throws(VFIOError) -> [Arrival]? {
        var events: [Poller.Event] = []
        do throws(Errno) {
            _ = try poller.wait(into: &events, milliseconds: milliseconds)
        } catch {
            throw VFIOError(operation: "wait for interrupts", object: device.id.name, errno: error)
        }
        var arrivals: [Arrival] = []
        for event in events where event.tag != Self.alarmTag {
            if let arrival = try take(event.tag) { arrivals.append(arrival) }
        }
        // What came together with the alarm is told first; the alarm stays raised.
        let isAlarmed = events.contains { $0.tag == Self.alarmTag }
        return isAlarmed && arrivals.isEmpty ? nil : arrivals
    }

    private func take(_ tag: UInt64) throws(VFIOError) -> Arrival? {
        let each = enabled[Int(tag >> 32)]
        let vector = Int(tag & 0xffff_ffff)
        let count = try each.interrupts?.take(vector) ?? 0
        guard count > 0 else { return nil }
        each.totals[vector - each.vectors.lowerBound] += count
        let arrival = Arrival(
            kind: each.kind, vector: vector, count: count,
            total: each.totals[vector - each.vectors.lowerBound],
            nanoseconds: elapsed)
        if each.kind.info.masksItself {
            if let acknowledge { try acknowledge() }
            try each.interrupts?.unmask()
        }
        return arrival
    }

    /// What each watched vector has been signalled.
    public var sums: [Sum] {
        enabled.flatMap { each in
            each.vectors.map {
                Sum(kind: each.kind, vector: $0, total: each.totals[$0 - each.vectors.lowerBound])
            }
        }
    }

    /// Disables all of them now.
    /// - Throws: when the host refuses; the rest is disabled all the same.
    public func end() throws(VFIOError) {
        var failure: VFIOError?
        for each in enabled.reversed() {
            do throws(VFIOError) {
                if let interrupts = each.interrupts.take() { try interrupts.disable() }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }
}
