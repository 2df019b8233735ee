import IOVASpace
import LinuxSystem

/// What a host offers to the device in one of its slots. Written by hosts, used by ``PCIFunction`` and
/// ``DMAPort`` only: a model talks to those.
///
/// All of it may be called from any thread, also from within a call that the host makes into the model.
public protocol PCISlot: AnyObject, Sendable {
    /// Copies memory of the device's address space into `bytes`: all or nothing.
    /// - Throws: ``DMAFault`` naming the first byte that couldn't be reached.
    func readMemory(at iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault)

    /// Copies `bytes` to memory of the device's address space: all or nothing.
    /// - Throws: ``DMAFault`` naming the first byte that couldn't be reached.
    func writeMemory(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault)

    /// Lends the memory behind a range, piece by piece in ascending order, without copying.
    ///
    /// The pieces stay mapped until `body` returns. If any part of the range can't be reached, `body` isn't
    /// called at all.
    /// - Parameter body: gets each piece; returns false to stop.
    /// - Throws: ``DMAFault`` naming the first byte that couldn't be reached; `notLendable` where a host can't
    ///   lend (another process's memory without a descriptor): then copy instead.
    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault)

    /// Delivers a message-signalled interrupt. Masks have been looked at already.
    func deliverMessage(_ kind: MessageKind, vector: Int)

    /// Drives the interrupt line. Called on changes only; the Interrupt Disable bit has been looked at already.
    func setInterruptLine(_ asserted: Bool)
}

/// The two kinds of message-signalled interrupts.
public enum MessageKind: Sendable, Equatable {
    /// Message Signalled Interrupts: up to 32 vectors in configuration space.
    case msi
    /// MSI-X: up to 2048 vectors in a table in a BAR.
    case msix
}

/// What a device does to memory.
public enum DMAAccess: Sendable, Equatable {
    /// The device reads memory.
    case read
    /// The device writes memory.
    case write
}

/// Why a device's access to memory was refused. Nothing was transferred, unless the reason is
/// ``Reason/remote(_:)``: then a part may have been.
public struct DMAFault: Error, Equatable, Sendable {
    /// The first address that couldn't be reached.
    public let iova: IOVA
    /// What the device tried.
    public let access: DMAAccess
    /// Why it was refused.
    public let reason: Reason

    /// Why an access was refused.
    public enum Reason: Sendable, Equatable {
        /// No mapping covers the address.
        case notMapped
        /// A mapping covers the address but doesn't allow the access.
        case notPermitted
        /// The function's Bus Master Enable bit is off, it isn't in D0, or its device is stopped for migration.
        case busMasterDisabled
        /// The device isn't attached to any address space, or sits in no slot.
        case notAttached
        /// The range wraps around at 2^64.
        case outOfRange
        /// The host can't lend this memory; copying works.
        case notLendable
        /// The memory is another process's, which has to be asked for every access and didn't do its part.
        case remote(RemoteObstacle)
    }

    /// Why another process didn't give or take what a device wanted of its memory.
    public enum RemoteObstacle: Error, Sendable, Equatable {
        /// It waits for the very access to the device in which the memory is wanted, and can't be asked.
        case clientWaits
        /// It refused, and said this.
        case refused(Errno)
        /// Its answer doesn't fit the question.
        case malformed
        /// It hasn't answered in time.
        case timedOut
        /// It has gone.
        case gone
        /// The device was reset meanwhile.
        case reset
    }

    /// Describes a refused access.
    public init(iova: IOVA, access: DMAAccess, reason: Reason) {
        self.iova = iova
        self.access = access
        self.reason = reason
    }
}

/// A device's way to memory: checks whether it may start transactions, then asks the slot. Refused accesses are
/// counted.
public final class DMAPort {
    /// Whose way it is.
    private enum Owner {
        case function(Backlink<PCIFunction>)
        case resources(Backlink<BusResources>)
    }
    private let owner: Owner
    /// Guards the record of refused accesses, which any thread may make.
    private let lock = Lock()
    private var refused: UInt64 = 0
    private var latest: DMAFault?

    /// How many accesses were refused since the function was made.
    public var refusedCount: UInt64 { lock.withLock { refused } }
    /// The latest refused access.
    public var lastFault: DMAFault? { lock.withLock { latest } }

    init(_ function: PCIFunction) {
        // SAFETY: the function owns its port and hands it out only through itself.
        owner = unsafe .function(Backlink(function))
    }

    init(_ resources: BusResources) {
        // SAFETY: they own their port and hand it out only through themselves.
        owner = unsafe .resources(Backlink(resources))
    }

    private func slot(_ iova: IOVA, _ count: Int, _ access: DMAAccess) throws(DMAFault) -> any PCISlot {
        let found: (any PCISlot)?
        let mayInitiate: Bool
        switch owner {
        case .function(let link):
            found = link.owner.slot
            mayInitiate = link.owner.isBusMasterEnabled
        case .resources(let link):
            found = link.owner.slot
            mayInitiate = link.owner.isBusMaster
        }
        guard let slot = found else {
            throw DMAFault(iova: iova, access: access, reason: .notAttached)
        }
        guard mayInitiate else {
            throw DMAFault(iova: iova, access: access, reason: .busMasterDisabled)
        }
        let (_, overflow) = iova.rawValue.addingReportingOverflow(UInt64(max(count, 1) - 1))
        if overflow || count < 0 { throw DMAFault(iova: iova, access: access, reason: .outOfRange) }
        return slot
    }

    private func note(_ fault: DMAFault) -> DMAFault {
        if fault.reason != .notLendable {
            lock.withLock {
                refused &+= 1
                latest = fault
            }
        }
        return fault
    }

    /// Reads memory, all or nothing.
    public func read(_ iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault) {
        do throws(DMAFault) {
            try slot(iova, bytes.byteCount, .read).readMemory(at: iova, into: &bytes)
        } catch {
            throw note(error)
        }
    }

    /// Writes memory, all or nothing.
    public func write(_ bytes: RawSpan, to iova: IOVA) throws(DMAFault) {
        do throws(DMAFault) {
            try slot(iova, bytes.byteCount, .write).writeMemory(bytes, at: iova)
        } catch {
            throw note(error)
        }
    }

    /// Reads one value of a plain type.
    @inlinable public func load<T: BitwiseCopyable>(_ initial: T, from iova: IOVA) throws(DMAFault) -> T {
        var value = initial
        var fault: DMAFault?
        // SAFETY: the span covers exactly `value`; any bit pattern is a value of a plain wire structure.
        unsafe withUnsafeMutableBytes(of: &value) { buffer in
            var span = unsafe MutableRawSpan(_unsafeBytes: buffer)
            do throws(DMAFault) { try read(iova, into: &span) } catch { fault = error }
        }
        if let fault { throw fault }
        return value
    }

    /// Writes one value of a plain type.
    @inlinable public func store<T: BitwiseCopyable>(_ value: T, to iova: IOVA) throws(DMAFault) {
        var fault: DMAFault?
        // SAFETY: the span covers exactly `value`.
        unsafe withUnsafeBytes(of: value) { buffer in
            let span = unsafe RawSpan(_unsafeBytes: buffer)
            do throws(DMAFault) { try write(span, to: iova) } catch { fault = error }
        }
        if let fault { throw fault }
    }

    /// Lends memory without copying; see ``PCISlot/withMemory(at:byteCount:for:_:)``.
    public func withMemory(
        _ iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        do throws(DMAFault) {
            try slot(iova, byteCount, access).withMemory(at: iova, byteCount: byteCount, for: access, body)
        } catch {
            throw note(error)
        }
    }
}
