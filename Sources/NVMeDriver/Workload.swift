import LinuxSystem
import NVMe
import VFIO

/// A way to keep a namespace busy, for measuring.
public struct Workload: Sendable, Equatable {
    /// What is done with the blocks.
    public enum Operation: Sendable, Equatable {
        /// Reads.
        case read
        /// Writes. What was in the blocks is lost.
        case write
        /// Both; this many of a hundred are reads. What was in the written blocks is lost.
        case mixed(readPercent: Int)
    }

    /// In which order blocks are visited.
    public enum Pattern: Sendable, Equatable {
        /// One request after the other, from the beginning again after the end.
        case sequential
        /// Anywhere, at multiples of the request's length.
        case random
    }

    /// When it ends.
    public enum Limit: Sendable, Equatable {
        /// After this many requests.
        case requests(Int)
        /// After this time; what is under way then is waited for and counted.
        case milliseconds(Int)
    }

    /// What is done.
    public var operation: Operation
    /// In which order.
    public var pattern: Pattern
    /// How many blocks a request has.
    public var blocksPerRequest: Int
    /// How many requests are in flight at a time.
    public var queueDepth: Int
    /// Which blocks; nil for the whole namespace.
    public var blocks: Range<UInt64>?
    /// When it ends.
    public var limit: Limit
    /// Where the random numbers begin: the same seed visits the same blocks.
    public var seed: UInt64

    /// A workload.
    public init(
        _ operation: Operation = .read, _ pattern: Pattern = .random, blocksPerRequest: Int = 8,
        queueDepth: Int = 32, blocks: Range<UInt64>? = nil, limit: Limit = .milliseconds(1000),
        seed: UInt64 = 1
    ) {
        self.operation = operation
        self.pattern = pattern
        self.blocksPerRequest = blocksPerRequest
        self.queueDepth = queueDepth
        self.blocks = blocks
        self.limit = limit
        self.seed = seed
    }
}

/// What a workload came to.
public struct Measurement: Sendable, Equatable {
    /// How many requests completed.
    public var requestCount = 0
    /// How many of them were reads.
    public var readCount = 0
    /// How many bytes they moved.
    public var byteCount: UInt64 = 0
    /// How long it took, from the first submission to the last completion.
    public var nanoseconds: UInt64 = 0
    /// How many requests were really in flight at a time, at most.
    public var queueDepth = 0
    /// From submission to completion, of each request.
    public var latencies = LatencyHistogram()

    /// Requests per second.
    public var requestsPerSecond: Double {
        nanoseconds == 0 ? 0 : Double(requestCount) * 1e9 / Double(nanoseconds)
    }
    /// Bytes per second.
    public var bytesPerSecond: Double { nanoseconds == 0 ? 0 : Double(byteCount) * 1e9 / Double(nanoseconds) }
}

extension Controller {
    /// Runs a workload on a queue pair and memory of its own, and measures it. Nothing is allocated while it
    /// runs.
    /// - Throws: what ``makeQueuePair(entryCount:)`` throws; `.outOfRange` for blocks outside the namespace or
    ///   too few for one request; the first error of a request, after all others have ended.
    public func measure(_ workload: Workload, of namespace: Namespace? = nil) throws(NVMeError) -> Measurement
    {
        var run = try WorkloadRun(workload, namespace, self)
        return try run.measure()
    }
}

/// A workload under way.
private struct WorkloadRun: ~Copyable {
    private let workload: Workload
    private let namespace: Namespace
    private let core: ControllerCore
    private var queue: QueuePair
    private let memory: DMAMemory
    private let areaByteCount: Int
    private let requestByteCount: Int
    /// The first block, and how many requests fit behind it.
    private let firstBlock: UInt64
    private let placeCount: UInt64
    /// Areas of memory that no request uses; the first `freeCount` are valid.
    private var free: FixedArray<Int32>
    private var freeCount: Int
    private var random: SplitMix
    private var nextPlace: UInt64 = 0
    private var submittedCount = 0

    init(_ workload: Workload, _ namespace: Namespace?, _ controller: Controller) throws(NVMeError) {
        // Everything that can fail comes first: a value that can't be copied is made whole or not at all.
        let core = controller.core
        let chosen: Namespace
        if let namespace { chosen = namespace } else { chosen = try controller.defaultNamespace() }
        let blocks = workload.blocks ?? 0..<chosen.blockCount
        let requestByteCount = try Self.requestByteCount(workload, chosen, blocks, controller)
        let depth = max(1, min(workload.queueDepth, 4095))
        let queue = try controller.makeQueuePair(entryCount: depth + 1)
        let count = min(depth, queue.capacity)
        let page = core.rules.pageSize
        let areaByteCount = (requestByteCount + page - 1) / page * page
        let memory = try controller.allocate(byteCount: areaByteCount * count)

        self.workload = workload
        self.namespace = chosen
        self.core = core
        self.queue = queue
        self.memory = memory
        self.areaByteCount = areaByteCount
        self.requestByteCount = requestByteCount
        firstBlock = blocks.lowerBound
        placeCount = blocks.length / UInt64(workload.blocksPerRequest)
        free = FixedArray(repeating: 0, count: count)
        for index in 0..<count { free[index] = Int32(index) }
        freeCount = count
        random = SplitMix(state: workload.seed)
        // Something that a disk can't take for zeros.
        if workload.operation != .read {
            var noise = SplitMix(state: ~workload.seed)
            for offset in stride(from: 0, to: self.memory.byteCount, by: 8) {
                self.memory.window.store64(offset, noise.next())
            }
        }
    }

    /// The length of a request, once it is known that the workload fits the namespace.
    private static func requestByteCount(
        _ workload: Workload, _ namespace: Namespace, _ blocks: Range<UInt64>, _ controller: Controller
    ) throws(NVMeError) -> Int {
        let (byteCount, overflow) = workload.blocksPerRequest.multipliedReportingOverflow(
            by: namespace.blockByteCount)
        let limit = min(controller.maximumTransfer, 0x10000 * namespace.blockByteCount)
        var reason = namespace.objection(to: blocks)
        if reason == nil {
            if workload.blocksPerRequest <= 0 || overflow || byteCount > limit {
                reason = .tooLarge(byteCount: overflow ? .max : byteCount, limit: limit)
            } else if blocks.length < UInt64(workload.blocksPerRequest) {
                reason = .outOfRange(blockCount: namespace.blockCount)
            }
        }
        guard let reason else { return byteCount }
        throw NVMeError(
            reason, "measure", on: controller.name, namespace: namespace.identifier, blocks: blocks)
    }

    mutating func measure() throws(NVMeError) -> Measurement {
        var result = Measurement()
        result.queueDepth = free.count
        var started = FixedArray<UInt64>(repeating: 0, count: free.count)
        var failure: NVMeError?
        let begin = Clock.now
        var now = begin
        while true {
            // Submit all that can be, under one doorbell, which `wait` rings.
            while failure == nil, freeCount > 0, wantsMore(begin, now) {
                let area = free[freeCount - 1]
                started[Int(area)] = now
                do throws(NVMeError) {
                    try submit(area)
                } catch {
                    failure = error
                    break
                }
                freeCount -= 1
                submittedCount += 1
            }
            guard queue.inFlightCount > 0 else { break }
            guard var done = next(&failure) else { continue }
            now = Clock.now
            while true {
                let area = Int(done.tag)
                if done.isSuccess {
                    result.latencies.record(now &- started[area])
                    result.requestCount += 1
                    result.readCount += done.opcode == IOOpcode.read.rawValue ? 1 : 0
                } else if failure == nil {
                    failure = done.error(on: core.name)
                }
                free[freeCount] = Int32(area)
                freeCount += 1
                guard let further = queue.poll() else { break }
                done = further
            }
        }
        result.nanoseconds = Clock.now &- begin
        result.byteCount = UInt64(result.requestCount) * UInt64(requestByteCount)
        if let failure { throw failure }
        return result
    }

    private func wantsMore(_ begin: UInt64, _ now: UInt64) -> Bool {
        switch workload.limit {
        case .requests(let count): submittedCount < count
        case .milliseconds(let time): now &- begin < UInt64(max(0, time)) * 1_000_000
        }
    }

    private mutating func submit(_ area: Int32) throws(NVMeError) {
        let place: UInt64
        switch workload.pattern {
        case .sequential:
            place = nextPlace
            nextPlace = nextPlace + 1 == placeCount ? 0 : nextPlace + 1
        case .random:
            // The high half of a product instead of a division.
            place = random.next().multipliedFullWidth(by: placeCount).high
        }
        let isRead =
            switch workload.operation {
            case .read: true
            case .write: false
            case .mixed(let percent): Int(truncatingIfNeeded: random.next() % 100) < percent
            }
        let first = firstBlock + place * UInt64(workload.blocksPerRequest)
        let blocks = first..<first + UInt64(workload.blocksPerRequest)
        let segment = DMASegment(iova: memory.iova.at(Int(area) * areaByteCount), byteCount: requestByteCount)
        let options = RequestOptions(tag: UInt64(area))
        if isRead {
            try queue.read(blocks, of: namespace, into: segment, options)
        } else {
            try queue.write(blocks, of: namespace, from: segment, options)
        }
    }

    /// Waits for a completion. A controller that doesn't answer is stopped, which ends everything in flight.
    private mutating func next(_ failure: inout NVMeError?) -> Completion? {
        let milliseconds = max(1, core.options.timeout ?? 30_000)
        do throws(NVMeError) {
            if let done = try queue.wait(milliseconds: milliseconds) { return done }
            throw core.failure(.timedOut(milliseconds: milliseconds, aborted: false), "measure")
        } catch {
            if failure == nil { failure = error }
            core.lock.withLock { core.stopNow() }
            return nil
        }
    }
}

/// A small generator of random numbers that begins with a seed.
struct SplitMix: Sendable {
    var state: UInt64

    @inline(__always)
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
