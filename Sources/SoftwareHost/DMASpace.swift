import DeviceModel
import IOVASpace
import LinuxSystem

/// What devices see of memory through one IOMMU domain: the mappings, and the way through them.
///
/// Devices read the map under a lock that any number of them may hold; whoever changes it waits for accesses
/// under way to end. The owner (type1, or an IOAS) serialises changes by a lock of its own, and so may read the
/// map without this one.
///
/// The memory behind a mapping must stay mapped in its process until the mapping is removed: a kernel pins it, a
/// process can't. It may be that of another process (``RemoteMemory``), which is reached through copies.
final class DMASpace: DMAAddressSpace, @unchecked Sendable {
    // SAFETY: `map` is changed under the write lock and by one owner only, faults are changed under `faultLock`.
    private let lock = ReadWriteLock()
    /// The mappings; `backing` is an address of this process. To be read by the owner with its lock held.
    private(set) var map: IOVAMap
    private let faultLock = Lock()
    private var faults = DMAFaultCount()
    private let log: DMAFaultLog
    private let observer: (any MemoryWriteObserver)?

    /// - Parameter mergingAdjacent: whether mappings that continue each other become one.
    init(_ core: Core, mergingAdjacent: Bool = false) {
        log = core.faults
        observer = core.memoryWriteObserver
        map = IOVAMap(mergingAdjacent: mergingAdjacent)
    }

    /// Changes the mappings, alone.
    func change<R, E: Error>(_ body: (inout IOVAMap) throws(E) -> R) throws(E) -> R {
        try lock.withWriteLock { () throws(E) -> R in try body(&map) }
    }

    /// The accesses that were refused here.
    var faultCount: DMAFaultCount { faultLock.withLock { faults } }

    /// Keeps account of an access that was refused.
    func refuse(_ fault: DMAFault) -> DMAFault {
        faultLock.withLock { faults.add(fault) }
        log.add(fault)
        return fault
    }

    /// Tells of memory that was written for a device without going through here.
    func tellWritten(_ memory: HostAddress, byteCount: Int) {
        // SAFETY: it has just been written.
        observer?.deviceWrote(unsafe MemoryWindow(unsafeAddress: memory, byteCount: byteCount))
    }

    func readMemory(at iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault) {
        try MemoryWindow.withWindow(on: &bytes) { (target) throws(DMAFault) in
            try transfer(iova, target.byteCount, .read) { (piece, offset) in
                target.copy(from: piece, at: 0, to: offset, byteCount: piece.byteCount)
                return true
            }
        }
    }

    func writeMemory(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault) {
        try MemoryWindow.withReadOnlyWindow(on: bytes) { (source) throws(DMAFault) in
            try transfer(iova, source.byteCount, .write) { (piece, offset) in
                piece.copy(from: source, at: offset, to: 0, byteCount: piece.byteCount)
                observer?.deviceWrote(piece)
                return true
            }
        }
    }

    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        try transfer(iova, byteCount, access) { (piece, _) in
            let goesOn = body(piece)
            if access == .write { observer?.deviceWrote(piece) }
            return goesOn
        }
    }

    /// Goes through a range piece by piece, if all of it can be reached; with the map held still.
    @inline(__always)
    private func transfer(
        _ iova: IOVA, _ byteCount: Int, _ access: DMAAccess, _ body: (MemoryWindow, Int) -> Bool
    ) throws(DMAFault) {
        guard byteCount > 0 else { return }
        guard let range = IOVARange(iova, byteCount: UInt64(byteCount)) else {
            throw refuse(DMAFault(iova: iova, access: access, reason: .outOfRange))
        }
        do throws(IOVAFault) {
            try lock.withReadLock { () throws(IOVAFault) in
                try map.forEachWindow(of: range, for: access) { (piece, offset) in
                    if !RemoteMemory.contains(piece.address) { return body(piece, offset) }
                    return RemoteMemory.visit(piece, isWritten: access == .write) { (part, inside) in
                        body(part, offset + inside)
                    }
                }
            }
        } catch {
            switch error {
            case .unmapped(let at): throw refuse(DMAFault(iova: at, access: access, reason: .notMapped))
            case .denied(let at, _): throw refuse(DMAFault(iova: at, access: access, reason: .notPermitted))
            }
        }
    }
}

/// How many accesses of devices to memory an IOMMU refused, and which one was the latest.
public struct DMAFaultCount: Sendable, Equatable {
    /// How many.
    public private(set) var count: UInt64 = 0
    /// The latest.
    public private(set) var last: DMAFault?

    init() {}

    mutating func add(_ fault: DMAFault) {
        count &+= 1
        last = fault
    }
}

/// The refused accesses of a whole machine.
final class DMAFaultLog: @unchecked Sendable {
    // SAFETY: `faults` is only touched with `lock` held.
    private let lock = Lock()
    private var faults = DMAFaultCount()

    func add(_ fault: DMAFault) { lock.withLock { faults.add(fault) } }

    /// All of them since the machine was made.
    var count: DMAFaultCount { lock.withLock { faults } }
}
