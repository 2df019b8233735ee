import LinuxSystem
import NVMe
import VFIO

// Input and output in one call, from any thread. Transfers of any length: they are cut into commands that the
// controller can carry, several of which are under way at a time. A failed call says which of its commands failed
// first; the others may or may not have been carried out.

extension Controller {
    // MARK: Plain memory

    /// Reads blocks into plain memory, by way of the driver's own DMA memory.
    /// - Parameters:
    ///   - blocks: which blocks; none is allowed and does nothing.
    ///   - namespace: nil for ``defaultNamespace()``.
    ///   - bytes: memory of exactly the blocks' length.
    /// - Throws: `.outOfRange` and `.wrongLength` before anything is sent; `.status`, `.timedOut`, `.cancelled`,
    ///   `.deviceGone`, `.controllerFatal`, `.stopped`, `.closed`, `.vfio`.
    public func read(
        blocks: Range<UInt64>, of namespace: Namespace? = nil, into bytes: inout MutableRawSpan
    ) throws(NVMeError) {
        let namespace = try check("read", namespace, blocks, bytes.byteCount)
        let lane = try takeLane("read")
        defer { lane.lock.unlock() }
        if blocks.isEmpty { return }
        try lane.read(blocks, namespace, into: &bytes)
    }

    /// Reads blocks into an array of exactly their length.
    public func read(
        blocks: Range<UInt64>, of namespace: Namespace? = nil, into bytes: inout [UInt8]
    ) throws(NVMeError) {
        var span = bytes.mutableSpan
        // SAFETY: any byte is a value of UInt8.
        var raw = unsafe span.mutableBytes
        try read(blocks: blocks, of: namespace, into: &raw)
    }

    /// Reads blocks into a new array.
    /// - Throws: also `.tooLarge` for more than 1 GiB.
    public func read(blocks: Range<UInt64>, of namespace: Namespace? = nil) throws(NVMeError) -> [UInt8] {
        let namespace = try chosen(namespace)
        let (count, overflow) = blocks.length.multipliedReportingOverflow(
            by: UInt64(namespace.blockByteCount))
        // Bounds first, then memory: a wrong range isn't to allocate anything.
        if let reason = namespace.objection(to: blocks) {
            throw NVMeError(reason, "read", on: name, namespace: namespace.identifier, blocks: blocks)
        }
        guard !overflow, count <= 1 << 30 else {
            throw NVMeError(
                .tooLarge(byteCount: Int(clamping: count), limit: 1 << 30), "read", on: name,
                namespace: namespace.identifier, blocks: blocks)
        }
        var bytes = [UInt8](repeating: 0, count: Int(count))
        try read(blocks: blocks, of: namespace, into: &bytes)
        return bytes
    }

    /// Writes blocks from plain memory, by way of the driver's own DMA memory.
    /// - Parameters:
    ///   - blocks: which blocks; none is allowed and does nothing.
    ///   - namespace: nil for ``defaultNamespace()``.
    ///   - bytes: memory of exactly the blocks' length.
    ///   - forceUnitAccess: the data is on the medium when this returns (FUA).
    /// - Throws: as `read(blocks:of:into:)`.
    public func write(
        blocks: Range<UInt64>, of namespace: Namespace? = nil, from bytes: RawSpan,
        forceUnitAccess: Bool = false
    ) throws(NVMeError) {
        let namespace = try check("write", namespace, blocks, bytes.byteCount)
        let lane = try takeLane("write")
        defer { lane.lock.unlock() }
        if blocks.isEmpty { return }
        try lane.send(.write, blocks, namespace, bytes, forceUnitAccess: forceUnitAccess)
    }

    /// Writes blocks from an array of exactly their length.
    public func write(
        blocks: Range<UInt64>, of namespace: Namespace? = nil, from bytes: [UInt8],
        forceUnitAccess: Bool = false
    ) throws(NVMeError) {
        // SAFETY: bytes have no padding that could be read uninitialised.
        unsafe try write(
            blocks: blocks, of: namespace, from: bytes.span.bytes, forceUnitAccess: forceUnitAccess)
    }

    /// Compares blocks with plain memory, inside the controller.
    /// - Throws: `.status` with `.compareFailure` if they differ, `.unsupported` without Compare.
    public func compare(
        blocks: Range<UInt64>, of namespace: Namespace? = nil, with bytes: RawSpan
    ) throws(NVMeError) {
        let namespace = try check("compare", namespace, blocks, bytes.byteCount)
        try require(identity.supportsCompare, .compare, "compare")
        let lane = try takeLane("compare")
        defer { lane.lock.unlock() }
        if blocks.isEmpty { return }
        try lane.send(.compare, blocks, namespace, bytes, forceUnitAccess: false)
    }

    // MARK: DMA memory

    /// Reads blocks into memory that the device reaches, without a copy.
    /// - Parameters:
    ///   - segment: memory of exactly the blocks' length, aligned to four bytes.
    ///   - style: how the memory is described to the controller.
    public func read(
        blocks: Range<UInt64>, of namespace: Namespace? = nil, into segment: DMASegment,
        style: DataPointerStyle = .automatic
    ) throws(NVMeError) {
        try transfer(.read, blocks, namespace, [segment], style, false)
    }

    /// Reads blocks into several pieces of memory that the device reaches, one after the other.
    ///
    /// Pieces that aren't whole pages need a controller with SGLs, unless each is a whole number of blocks.
    public func read(
        blocks: Range<UInt64>, of namespace: Namespace? = nil, into segments: [DMASegment],
        style: DataPointerStyle = .automatic
    ) throws(NVMeError) {
        try transfer(.read, blocks, namespace, segments, style, false)
    }

    /// Writes blocks from memory that the device reaches, without a copy.
    public func write(
        blocks: Range<UInt64>, of namespace: Namespace? = nil, from segment: DMASegment,
        style: DataPointerStyle = .automatic, forceUnitAccess: Bool = false
    ) throws(NVMeError) {
        try transfer(.write, blocks, namespace, [segment], style, forceUnitAccess)
    }

    /// Writes blocks from several pieces of memory that the device reaches.
    public func write(
        blocks: Range<UInt64>, of namespace: Namespace? = nil, from segments: [DMASegment],
        style: DataPointerStyle = .automatic, forceUnitAccess: Bool = false
    ) throws(NVMeError) {
        try transfer(.write, blocks, namespace, segments, style, forceUnitAccess)
    }

    private func transfer(
        _ opcode: IOOpcode, _ blocks: Range<UInt64>, _ namespace: Namespace?, _ segments: [DMASegment],
        _ style: DataPointerStyle, _ forceUnitAccess: Bool
    ) throws(NVMeError) {
        var byteCount = 0
        for segment in segments {
            let (sum, overflow) = byteCount.addingReportingOverflow(segment.byteCount)
            byteCount = overflow ? .max : sum
        }
        let operation: StaticString = opcode == .read ? "read" : "write"
        let namespace = try check(operation, namespace, blocks, byteCount)
        let lane = try takeLane(operation)
        defer { lane.lock.unlock() }
        if blocks.isEmpty { return }
        try lane.transfer(
            opcode, blocks, namespace, segments, style: style, forceUnitAccess: forceUnitAccess)
    }

    // MARK: No data

    /// Waits until everything that was written before is on the medium.
    public func flush(_ namespace: Namespace? = nil) throws(NVMeError) {
        let namespace = try chosen(namespace)
        let lane = try takeLane("flush")
        defer { lane.lock.unlock() }
        try lane.run(.flush(namespaceID: namespace.identifier), "flush")
    }

    /// Sets blocks to zero without sending any data.
    /// - Parameter deallocates: the controller may give the blocks' room back.
    /// - Throws: `.unsupported` without Write Zeroes.
    public func writeZeroes(
        blocks: Range<UInt64>, of namespace: Namespace? = nil, deallocates: Bool = false,
        forceUnitAccess: Bool = false
    ) throws(NVMeError) {
        let namespace = try check("write zeroes to", namespace, blocks)
        try require(identity.supportsWriteZeroes, .writeZeroes, "write zeroes to")
        let limits = core.lock.withLock { core.commandSetLimits }
        let lane = try takeLane("write zeroes to")
        defer { lane.lock.unlock() }
        try forParts(of: blocks, limits.writeZeroesExponent, namespace) { (first, count) throws(NVMeError) in
            try lane.run(
                .writeZeroes(
                    namespaceID: namespace.identifier, startingBlock: first, blocks: count,
                    deallocates: deallocates, forceUnitAccess: forceUnitAccess), "write zeroes to")
        }
    }

    /// Checks that blocks can be read, without transferring them.
    /// - Throws: `.unsupported` without Verify; a `.status` of the medium where a block can't be read.
    public func verify(blocks: Range<UInt64>, of namespace: Namespace? = nil) throws(NVMeError) {
        let namespace = try check("verify", namespace, blocks)
        try require(identity.supportsVerify, .verify, "verify")
        let limits = core.lock.withLock { core.commandSetLimits }
        let lane = try takeLane("verify")
        defer { lane.lock.unlock() }
        try forParts(of: blocks, limits.verifyExponent, namespace) { (first, count) throws(NVMeError) in
            var entry = SubmissionEntry(io: .verify, namespaceID: namespace.identifier)
            entry.setBlocks(first, namespace, 0, count * namespace.blockByteCount)
            try lane.run(entry, "verify")
        }
    }

    /// Tells the controller that blocks aren't needed any more (Dataset Management, Deallocate).
    ///
    /// It is a hint: what they read as afterwards is told by DLFEAT of the namespace.
    /// - Throws: `.unsupported` without Dataset Management.
    public func deallocate(blocks ranges: [Range<UInt64>], of namespace: Namespace? = nil) throws(NVMeError) {
        let namespace = try chosen(namespace)
        for blocks in ranges { _ = try check("deallocate", namespace, blocks) }
        try require(identity.supportsDatasetManagement, .datasetManagement, "deallocate")
        let limits = core.lock.withLock { core.commandSetLimits }
        let rangeLimit = limits.datasetRanges == 0 ? DatasetRange.maximumCount : Int(limits.datasetRanges)
        let blockLimit =
            limits.datasetRangeBlocks == 0 ? UInt64(UInt32.max) : UInt64(limits.datasetRangeBlocks)
        let totalLimit = limits.datasetBlocks == 0 ? UInt64.max : limits.datasetBlocks
        let lane = try takeLane("deallocate")
        defer { lane.lock.unlock() }
        var list: [UInt8] = []
        var total: UInt64 = 0
        func send() throws(NVMeError) {
            let count = list.count / DatasetRange.size
            guard count > 0 else { return }
            // SAFETY: bytes have no padding that could be read uninitialised.
            unsafe try lane.run(
                .datasetManagement(namespaceID: namespace.identifier, ranges: count), list.span.bytes,
                "deallocate")
            list.removeAll(keepingCapacity: true)
            total = 0
        }
        for blocks in ranges {
            var next = blocks.lowerBound
            while next < blocks.upperBound {
                if list.count == rangeLimit * DatasetRange.size || total == totalLimit { try send() }
                let count = min(blocks.upperBound - next, blockLimit, totalLimit - total)
                append(DatasetRange(startingBlock: next, blocks: UInt32(count)), to: &list)
                next += count
                total += count
            }
        }
        try send()
    }

    /// Tells the controller that a range of blocks isn't needed any more.
    public func deallocate(blocks: Range<UInt64>, of namespace: Namespace? = nil) throws(NVMeError) {
        try deallocate(blocks: [blocks], of: namespace)
    }

    // MARK: Help

    private func append(_ range: DatasetRange, to list: inout [UInt8]) {
        func append(_ value: UInt64, _ count: Int) {
            for index in 0..<count { list.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
        }
        append(UInt64(range.attributes), 4)
        append(UInt64(range.blocks), 4)
        append(range.startingBlock, 8)
    }

    /// Goes through a range in parts that one command can carry.
    /// - Parameter exponent: the controller's limit in pages of CAP.MPSMIN, as a power of two; 0 for none.
    private func forParts(
        of blocks: Range<UInt64>, _ exponent: UInt8, _ namespace: Namespace,
        _ body: (UInt64, Int) throws(NVMeError) -> Void
    ) throws(NVMeError) {
        var most = 0x10000
        if exponent > 0, exponent < 32 {
            most = max(
                1, min(most, (capabilities.minimumPageSize << Int(exponent)) / namespace.blockByteCount))
        }
        var next = blocks.lowerBound
        while next < blocks.upperBound {
            let count = Int(min(UInt64(most), blocks.upperBound - next))
            try body(next, count)
            next += UInt64(count)
        }
    }

    private func chosen(_ namespace: Namespace?) throws(NVMeError) -> Namespace {
        if let namespace { return namespace }
        return try defaultNamespace()
    }

    private func check(
        _ operation: StaticString, _ namespace: Namespace?, _ blocks: Range<UInt64>, _ byteCount: Int
    ) throws(NVMeError) -> Namespace {
        let namespace = try chosen(namespace)
        if let reason = namespace.objection(to: blocks, byteCount: byteCount) {
            throw NVMeError(
                reason, "\(operation)", on: name, namespace: namespace.identifier, blocks: blocks)
        }
        return namespace
    }

    private func check(
        _ operation: StaticString, _ namespace: Namespace?, _ blocks: Range<UInt64>
    ) throws(NVMeError) -> Namespace {
        let namespace = try chosen(namespace)
        if let reason = namespace.objection(to: blocks) {
            throw NVMeError(
                reason, "\(operation)", on: name, namespace: namespace.identifier, blocks: blocks)
        }
        return namespace
    }

    private func require(
        _ isThere: Bool, _ ability: NVMeError.Ability, _ operation: StaticString
    ) throws(NVMeError) {
        guard isThere else { throw NVMeError(.unsupported(ability), "\(operation)", on: name) }
    }
}
