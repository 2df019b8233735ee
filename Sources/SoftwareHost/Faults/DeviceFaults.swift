import DeviceModel
import IOVASpace
import LinuxSystem
import Synchronization
import VFIOABI
import VFIOHost

/// What goes wrong with one device: between the device on one side, memory, interrupts and users on the other.
///
/// One object for each device of the machine, whoever drives it. Called from within accesses and from devices'
/// own threads; takes only innermost locks.
final class DeviceFaults: @unchecked Sendable {
    // SAFETY: `injector` guards itself; the rest is atomic or guarded by `lineLock`.

    /// Whether the device answers.
    enum Presence: UInt8 {
        case present
        /// The link is dead.
        case silent
        /// It was pulled out.
        case vanished
    }

    let injector: FaultInjector
    let id: DeviceID?
    /// What it does is counted here.
    let counters: DeviceCounters
    /// What is frozen together with the device, on a machine that isolates errors.
    let endpoint: PartitionableEndpoint?
    private let state = Atomic<UInt8>(Presence.present.rawValue)
    /// The rule that made it silent; `UInt64.max` for none.
    private let culprit = Atomic<UInt64>(.max)
    /// Counts closings: what was raised before one isn't delivered after it.
    private let generation = Atomic<UInt64>(0)
    private let lineLock = Lock()
    /// Counts changes of the line: a delayed assertion is void once the line has changed again.
    private var lineChanges: UInt64 = 0

    /// - Parameter id: nil for a device that no rule can name.
    init(
        _ injector: FaultInjector = FaultInjector(), _ id: DeviceID? = nil,
        _ endpoint: PartitionableEndpoint? = nil, _ counters: DeviceCounters? = nil
    ) {
        self.injector = injector
        self.counters = counters ?? DeviceCounters()
        self.id = id
        self.endpoint = endpoint
    }

    var presence: Presence { Presence(rawValue: state.load(ordering: .acquiring)) ?? .present }

    /// Whether the device doesn't answer.
    var isAbsent: Bool { state.load(ordering: .acquiring) != Presence.present.rawValue }

    /// Whether no access to its registers reaches the device: it is absent, or frozen.
    var isSilent: Bool { isAbsent || endpoint?.isIOFrozen == true }

    /// Whether nothing that the device sends goes through: neither DMA nor messages.
    private var isMute: Bool { isAbsent || endpoint?.isDMAFrozen == true }

    /// The device stops to answer.
    /// - Returns: whether that is news.
    func disappear(_ fault: DeviceFault, by token: FaultToken) -> Bool {
        injector.keepWatchingForAbsence()
        switch fault {
        case .vanished:
            return state.exchange(Presence.vanished.rawValue, ordering: .acquiringAndReleasing)
                != Presence.vanished.rawValue
        case .silent:
            let (done, _) = state.compareExchange(
                expected: Presence.present.rawValue, desired: Presence.silent.rawValue,
                ordering: .acquiringAndReleasing)
            if done { culprit.store(token.number, ordering: .releasing) }
            return done
        }
    }

    /// A rule was withdrawn: a device that is silent because of it answers again.
    /// - Returns: whether it does so from now on.
    func reappear(without token: FaultToken) -> Bool {
        guard culprit.load(ordering: .acquiring) == token.number else { return false }
        let (done, _) = state.compareExchange(
            expected: Presence.silent.rawValue, desired: Presence.present.rawValue,
            ordering: .acquiringAndReleasing)
        if done { culprit.store(.max, ordering: .releasing) }
        return done
    }

    /// The device is closed: interrupts that are on their way get lost.
    func forgetDelayed() { generation.add(1, ordering: .acquiringAndReleasing) }

    // MARK: DMA

    /// Whether anything has to be looked at before an access to memory.
    @inline(__always)
    var watchesDMA: Bool { injector.isWatching([.dma, .absence]) }

    /// What happens to an access to memory.
    enum DMAOutcome {
        case goesOn
        case dropped
        /// Bits are inverted.
        case flipped(byte: Int, bits: UInt8)
    }

    /// Looks at an access to memory.
    /// - Throws: ``DMAFault`` for one that is refused.
    @inline(never)
    func look(at iova: IOVA, byteCount: Int, _ access: DMAAccess) throws(DMAFault) -> DMAOutcome {
        if isMute { throw DMAFault(iova: iova, access: access, reason: .notAttached) }
        if let endpoint, endpoint.isHit(by: .dma(access), at: iova.rawValue, byteCount: byteCount) {
            endpoint.stopFromInside()
            throw DMAFault(iova: iova, access: access, reason: .notAttached)
        }
        var event = FaultEvent(kind: .dma)
        event.device = id
        event.isWrite = access == .write
        event.size = UInt64(max(0, byteCount))
        guard let hit = injector.fire(event) else { return .goesOn }
        switch hit.fault {
        case .dmaWrite(_, .dropped): return .dropped
        case .dmaWrite(_, .flipped(let byte, let bits)):
            let byte = byte ?? Int(hit.draw >> 8) % max(1, byteCount)
            return .flipped(byte: byte, bits: bits ?? 1 << UInt8(hit.draw & 7))
        default: throw DMAFault(iova: iova, access: access, reason: .notMapped)
        }
    }

    /// The IOMMU refused an access: where errors are isolated, that is one.
    func stop(for fault: DMAFault) -> DMAFault {
        if let endpoint, fault.reason != .notAttached, fault.reason != .notLendable {
            endpoint.stopFromInside()
        }
        return fault
    }

    // MARK: interrupts

    /// Whether anything has to be looked at before an interrupt.
    @inline(__always)
    var watchesInterrupts: Bool { injector.isWatching([.interrupt, .absence]) }

    /// The device sends a message.
    @inline(never)
    func deliver(_ message: MessageKind, vector: Int, to interrupts: PCIInterrupts) {
        switch fate(vector) {
        case .dropped?: return
        case .delayed(let milliseconds)?:
            let late = LateMessage(self, interrupts, message, vector)
            if injector.delays.add(late, after: milliseconds) { return }
        case nil: break
        }
        interrupts.deliver(message, vector: vector)
    }

    /// The device changes its line.
    @inline(never)
    func setLine(_ high: Bool, of interrupts: PCIInterrupts) {
        let fate = high ? fate(0) : nil
        lineLock.withLock {
            lineChanges += 1
            switch fate {
            case .dropped?: return
            case .delayed(let milliseconds)?:
                let late = LateLine(self, interrupts, lineChanges)
                if injector.delays.add(late, after: milliseconds) { return }
            case nil: break
            }
            interrupts.setLine(high)
        }
    }

    private func fate(_ vector: Int) -> InterruptFault? {
        if isMute { return .dropped }
        var event = FaultEvent(kind: .interrupt)
        event.device = id
        event.vector = vector
        guard case .interrupt(_, let fault)? = injector.fire(event)?.fault else { return nil }
        return fault
    }

    private var isDeliverable: Bool { !isMute }

    /// A message that comes later.
    private final class LateMessage: DelayLine.Action {
        let faults: DeviceFaults
        let interrupts: PCIInterrupts
        let message: MessageKind
        let vector: Int
        let generation: UInt64

        init(_ faults: DeviceFaults, _ interrupts: PCIInterrupts, _ message: MessageKind, _ vector: Int) {
            self.faults = faults
            self.interrupts = interrupts
            self.message = message
            self.vector = vector
            generation = faults.generation.load(ordering: .acquiring)
        }

        override func run() {
            guard faults.isDeliverable, faults.generation.load(ordering: .acquiring) == generation else {
                return
            }
            interrupts.deliver(message, vector: vector)
        }
    }

    /// An assertion of the line that comes later.
    private final class LateLine: DelayLine.Action {
        let faults: DeviceFaults
        let interrupts: PCIInterrupts
        let change: UInt64

        init(_ faults: DeviceFaults, _ interrupts: PCIInterrupts, _ change: UInt64) {
            self.faults = faults
            self.interrupts = interrupts
            self.change = change
        }

        // A level outlives a closing, so the generation doesn't matter.
        override func run() {
            faults.lineLock.withLock {
                if faults.isDeliverable && faults.lineChanges == change { interrupts.setLine(true) }
            }
        }
    }
}
