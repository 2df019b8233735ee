import LinuxSystem
import VFIOABI

/// `VFIO_DEVICE_GET_IRQ_INFO` and `VFIO_DEVICE_SET_IRQS` (kernel.md A.7, D.7, D.8).
extension PCIPassthrough {
    /// `VFIO_DEVICE_GET_IRQ_INFO`. Takes the lock.
    package func describeInterrupt(_ argument: HostAddress) throws(Errno) {
        var info = try UserMemory.load(IRQInfo(), from: argument)
        guard info.argsz >= UInt32(IRQInfo.minimumSize), info.index < PCIInterrupt.count else {
            throw .invalid
        }
        let index = PCIInterrupt(rawValue: info.index)
        if index == .err && !isExpress { throw .invalid }
        info.count = lock.withLock { UInt32(clamping: interruptCount(index)) }
        switch index {
        case .intx: info.flags = [.eventFD, .maskable, .automasked]
        case .msix where hasDynamicVectors && info.count > 0: info.flags = .eventFD
        default: info.flags = [.eventFD, .noResize]
        }
        try UserMemory.store(info, to: argument)
    }

    /// `VFIO_DEVICE_SET_IRQS`. Takes the lock.
    /// - Returns: 0; or, if the platform has fewer vectors than asked for, how many it has.
    package func setInterrupts(_ argument: HostAddress) throws(Errno) -> Int32 {
        let request = try PCIInterruptRequest(from: argument) { index in
            lock.withLock { interruptCount(index) }
        }
        lock.lock()
        defer { lock.unlock() }
        return try carryOut(request)
    }

    private func carryOut(_ request: PCIInterruptRequest) throws(Errno) -> Int32 {
        let action = request.flags.intersection(.actionTypeMask)
        switch (request.index, action) {
        case (.intx, .actionMask): try setLineMask(request, masks: true)
        case (.intx, .actionUnmask): try setLineMask(request, masks: false)
        case (.intx, .actionTrigger): try setLineTrigger(request)
        case (.msi, .actionTrigger): return try setMessageTriggers(request, .msi)
        case (.msix, .actionTrigger): return try setMessageTriggers(request, .msix)
        case (.err, .actionTrigger): try setNotice(request, .error)
        case (.req, .actionTrigger): try setNotice(request, .request)
        default: throw .noSuchRequest
        }
        return 0
    }

    // MARK: the line

    private func setLineMask(_ request: PCIInterruptRequest, masks: Bool) throws(Errno) {
        guard interrupts.kind == .line, request.start == 0, request.count == 1 else { throw .invalid }
        if request.data == .dataEventFD {
            guard !masks else { throw .noSuchRequest }
            try setUnmaskEvent(request.descriptors[0])
        } else if request.isSet(0) {
            try setLineMask(masks)
        }
    }

    private func setLineTrigger(_ request: PCIInterruptRequest) throws(Errno) {
        let kind = interrupts.kind
        if kind == .line && request.count == 0 && request.data == .dataNone {
            try disableInterrupts()
            return
        }
        guard kind == .line || kind == .none, request.start == 0, request.count == 1 else { throw .invalid }
        if request.data == .dataEventFD {
            // Without an eventfd the line is in use all the same, as on Linux.
            let number = request.descriptors[0]
            try enableLine(number < 0 ? nil : try PCITrigger(number))
            return
        }
        guard kind == .line else { throw .invalid }
        if request.isSet(0) { interrupts.loopLine() }
    }

    // MARK: errors and requests

    private func setNotice(
        _ request: PCIInterruptRequest, _ notice: PCIInterrupts.Notice
    ) throws(Errno) {
        switch request.data {
        case .dataNone:
            guard interrupts.hasTrigger(notice) else { throw .invalid }
            if request.count > 0 {
                interrupts.signal(notice)
            } else {
                try setTrigger(nil, for: notice)
            }
        case .dataBool:
            guard request.count > 0 else { throw .invalid }
            if request.isSet(0) { interrupts.signal(notice) }
        default:
            guard request.count > 0, request.descriptors[0] >= -1 else { throw .invalid }
            let number = request.descriptors[0]
            try setTrigger(number < 0 ? nil : try PCITrigger(number), for: notice)
        }
    }

    // MARK: messages

    private func setMessageTriggers(
        _ request: PCIInterruptRequest, _ kind: PCIInterrupts.Kind
    ) throws(Errno) -> Int32 {
        let active = interrupts.kind
        if active == kind && request.count == 0 && request.data == .dataNone {
            try disableInterrupts()
            return 0
        }
        guard active == kind || active == .none else { throw .invalid }
        guard request.data == .dataEventFD else {
            guard active == kind else { throw .invalid }
            for position in 0..<request.count where request.isSet(position) {
                interrupts.loop(vector: request.start + position)
            }
            return 0
        }
        if active == kind {
            try setVectors(request, kind)
            return 0
        }
        let count = request.start + request.count
        guard count > 0 else { throw .outOfRange }
        // Messages are set up in D0 only; what is in use already goes on in other states.
        guard powerState == 0 else { throw .invalid }
        if let vectorLimit, count > vectorLimit {
            // The answer says how many there are, and nothing is enabled.
            guard vectorLimit > 0 else { throw .noSpace }
            return Int32(clamping: vectorLimit)
        }
        // With dynamic vectors there is room for all from the start; else for those asked for.
        let room = kind == .msix && hasDynamicVectors ? interruptCount(.msix) : count
        if kind == .msi { view.messageLimit = UInt8(Self.order(of: count)) }
        try enableMessages(kind, count: count, room: room)
        do throws(Errno) {
            try setVectors(request, kind)
        } catch {
            try disableInterrupts()
            throw error
        }
        return 0
    }

    /// Gives the vectors of a request their eventfds, or takes them away. After a failure all vectors from the
    /// request's first to the one that failed are without.
    private func setVectors(_ request: PCIInterruptRequest, _ kind: PCIInterrupts.Kind) throws(Errno) {
        var triggers: [PCITrigger?] = []
        do throws(Errno) {
            for number in request.descriptors {
                if number < 0 {
                    triggers.append(nil)
                    continue
                }
                guard request.start + triggers.count < interrupts.vectorCount else { throw .invalid }
                triggers.append(try PCITrigger(number))
            }
        } catch {
            let undone = [PCITrigger?](repeating: nil, count: triggers.count + 1)
            try setTriggers(undone, from: request.start, kind)
            throw error
        }
        try setTriggers(triggers, from: request.start, kind)
    }

    /// The least power of two, as its exponent, that isn't below `count`.
    private static func order(of count: Int) -> Int {
        count <= 1 ? 0 : Int.bitWidth - (count - 1).leadingZeroBitCount
    }
}
