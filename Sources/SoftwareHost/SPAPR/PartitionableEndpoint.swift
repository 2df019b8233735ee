import DeviceModel
import IOVASpace
import LinuxSystem
import Synchronization
import VFIOABI

/// What errors are isolated for, on a POWER machine: the devices of one group (kernel.md C.2). A device that fails is
/// frozen with all others: reads of registers give all ones, writes are lost, and no DMA goes through, until
/// somebody thaws or resets them.
final class PartitionableEndpoint: @unchecked Sendable {
    // SAFETY: what is used inside accesses is atomic; the rest is guarded by `lock`, which is an innermost one.

    /// What doesn't work.
    private struct Freeze: OptionSet {
        let rawValue: UInt8
        static let io = Freeze(rawValue: 1)
        static let dma = Freeze(rawValue: 2)
        static let reset = Freeze(rawValue: 4)
        static let all: Freeze = [.io, .dma]
    }

    /// What an error that was asked for waits for.
    enum Access {
        case load(Space)
        case store(Space)
        case dma(DMAAccess)

        enum Space: UInt32 {
            case memory
            case ports
            case configuration
        }

        /// Whether an error in a function of `VFIO_EEH_PE_INJECT_ERR` happens at such an access.
        func meets(function: UInt32) -> Bool {
            switch self {
            case .load(let space): function < 6 && function / 2 == space.rawValue
            case .store(let space): 6..<12 ~= function && function / 2 - 3 == space.rawValue
            case .dma(.read): 12..<16 ~= function
            case .dma(.write): 16..<20 ~= function
            }
        }
    }

    private let injector: FaultInjector
    private let freeze = Atomic<UInt8>(0)
    private let isArmed = Atomic<Bool>(false)
    private let lock = Lock()
    private var armed: EEHError?
    /// The drivers of the devices, as long as they are VFIO's.
    private var members: [any BusDriver] = []

    init(_ injector: FaultInjector) { self.injector = injector }

    private var frozen: Freeze { Freeze(rawValue: freeze.load(ordering: .acquiring)) }

    /// Whether registers are out of reach.
    var isIOFrozen: Bool { frozen.contains(.io) }
    /// Whether memory is.
    var isDMAFrozen: Bool { frozen.contains(.dma) }

    /// What `VFIO_EEH_PE_GET_STATE` answers.
    var state: EEHState {
        let frozen = frozen
        if frozen.contains(.reset) { return .reset }
        if frozen.isSuperset(of: .all) { return .stopped }
        if frozen.contains(.dma) { return .stoppedDMA }
        // Registers frozen and DMA not: there is no word for that.
        return frozen.contains(.io) ? .unavailable : .normal
    }

    // MARK: members

    func join(_ bus: any BusDriver) { lock.withLock { members.append(bus) } }

    func leave(_ bus: any BusDriver) { lock.withLock { members.removeAll { $0 === bus } } }

    /// The PCI functions among them.
    var functions: [PCIBusDriver] { lock.withLock { members.compactMap { $0.pci } } }

    /// Lets mappings show what there is to see. With no lock held.
    private func showState() {
        for bus in lock.withLock({ members }) {
            bus.presenceChanged(isAbsent: isIOFrozen, reportsError: false)
        }
    }

    // MARK: freezing

    /// Something failed: everything stops. From inside an access to memory, with locks held.
    func stopFromInside() {
        guard stop() else { return }
        // Whoever can't be told later finds out at the next access that isn't through a mapping.
        _ = injector.delays.add(Notice(self), after: 0)
    }

    /// Something failed: everything stops. With no lock held.
    func stopNow() { if stop() { showState() } }

    /// - Returns: whether that is news.
    private func stop() -> Bool {
        injector.keepWatchingForAbsence()
        let (old, _) = freeze.bitwiseOr(Freeze.all.rawValue, ordering: .acquiringAndReleasing)
        return !Freeze(rawValue: old).isSuperset(of: .all)
    }

    private final class Notice: DelayLine.Action {
        private let endpoint: PartitionableEndpoint
        init(_ endpoint: PartitionableEndpoint) { self.endpoint = endpoint }
        override func run() { endpoint.showState() }
    }

    private func clear(_ what: Freeze) {
        _ = freeze.bitwiseAnd(~what.rawValue, ordering: .acquiringAndReleasing)
        showState()
    }

    /// Registers can be reached again.
    func thawIO() { clear(.io) }

    /// Memory can be reached again.
    func thawDMA() { clear(.dma) }

    /// All works again.
    func thaw() { clear(.all) }

    // MARK: resets

    /// A reset begins: everything is frozen until it ends, and the devices lose their state.
    /// - Throws: `EAGAIN` if somebody else is resetting one of them.
    func beginReset() throws(Errno) {
        _ = freeze.bitwiseOr(Freeze.reset.rawValue, ordering: .acquiringAndReleasing)
        stopNow()
        try PCIBusDriver.resetBus(of: functions)
    }

    /// A reset ends: everything works again, with configuration space as it was before it.
    func endReset() { clear([.all, .reset]) }

    // MARK: errors on demand

    /// Lets an error happen at the next access that it is about; an earlier one that hasn't happened yet is forgotten.
    func arm(_ error: EEHError) {
        injector.keepWatchingForAbsence()
        lock.withLock {
            armed = error
            isArmed.store(true, ordering: .releasing)
        }
    }

    /// Whether an access is the one that an error waits for: then that has happened.
    func isHit(by access: Access, at address: UInt64, byteCount: Int) -> Bool {
        guard isArmed.load(ordering: .acquiring) else { return false }
        return lock.withLock {
            guard let error = armed, access.meets(function: error.function),
                error.covers(address, byteCount: UInt64(max(1, byteCount)))
            else { return false }
            armed = nil
            isArmed.store(false, ordering: .releasing)
            return true
        }
    }
}

extension EEHError {
    /// Whether an access touches an address whose bits under the mask are those of the error's; no mask means any.
    fileprivate func covers(_ first: UInt64, byteCount: UInt64) -> Bool {
        let bits = type == 0 ? UInt64(UInt32.max) : .max
        let wanted = address & mask & bits
        let last = first &+ (byteCount - 1)
        return first & mask & bits == wanted || last & mask & bits == wanted
            || (first <= wanted && wanted <= last)
    }
}
