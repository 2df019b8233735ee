import LinuxSystem
import VFIOABI

/// What becomes of a mediated device's interrupt when its user sets it up: as Linux's sample serial port has it
/// (kernel.md G.7).
///
/// One short lock guards it, the innermost one: nothing is called while it is held but write(2) on an eventfd.
package final class MediatedInterrupts: @unchecked Sendable {
    // SAFETY: all state is guarded by `lock`.
    private let lock = Lock()
    private var active: Kind?
    private var trigger: PCITrigger?
    private var isLineMasked = false
    private var count: UInt64 = 0

    /// How the user takes the interrupt.
    private enum Kind {
        case line, message
    }

    init() {}

    /// How many times an eventfd was signalled.
    package var deliveryCount: UInt64 { lock.withLock { count } }

    /// The device raises its interrupt.
    func raise() { lock.withLock { signal() } }

    private func signal() {
        guard let active, let trigger else { return }
        if active == .line {
            if isLineMasked { return }
            isLineMasked = true
        }
        trigger.signal()
        count += 1
    }

    /// The last user has gone.
    package func clear() { lock.withLock { disable() } }

    private func disable() {
        active = nil
        trigger = nil
        isLineMasked = false
    }

    /// `VFIO_DEVICE_SET_IRQS`, after the checks that all drivers share.
    package func carryOut(_ request: PCIInterruptRequest) throws(Errno) {
        let kind: Kind
        switch request.index {
        case .intx: kind = .line
        case .msi: kind = .message
        default: throw .noSuchRequest
        }
        lock.lock()
        defer { lock.unlock() }
        switch request.flags.intersection(.actionTypeMask) {
        case .actionMask: try setMask(true, request, kind)
        case .actionUnmask: try setMask(false, request, kind)
        case .actionTrigger: try setTrigger(request, kind)
        // Linux's sample drivers overlook that none or several are wrong.
        default: break
        }
    }

    private func setMask(_ masked: Bool, _ request: PCIInterruptRequest, _ kind: Kind) throws(Errno) {
        guard kind == .line else { throw .noSuchRequest }
        guard active == .line, request.start == 0, request.count == 1 else { throw .invalid }
        guard request.data != .dataEventFD else { throw .noSuchRequest }
        // What was raised while it was masked isn't raised again.
        if request.isSet(0) { isLineMasked = masked }
    }

    private func setTrigger(_ request: PCIInterruptRequest, _ kind: Kind) throws(Errno) {
        if active == kind && request.count == 0 && request.data == .dataNone { return disable() }
        guard active == kind || active == nil, request.start == 0, request.count == 1 else { throw .invalid }
        if request.data == .dataEventFD {
            disable()
            let number = request.descriptors[0]
            guard number >= 0 else { return }
            trigger = try PCITrigger(number)
            active = kind
            return
        }
        guard active == kind else { throw .invalid }
        if request.isSet(0) { signal() }
    }
}
