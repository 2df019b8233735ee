import IOVASpace
import LinuxSystem
import VFIO

/// A device that keeps a log of its own of the pages that it writes. Used under the memory map's lock.
public protocol DeviceDirtyLog: AnyObject, Sendable {
    /// How many ranges the log takes at most.
    var rangeLimit: Int { get }
    /// Starts to note writes to the given ranges, page by page of the machine.
    func start(_ ranges: [IOVARange]) throws(VFIOError)
    /// Ends it.
    func stop()
    /// Keeps the device from writing any more.
    func quiesce()
    /// Takes which pages of a range were written since last time, and sets their bits; others stay as they are.
    func report(_ range: IOVARange, into words: inout [UInt64]) throws(VFIOError)
}

/// Where the knowledge comes from which pages devices wrote.
public typealias DirtySource = VFIO.DirtySource

/// What is known about the writes to a range.
enum DirtyKnowledge {
    /// Nobody wants to know.
    case unwanted
    /// The tracker's ``DirtyTracker/words``, one bit for each page of the machine.
    case bits
    /// All of it may have been written.
    case everything
}

/// Asks whoever knows which pages devices wrote. Guarded by the memory map's lock.
final class DirtyTracker {
    private let space: VFIO.AddressSpace
    /// The devices, and the logs of those that keep one.
    private var devices: [(id: ObjectIdentifier, log: (any DeviceDirtyLog)?)] = []
    /// The ranges that device logs are to watch, asked for when tracking starts.
    var ranges: () -> [IOVARange] = { [] }
    /// What the logs do watch. What is mapped elsewhere later on counts as written.
    private var watched: [IOVARange] = []
    /// Where the knowledge comes from while somebody wants it.
    private(set) var source: DirtySource?
    private var started: [any DeviceDirtyLog] = []
    /// The last answer; scratch space.
    private(set) var words: [UInt64] = []

    init(_ space: VFIO.AddressSpace) { self.space = space }

    /// Where the knowledge would come from.
    var bestSource: DirtySource {
        if !devices.isEmpty && devices.allSatisfy({ $0.log != nil }) { return .devices }
        return space.tellsDirtyPages ? .iommu : .everything
    }

    /// Starts to track. Starting twice changes nothing.
    func start() throws(VFIOError) {
        guard source == nil else { return }
        let best = bestSource
        switch best {
        case .iommu: try space.startDirtyTracking()
        case .devices:
            let limit = devices.compactMap(\.log?.rangeLimit).min() ?? 1
            watched = IOVARange.merged(self.ranges(), to: limit)
            do throws(VFIOError) {
                for log in devices.compactMap(\.log) {
                    try log.start(watched)
                    started.append(log)
                }
            } catch {
                stopDevices()
                throw error
            }
        case .everything: break
        }
        source = best
    }

    /// Adds a device, also while somebody wants to know what is written: if its log can't be had then, everything
    /// counts as written from now on.
    func add(_ id: ObjectIdentifier, _ log: (any DeviceDirtyLog)?) {
        devices.append((id, log))
        guard source == .devices else { return }
        if let log, (try? log.start(watched)) != nil {
            started.append(log)
        } else {
            stopDevices()
            source = .everything
        }
    }

    /// Whether a device's log holds what nobody has asked for yet.
    func isWanted(_ id: ObjectIdentifier) -> Bool {
        source == .devices && devices.contains { $0.id == id }
    }

    /// Keeps a device that goes from writing any more.
    func quiesce(_ id: ObjectIdentifier) { devices.first { $0.id == id }?.log?.quiesce() }

    /// Removes a device; what its log held is lost.
    func remove(_ id: ObjectIdentifier) {
        guard let index = devices.firstIndex(where: { $0.id == id }) else { return }
        let log = devices.remove(at: index).log
        if let log, let place = started.firstIndex(where: { $0 === log }) {
            started.remove(at: place)
            log.stop()
        }
    }

    private func stopDevices() {
        for device in started.reversed() { device.stop() }
        started = []
    }

    /// Ends it. Ending twice changes nothing.
    func stop() {
        // Nothing can be done about a host that goes on tracking: it costs time, no pages.
        if source == .iommu { try? space.stopDirtyTracking() }
        stopDevices()
        source = nil
    }

    /// Unmaps a range; what was written until then isn't lost.
    func unmap(_ range: IOVARange) throws(VFIOError) -> DirtyKnowledge {
        switch source {
        case nil:
            try space.unmap(range)
            return .unwanted
        case .iommu: return try space.unmap(range, dirtyBits: &words) ? .bits : .everything
        case .everything:
            try space.unmap(range)
            return .everything
        case .devices:
            // A device writes until the very moment of the unmapping; its log stays.
            try space.unmap(range)
            do throws(VFIOError) {
                return try report(range)
            } catch {
                return .everything
            }
        }
    }

    /// Takes what was written to a range since last time.
    func query(_ range: IOVARange) throws(VFIOError) -> DirtyKnowledge {
        switch source {
        case nil: return .unwanted
        case .everything: return .everything
        case .iommu: try space.dirtyBits(of: range, into: &words)
        case .devices: return try report(range)
        }
        return .bits
    }

    /// Marks what is known about a mapped range in the log of a block that is behind a part of it.
    /// - Parameter offset: where the part begins in the block.
    func mark(
        _ knowledge: DirtyKnowledge, of mapped: IOVARange, _ part: IOVARange, in block: RAMBlock,
        at offset: UInt64
    ) {
        let page = UInt64(pageSize)
        let target = Int(offset / page)
        let count = Int(part.lastOffset / page) + 1
        switch knowledge {
        case .unwanted: break
        case .everything: block.dirtyLog.mark(target..<target + count, for: .migration)
        case .bits:
            let words = self.words
            let start = Int((part.first.rawValue - mapped.first.rawValue) / page)
            block.dirtyLog.merge(start..<start + count, of: words.span, at: target, for: .migration)
        }
    }

    private func report(_ range: IOVARange) throws(VFIOError) -> DirtyKnowledge {
        guard watched.contains(where: { $0.contains(range) }) else { return .everything }
        let pages = range.lastOffset / UInt64(pageSize) + 1
        guard let count = Int(exactly: (pages + 63) / 64), count <= 1 << 25 else {
            throw VFIOError(
                operation: "ask devices what they wrote", object: "\(range)", code: .outOfBounds,
                cause: "the range has more pages than can be asked for at once")
        }
        words.clear(count)
        for device in started { try device.report(range, into: &words) }
        return .bits
    }
}
