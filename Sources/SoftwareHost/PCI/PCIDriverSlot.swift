import DeviceModel
import IOVASpace
import LinuxSystem

/// The slot that the PCI bus driver plugs its device into: DMA goes to the address space that the device is
/// attached to, interrupts go to the driver's interrupt state.
///
/// Nothing here takes the driver's device lock, so a model may use all of it from within a register access.
/// The slot knows neither driver nor model: a function holds its slot, and a link back would be a cycle.
final class PCIDriverSlot: PCISlot, @unchecked Sendable {
    // SAFETY: `space` and `isLogging` are guarded by `gate`, `log` guards itself; everything else is constant.

    /// Where interrupts go.
    let interrupts: PCIInterrupts
    /// What goes wrong on the way.
    let faults: DeviceFaults
    /// Held for reading during an access, so that detaching waits until accesses under way have ended.
    private let gate = ReadWriteLock()
    private var space: (any DMAAddressSpace)?
    /// Whether ``log`` is kept.
    private var isLogging = false
    private let log = DMAWriteLog()

    init(interrupts: PCIInterrupts, faults: DeviceFaults) {
        self.interrupts = interrupts
        self.faults = faults
    }

    /// Changes where DMA goes; nil refuses all of it. Returns once no access uses the former address space.
    func attach(to space: (any DMAAddressSpace)?) { gate.withWriteLock { self.space = space } }

    /// Returns once the accesses under way have ended.
    func waitForAccesses() { gate.withWriteLock {} }

    // MARK: the log of what is written

    /// Begins to log what is written; see ``DMAWriteLog/start(_:pageSize:)``.
    func startLog(_ ranges: [IOVARange], pageSize: UInt64) throws(Errno) -> UInt64 {
        let size = try log.start(ranges, pageSize: pageSize)
        gate.withWriteLock { isLogging = true }
        return size
    }

    /// Ends it.
    func stopLog() {
        gate.withWriteLock { isLogging = false }
        log.stop()
    }

    /// Reports what was written; see ``DMAWriteLog/report(_:pageSize:into:)``.
    func reportLog(_ range: IOVARange, pageSize: UInt64, into bitmap: HostAddress) throws(Errno) {
        // Who has written has marked it then.
        waitForAccesses()
        try log.report(range, pageSize: pageSize, into: bitmap)
    }

    func readMemory(at iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault) {
        if faults.watchesDMA { _ = try faults.look(at: iova, byteCount: bytes.byteCount, .read) }
        do throws(DMAFault) {
            try gate.withReadLock { () throws(DMAFault) in
                guard let space else { throw DMAFault(iova: iova, access: .read, reason: .notAttached) }
                try space.readMemory(at: iova, into: &bytes)
            }
        } catch {
            throw refuse(error)
        }
        faults.counters.addDMA(bytes.byteCount, isWrite: false)
    }

    func writeMemory(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault) {
        if faults.watchesDMA { return try writeFaultily(bytes, at: iova) }
        try transfer(bytes, to: iova)
    }

    private func transfer(_ bytes: RawSpan, to iova: IOVA) throws(DMAFault) {
        do throws(DMAFault) {
            try gate.withReadLock { () throws(DMAFault) in
                guard let space else { throw DMAFault(iova: iova, access: .write, reason: .notAttached) }
                try space.writeMemory(bytes, at: iova)
                if isLogging { log.mark(iova, byteCount: bytes.byteCount) }
            }
        } catch {
            throw refuse(error)
        }
        faults.counters.addDMA(bytes.byteCount, isWrite: true)
    }

    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        if faults.watchesDMA { return try lendFaultily(iova, byteCount, access, body) }
        try lend(iova, byteCount, access, body)
    }

    private func lend(
        _ iova: IOVA, _ byteCount: Int, _ access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        do throws(DMAFault) {
            try gate.withReadLock { () throws(DMAFault) in
                guard let space else { throw DMAFault(iova: iova, access: access, reason: .notAttached) }
                // Also where it ends midway: something may have been written.
                defer { if isLogging && access == .write { log.mark(iova, byteCount: byteCount) } }
                try space.withMemory(at: iova, byteCount: byteCount, for: access, body)
            }
        } catch {
            throw refuse(error)
        }
        faults.counters.addDMA(byteCount, isWrite: access == .write)
    }

    /// An access didn't get through.
    @inline(never)
    private func refuse(_ fault: DMAFault) -> DMAFault {
        faults.counters.add(.dmaRefusals)
        return faults.stop(for: fault)
    }

    func deliverMessage(_ kind: MessageKind, vector: Int) {
        faults.counters.add(.interrupts)
        if faults.watchesInterrupts { return faults.deliver(kind, vector: vector, to: interrupts) }
        interrupts.deliver(kind, vector: vector)
    }

    func setInterruptLine(_ asserted: Bool) {
        if asserted { faults.counters.add(.interrupts) }
        if faults.watchesInterrupts { return faults.setLine(asserted, of: interrupts) }
        interrupts.setLine(asserted)
    }

    // MARK: what goes wrong

    @inline(never)
    private func writeFaultily(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault) {
        switch try faults.look(at: iova, byteCount: bytes.byteCount, .write) {
        case .goesOn: try transfer(bytes, to: iova)
        case .dropped: return
        case .flipped(let byte, let bits):
            guard byte < bytes.byteCount else { return try transfer(bytes, to: iova) }
            var copy = [UInt8](repeating: 0, count: bytes.byteCount)
            for index in copy.indices {
                // SAFETY: any byte is an integer; the bounds are checked.
                let byte = unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
                copy[index] = byte
            }
            copy[byte] ^= bits
            // SAFETY: bytes are plain integers, all of them initialised.
            try unsafe transfer(copy.span.bytes, to: iova)
        }
    }

    @inline(never)
    private func lendFaultily(
        _ iova: IOVA, _ byteCount: Int, _ access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        let outcome = try faults.look(at: iova, byteCount: byteCount, access)
        if case .goesOn = outcome { return try lend(iova, byteCount, access, body) }
        var start = 0
        try lend(iova, byteCount, access) { piece in
            defer { start += piece.byteCount }
            // The device gets other memory to write to: what is wrong must be so from the first moment.
            guard let scratch = try? Mapping(anonymous: piece.byteCount) else { return body(piece) }
            let copy = scratch.window.window(at: 0, byteCount: piece.byteCount)
            copy.copy(from: piece, at: 0, to: 0, byteCount: piece.byteCount)
            let goesOn = body(copy)
            guard case .flipped(let byte, let bits) = outcome else { return goesOn }
            if byte >= start && byte - start < piece.byteCount {
                copy.store8(byte - start, copy.load8(byte - start) ^ bits)
            }
            // The end last, and the last words as one: it may be what somebody polls for.
            let tail = piece.byteCount % 8 == 0 && piece.address.rawValue % 8 == 0 ? 8 : 0
            piece.copy(from: copy, at: 0, to: 0, byteCount: piece.byteCount - tail)
            if tail > 0 {
                Fence.beforeDoorbell()
                piece.store64(piece.byteCount - tail, copy.load64(piece.byteCount - tail))
            }
            return goesOn
        }
    }
}
