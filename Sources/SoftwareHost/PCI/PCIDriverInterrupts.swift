import DeviceModel
import LinuxSystem
import VFIOABI

/// What becomes of the function's interrupts when a user sets them up (kernel.md D.7, D.8). All of it with the device
/// lock held.
extension PCIBusDriver {
    func interruptCount(_ index: PCIInterrupt) -> Int {
        switch index {
        case .intx:
            return view.value(at: PCIConfiguration.Register.interruptPin, width: 1) != 0 ? 1 : 0
        case .msi:
            guard view.msi != 0, function.msi != nil else { return 0 }
            return 1 << Int((configuration.value(at: view.msi + 2, width: 2) >> 1) & 7)
        case .msix: return function.msix?.vectorCount ?? 0
        case .err: return isExpress ? 1 : 0
        case .req: return 1
        default: return 0
        }
    }

    func disableInterrupts() {
        unmaskWatcher = nil
        let kind = interrupts.kind
        interrupts.disable()
        switch kind {
        case .msi: function.setMSI(enabled: false, count: 1)
        case .msix:
            for vector in 0..<(function.msix?.vectorCount ?? 0) { function.msix?.setMask(vector, true) }
            function.setMSIX(enabled: false)
        case .line, .none: break
        }
    }

    // MARK: the line

    func setLineDisabled(_ disabled: Bool) { interrupts.setLineDisabled(disabled) }
    func silenceLine() -> Bool { interrupts.maskLine() }
    func releaseLine() { interrupts.unmaskLine() }
    func enableLine(_ trigger: PCITrigger?) { interrupts.enableLine(trigger) }

    func setLineMask(_ masked: Bool) {
        if masked { interrupts.maskLine() } else { interrupts.unmaskLine() }
    }

    func setUnmaskEvent(_ number: Int32) throws(Errno) {
        if number < 0 {
            unmaskWatcher = nil
            return
        }
        _ = try PCITrigger(number)  // EBADF and EINVAL come before EBUSY
        // One whose eventfd has been closed makes room.
        guard unmaskWatcher?.isAttached != true else { throw .busy }
        unmaskWatcher = try EventWatcher(number) { [interrupts] in interrupts.unmaskLine() }
    }

    func setTrigger(_ trigger: PCITrigger?, for notice: PCIInterrupts.Notice) {
        interrupts.setTrigger(trigger, for: notice)
    }

    // MARK: messages

    func enableMessages(_ kind: PCIInterrupts.Kind, count: Int, room: Int) {
        interrupts.enableMessages(kind, count: room)
        if kind == .msi {
            setMSIMasks()
            function.setMSI(enabled: true, count: count)
        } else {
            function.setMSIX(enabled: true)
        }
    }

    /// A vector is masked in the hardware exactly while it has no eventfd: what is raised meanwhile waits as
    /// pending.
    func setTriggers(_ triggers: [PCITrigger?], from start: Int, _ kind: PCIInterrupts.Kind) {
        for (position, trigger) in triggers.enumerated() {
            let vector = start + position
            // Also one that takes another's place, so that nobody gets what the other was meant to have.
            setVectorMask(vector, true, kind)
            interrupts.setTrigger(trigger, vector: vector)
            if trigger != nil { setVectorMask(vector, false, kind) }
        }
    }

    private func setVectorMask(_ vector: Int, _ masked: Bool, _ kind: PCIInterrupts.Kind) {
        if kind == .msix {
            function.msix?.setMask(vector, masked)
            return
        }
        guard let at = msiMaskOffset, vector < 32 else { return }
        let bit = UInt32(1) << UInt32(vector)
        let masks = configuration.value(at: at, width: 4)
        configuration.write(masked ? masks | bit : masks & ~bit, at: at, width: 4)
    }

    private var msiMaskOffset: Int? {
        guard view.msi != 0 else { return nil }
        let control = configuration.value(at: view.msi + 2, width: 2)
        guard control & 0x100 != 0 else { return nil }
        return view.msi + (control & 0x80 != 0 ? 0x10 : 0x0c)
    }

    private func setMSIMasks() {
        guard let at = msiMaskOffset else { return }
        var masks = UInt32.max
        for vector in 0..<min(32, interrupts.vectorCount) where interrupts.hasTrigger(vector) {
            masks &= ~(UInt32(1) << UInt32(vector))
        }
        configuration.write(masks, at: at, width: 4)
    }

    /// After a reset: the hardware gets its messages and masks again.
    func restoreMessages() {
        switch interrupts.kind {
        case .msi:
            setMSIMasks()
            function.setMSI(enabled: true, count: interrupts.vectorCount)
        case .msix:
            for vector in 0..<interrupts.vectorCount {
                function.msix?.setMask(vector, !interrupts.hasTrigger(vector))
            }
            function.setMSIX(enabled: true)
        case .line, .none: break
        }
    }
}
