import DeviceModel
import LinuxSystem

/// What becomes of the interrupt lines of a device that isn't a PCI function: who is signalled, and which are masked
/// (kernel.md G.1).
///
/// A level-triggered line is masked when it signals, and signals again if it is still asserted when it is unmasked.
/// Its mask outlives its eventfd: that is replaced or taken away, and the line stays masked. An edge-triggered line
/// can't be masked, and an edge that nobody listens to is lost.
///
/// One innermost lock guards it: nothing is called while it is held but write(2) on an eventfd.
final class LineInterrupts: InterruptLines, @unchecked Sendable {
    // SAFETY: `lines` is guarded by `lock`, all else is constant.
    private struct Line {
        let trigger: LineTrigger
        var isAsserted = false
        var isMasked = false
        var event: PCITrigger?
    }

    private let lock = Lock()
    private var lines: [Line]
    private let counters: DeviceCounters
    /// How many there are.
    let count: Int

    init(_ triggers: [LineTrigger], _ counters: DeviceCounters) {
        self.counters = counters
        lines = triggers.map { Line(trigger: $0) }
        count = triggers.count
    }

    // MARK: the device

    func setLine(_ index: Int, _ asserted: Bool) {
        lock.withLock {
            guard lines.indices.contains(index) else { return }
            if asserted && !lines[index].isAsserted { counters.add(.interrupts) }
            lines[index].isAsserted = asserted
            fire(index)
        }
    }

    func pulseLine(_ index: Int) {
        counters.add(.interrupts)
        lock.withLock {
            if lines.indices.contains(index) { lines[index].event?.signal() }
        }
    }

    /// The lock is held.
    private func fire(_ index: Int) {
        let line = lines[index]
        guard line.trigger == .level, line.isAsserted, !line.isMasked, let event = line.event else { return }
        lines[index].isMasked = true
        event.signal()
    }

    // MARK: the user. Indices exist.

    /// Whether a line can be masked, and is by each of its interrupts.
    func isMaskable(_ index: Int) -> Bool { lock.withLock { lines[index].trigger == .level } }

    /// Gives a line its eventfd, or takes it away: then the line is off.
    func setEvent(_ event: PCITrigger?, _ index: Int) {
        lock.withLock {
            lines[index].event = event
            fire(index)
        }
    }

    /// Does as if the device had interrupted: unlike on PCI, with all that follows from that.
    func loop(_ index: Int) {
        lock.withLock {
            if lines[index].trigger == .level {
                guard !lines[index].isMasked else { return }
                lines[index].isMasked = true
            }
            lines[index].event?.signal()
        }
    }

    func mask(_ index: Int) { lock.withLock { lines[index].isMasked = true } }

    func unmask(_ index: Int) {
        lock.withLock {
            guard lines[index].isMasked else { return }
            lines[index].isMasked = false
            fire(index)
        }
    }

    /// Everything off and unmasked: the last handle is gone, or the first is about to come. The levels are the
    /// device's and stay.
    func clear() {
        lock.withLock {
            for index in lines.indices {
                lines[index].event = nil
                lines[index].isMasked = false
            }
        }
    }
}
