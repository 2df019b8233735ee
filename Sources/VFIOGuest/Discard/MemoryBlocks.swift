import IOVASpace
import LinuxSystem
import VFIO

/// Guest RAM of which only a part is there, in blocks that the guest plugs and unplugs: what a virtio-mem device has
/// behind it.
///
/// All blocks are unplugged at first. What the guest may have at most is ``requestedByteCount``; where it may have it
/// is the first ``usableByteCount`` bytes. Unplugged memory is really given back to the machine, and reads as zeros
/// when its block is plugged the next time.
///
/// Ranges are offsets into the RAM, in bytes. A request that throws has changed nothing. May be used from any thread:
/// the memory map's lock guards it.
public final class MemoryBlocks: RAMDiscardSource, @unchecked Sendable {
    /// The length of a block in bytes: a power of two.
    public let blockByteCount: UInt64
    /// The length of the RAM in bytes: the most that can ever be plugged.
    public let byteCount: UInt64

    private let memory: RAMBlock
    private let isPreallocating: Bool
    private let needsDiscards: RAMDiscardPolicy.Hold
    private let lock: RecursiveLock
    // All below is guarded by the lock.
    private weak var manager: RAMDiscardManager?
    private var plugged: BlockSet
    private var pluggedBytes: UInt64 = 0
    private var usableBytes: UInt64
    private var requestedBytes: UInt64
    /// Blocks whose memory couldn't be given back, and why the last of it couldn't.
    private var stuck: BlockSet
    private var stuckReason: Errno?

    /// Takes the memory of a region, all of it unplugged; what it held is discarded. The region gets a
    /// ``RAMDiscardManager`` if it has none, and that keeps the blocks. As long as they exist, they need that coordinated
    /// discards are possible (``GuestMemory/discardPolicy``).
    /// - Parameters:
    ///   - region: RAM that can't be seen yet.
    ///   - blockByteCount: a power of two, at least one page of the memory, which is a whole number of blocks.
    ///   - pageByteCount: the length of the pages behind the memory (those of a pool of huge pages are longer).
    ///   - requestedByteCount: how much the guest may plug at first; rounded down to whole blocks.
    ///   - usableByteCount: where it may plug it; nil for everywhere. Rounded down to whole blocks.
    ///   - isPreallocating: whether plugging takes the memory from the machine at once, so that the guest never meets
    ///     a machine without memory later.
    /// - Throws: ``RAMDiscardError/unsuitableGranularity(_:)``, ``RAMDiscardError/unsuitableRegion(_:)``;
    ///   ``RAMDiscardError/refused(_:)`` where somebody forbids discards; ``RAMDiscardError/memory(_:)`` with why the
    ///   memory can't be discarded; ``RAMDiscardError/busy``.
    public init(
        in region: MemoryRegion, blockByteCount: UInt64, pageByteCount: Int = pageSize,
        requestedByteCount: UInt64 = 0, usableByteCount: UInt64? = nil, isPreallocating: Bool = false
    ) throws(RAMDiscardError) {
        guard case .ram(let memory) = region.kind else { throw .unsuitableRegion(.wrongKind(region.name)) }
        let page = UInt64(max(pageByteCount, pageSize))
        byteCount = memory.byteCount
        guard blockByteCount.nonzeroBitCount == 1, blockByteCount >= page, byteCount > 0,
            byteCount % blockByteCount == 0, UInt64(memory.window.address.rawValue) % page == 0
        else { throw .unsuitableGranularity(blockByteCount) }
        self.blockByteCount = blockByteCount
        self.memory = memory
        self.isPreallocating = isPreallocating
        lock = region.memory.lock
        usableBytes = Self.whole(min(usableByteCount ?? byteCount, byteCount), blockByteCount)
        requestedBytes = Self.whole(min(requestedByteCount, byteCount), blockByteCount)
        plugged = BlockSet(blockCount: Int(byteCount / blockByteCount))
        stuck = BlockSet(blockCount: plugged.blockCount)
        do throws(VFIOError) {
            needsDiscards = try region.memory.discardPolicy.hold(.needsCoordinatedDiscards, for: region.name)
        } catch {
            throw .refused(error)
        }
        let manager: RAMDiscardManager
        do throws(GuestMemoryError) {
            if let known = region.discardManager {
                manager = known
            } else {
                manager = try RAMDiscardManager(for: region)
            }
        } catch {
            throw .unsuitableRegion(error)
        }
        try manager.join(self)
        do throws(Errno) {
            try memory.discard(0..<byteCount)
        } catch {
            try manager.leave(self)
            throw .memory(error)
        }
    }

    /// How much of the RAM, from its beginning, can be plugged now, in bytes: whole blocks.
    public var usableByteCount: UInt64 { lock.withLock { usableBytes } }

    /// How much the guest was asked to have plugged, in bytes: whole blocks.
    public var requestedByteCount: UInt64 { lock.withLock { requestedBytes } }

    /// How much is plugged, in bytes.
    public var pluggedByteCount: UInt64 { lock.withLock { pluggedBytes } }

    /// How much is unplugged but couldn't be given back to the machine, in bytes, and why the last of it couldn't;
    /// nil if nothing is. It is tried again with every request.
    public var unreleased: (byteCount: UInt64, reason: Errno)? {
        lock.withLock { stuckReason.map { (UInt64(stuck.count) * blockByteCount, $0) } }
    }

    private static func whole(_ byteCount: UInt64, _ unit: UInt64) -> UInt64 { byteCount / unit * unit }

    // MARK: What the guest asks

    /// What state blocks are in.
    public enum State: Sendable, Equatable {
        /// All are plugged.
        case plugged
        /// None is.
        case unplugged
        /// Some are.
        case mixed
    }

    /// The state of a range of blocks.
    /// - Throws: ``RAMDiscardError/outOfRange(_:end:)``, ``RAMDiscardError/misaligned(_:unit:)``.
    public func state(of range: Range<UInt64>) throws(RAMDiscardError) -> State {
        try lock.withLock { () throws(RAMDiscardError) -> State in
            let blocks = try blocks(of: range)
            return switch plugged.count(in: blocks) {
            case 0: .unplugged
            case blocks.count: .plugged
            default: .mixed
            }
        }
    }

    /// Plugs a range of blocks that are all unplugged: whoever listens to the RAM takes it up before the guest may
    /// use it.
    /// - Throws: ``RAMDiscardError/outOfRange(_:end:)`` outside the usable part, ``RAMDiscardError/misaligned(_:unit:)``,
    ///   ``RAMDiscardError/notUnplugged(_:)``, ``RAMDiscardError/beyondRequest(plugged:requested:)``,
    ///   ``RAMDiscardError/memory(_:)``, ``RAMDiscardError/refused(_:)`` by a listener; ``RAMDiscardError/busy``.
    public func plug(_ range: Range<UInt64>) throws(RAMDiscardError) {
        try lock.withLock { () throws(RAMDiscardError) in
            let blocks = try blocks(of: range)
            guard plugged.count(in: blocks) == 0 else { throw .notUnplugged(range) }
            // Both are at most `byteCount`, which is the length of memory in this process.
            guard pluggedBytes + range.byteCount <= requestedBytes else {
                throw .beyondRequest(plugged: pluggedBytes + range.byteCount, requested: requestedBytes)
            }
            releaseStuck()
            zeroStuck(blocks)
            do throws(RAMDiscardError) {
                if isPreallocating { try allocate(range) }
                try manager?.populate(range, by: self)
            } catch {
                // The allocation, or a listener that took the range up before another refused, has touched pages.
                release(blocks)
                throw error
            }
            // Pages that couldn't be given back are simply used again.
            free(blocks)
            plugged.insert(blocks)
            pluggedBytes += range.byteCount
            // Zeros, whatever a migration has sent of it before it was unplugged.
            memory.dirtyLog.mark(at: range.lowerBound, byteCount: range.byteCount, for: .all)
        }
    }

    /// Unplugs a range of blocks that are all plugged: whoever listens lets it go, then the machine gets the memory
    /// back.
    /// - Throws: ``RAMDiscardError/outOfRange(_:end:)``, ``RAMDiscardError/misaligned(_:unit:)``,
    ///   ``RAMDiscardError/notPlugged(_:)``; ``RAMDiscardError/busy``.
    public func unplug(_ range: Range<UInt64>) throws(RAMDiscardError) {
        try lock.withLock { () throws(RAMDiscardError) in
            let blocks = try blocks(of: range)
            guard plugged.count(in: blocks) == blocks.count else { throw .notPlugged(range) }
            releaseStuck()
            try drop(blocks)
        }
    }

    /// Unplugs everything, as when the guest restarts.
    /// - Parameter usableByteCount: the new length of the usable part, which only this can shorten; nil to keep it.
    ///   Rounded down to whole blocks.
    /// - Throws: ``RAMDiscardError/busy``.
    public func unplugAll(usable usableByteCount: UInt64? = nil) throws(RAMDiscardError) {
        try lock.withLock { () throws(RAMDiscardError) in
            releaseStuck()
            while let blocks = plugged.firstRun(isMember: true, in: 0..<plugged.blockCount) {
                try drop(blocks)
            }
            if let usableByteCount {
                usableBytes = Self.whole(min(usableByteCount, byteCount), blockByteCount)
            }
        }
    }

    // MARK: What the machine's owner asks

    /// Asks the guest to have so much plugged. Nothing is unplugged by that: the guest has to follow.
    /// - Parameters:
    ///   - byteCount: whole blocks, at most all of the RAM.
    ///   - usable: the length of the usable part from now on, where it is to grow; rounded down to whole blocks, and
    ///     left as it is where that would shorten it.
    /// - Throws: ``RAMDiscardError/outOfRange(_:end:)``, ``RAMDiscardError/misaligned(_:unit:)``.
    public func request(_ byteCount: UInt64, usable: UInt64? = nil) throws(RAMDiscardError) {
        guard byteCount <= self.byteCount else { throw .outOfRange(0..<byteCount, end: self.byteCount) }
        guard byteCount % blockByteCount == 0 else {
            throw .misaligned(0..<byteCount, unit: blockByteCount)
        }
        lock.withLock {
            requestedBytes = byteCount
            if let usable {
                usableBytes = max(usableBytes, Self.whole(min(usable, self.byteCount), blockByteCount))
            }
        }
    }

    // MARK: RAMDiscardSource

    /// The length of a block.
    public var granularity: UInt64 { blockByteCount }

    /// The first run of plugged or unplugged memory in a range.
    public func firstRun(populated: Bool, in range: Range<UInt64>) -> Range<UInt64>? {
        let range = range.clamped(to: 0..<byteCount)
        guard !range.isEmpty else { return nil }
        let blocks =
            Int(range.lowerBound / blockByteCount)..<Int((range.upperBound - 1) / blockByteCount) + 1
        return lock.withLock { plugged.firstRun(isMember: populated, in: blocks) }
            .map { bytes(of: $0).clamped(to: range) }
    }

    /// Tells from now on this manager what is plugged.
    public func didJoin(_ manager: RAMDiscardManager?) { lock.withLock { self.manager = manager } }

    // MARK: Work

    private func bytes(of blocks: Range<Int>) -> Range<UInt64> {
        UInt64(blocks.lowerBound) * blockByteCount..<UInt64(blocks.upperBound) * blockByteCount
    }

    /// The blocks of a range that a guest named.
    private func blocks(of range: Range<UInt64>) throws(RAMDiscardError) -> Range<Int> {
        guard !range.isEmpty, range.upperBound <= usableBytes else {
            throw .outOfRange(range, end: usableBytes)
        }
        guard range.isAligned(to: blockByteCount) else { throw .misaligned(range, unit: blockByteCount) }
        return Int(range.lowerBound / blockByteCount)..<Int(range.upperBound / blockByteCount)
    }

    private func allocate(_ range: Range<UInt64>) throws(RAMDiscardError) {
        do throws(Errno) {
            try UserMemory.populate(
                memory.window.address + Int(range.lowerBound), byteCount: Int(range.byteCount), writable: true
            )
        } catch {
            throw .memory(error)
        }
    }

    /// Takes plugged blocks from the guest.
    private func drop(_ blocks: Range<Int>) throws(RAMDiscardError) {
        let range = bytes(of: blocks)
        // First those who use the memory, then the memory: a process that shares it could else bring pages back.
        try manager?.discard(range, by: self)
        plugged.remove(blocks)
        pluggedBytes -= range.byteCount
        release(blocks)
    }

    /// Gives blocks' memory back to the machine, or notes that it couldn't be.
    private func release(_ blocks: Range<Int>) {
        do throws(Errno) {
            try memory.discard(bytes(of: blocks))
            free(blocks)
        } catch {
            stuck.insert(blocks)
            stuckReason = error
        }
    }

    /// Notes that no memory of blocks waits to be given back.
    private func free(_ blocks: Range<Int>) {
        guard stuckReason != nil else { return }
        stuck.remove(blocks)
        if stuck.count == 0 { stuckReason = nil }
    }

    /// Makes pages that couldn't be given back read as if they had been.
    private func zeroStuck(_ blocks: Range<Int>) {
        guard stuckReason != nil else { return }
        var start = blocks.lowerBound
        while let run = stuck.firstRun(isMember: true, in: start..<blocks.upperBound) {
            let range = bytes(of: run)
            memory.window.zero(at: Int(range.lowerBound), byteCount: Int(range.byteCount))
            start = run.upperBound
        }
    }

    /// Tries again to give back what couldn't be.
    private func releaseStuck() {
        guard stuckReason != nil else { return }
        var start = 0
        while let blocks = stuck.firstRun(isMember: true, in: start..<stuck.blockCount) {
            release(blocks)
            start = blocks.upperBound
        }
    }
}

extension RAMBlock {
    /// Gives pages back to the machine; they read as zeros afterwards.
    func discard(_ range: Range<UInt64>) throws(Errno) {
        try window.discard(
            at: Int(range.lowerBound), byteCount: Int(range.byteCount),
            file == nil ? .privateMemory : .sharedFile)
    }
}
