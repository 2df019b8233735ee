import DeviceModel
import LinuxSystem
import VFIOABI

/// What becomes of the function's interrupts when a user sets them up (kernel.md D.7, D.8): eventfds go to the server,
/// which signals them. All of it with the lock held.
extension RemotePCI {
    var interrupts: PCIInterrupts { remote.interrupts }
    var vectorLimit: Int? { nil }

    /// What a server tells, as far as there can be so many.
    func interruptCount(_ index: PCIInterrupt) -> Int {
        let count = Int(remote.description.interrupts[Int(index.rawValue)].count)
        switch index {
        case .intx:
            return view.value(at: PCIConfiguration.Register.interruptPin, width: 1) != 0 ? min(count, 1) : 0
        case .msi: return view.msi != 0 ? min(count, 32) : 0
        case .msix: return view.msix != 0 ? min(count, 2048) : 0
        case .err: return isExpress ? min(count, 1) : 0
        case .req: return min(count, 1)
        default: return 0
        }
    }

    var hasDynamicVectors: Bool {
        !remote.description.interrupts[Int(PCIInterrupt.msix.rawValue)].flags.contains(.noResize)
    }

    func disableInterrupts() throws(Errno) {
        let index: PCIInterrupt
        switch interrupts.kind {
        case .none: return
        case .line: index = .intx
        case .msi: index = .msi
        case .msix: index = .msix
        }
        try remote.setUp { (client) throws(ClientFailure) in
            try client.setInterrupts(
                IRQSet(flags: [.dataNone, .actionTrigger], index: index.rawValue))
        } _: { device in
            device.interrupts.disable()
            device.unmask = nil
        }
    }

    // MARK: the line

    /// The hardware's own bit keeps the line quiet, so that nothing of what comes meanwhile is signalled; and its end
    /// is an unmasking, as on Linux.
    func setLineDisabled(_ disabled: Bool) throws(Errno) {
        guard disabled != interrupts.isLineDisabled else { return }
        if !disabled && interrupts.kind == .line { try sendLineMask(false) }
        try keepLineQuiet(disabled)
        interrupts.setLineDisabled(disabled)
    }

    func silenceLine() throws(Errno) -> Bool {
        guard interrupts.kind == .line, !interrupts.isLineDisabled else { return false }
        try keepLineQuiet(true)
        return true
    }

    func releaseLine() throws(Errno) {
        if !interrupts.isLineDisabled { try keepLineQuiet(false) }
    }

    private func keepLineQuiet(_ quiet: Bool) throws(Errno) {
        let bit = PCIConfiguration.Command.interruptDisable
        try setHardwareCommand(set: quiet ? bit : 0, clear: quiet ? 0 : bit)
    }

    func enableLine(_ trigger: PCITrigger?) throws(Errno) {
        try remote.setUp { (client) throws(ClientFailure) in
            try client.setEvents([trigger], .actionTrigger, .intx, from: 0)
        } _: { device in
            device.interrupts.enableLine(trigger)
        }
    }

    func setLineMask(_ masked: Bool) throws(Errno) {
        // While it is disabled it is masked, and unmasked after that.
        if !interrupts.isLineDisabled { try sendLineMask(masked) }
    }

    private func sendLineMask(_ masked: Bool) throws(Errno) {
        try remote.setUp { (client) throws(ClientFailure) in
            try client.setInterrupts(
                IRQSet(
                    flags: [.dataNone, masked ? .actionMask : .actionUnmask],
                    index: PCIInterrupt.intx.rawValue, count: 1))
        } _: { _ in
        }
    }

    func setUnmaskEvent(_ number: Int32) throws(Errno) {
        var trigger: PCITrigger?
        if number >= 0 {
            trigger = try PCITrigger(number)
            // The server has a descriptor of its own: whether the user has closed theirs can't be seen.
            guard remote.unmaskEvent == nil else { throw .busy }
        }
        try remote.setUp { [trigger] (client) throws(ClientFailure) in
            try client.setEvents([trigger], .actionUnmask, .intx, from: 0)
        } _: { [trigger] device in
            device.unmask = trigger
        }
    }

    // MARK: messages

    func enableMessages(_ kind: PCIInterrupts.Kind, count: Int, room: Int) throws(Errno) {
        let index: PCIInterrupt = kind == .msi ? .msi : .msix
        try remote.setUp { (client) throws(ClientFailure) in
            // Vectors without eventfds at first.
            try client.setEvents(
                [PCITrigger?](repeating: nil, count: count), .actionTrigger, index, from: 0)
        } _: { device in
            device.interrupts.enableMessages(kind, count: room)
        }
    }

    func setTriggers(
        _ triggers: [PCITrigger?], from start: Int, _ kind: PCIInterrupts.Kind
    ) throws(Errno) {
        let index: PCIInterrupt = kind == .msi ? .msi : .msix
        try remote.setUp { (client) throws(ClientFailure) in
            try client.setEvents(triggers, .actionTrigger, index, from: start)
        } _: { device in
            for (position, trigger) in triggers.enumerated() {
                device.interrupts.setTrigger(trigger, vector: start + position)
            }
        }
    }

    // MARK: errors and requests

    func setTrigger(_ trigger: PCITrigger?, for notice: PCIInterrupts.Notice) throws(Errno) {
        try remote.setUp { (client) throws(ClientFailure) in
            try client.setEvents([trigger], .actionTrigger, notice == .error ? .err : .req, from: 0)
        } _: { device in
            device.interrupts.setTrigger(trigger, for: notice)
            device.noteErrorEvent()
        }
    }
}

extension Client {
    /// Sends eventfds, in as many commands as the server's limits ask for. A command has one for each of its
    /// interrupts, or none for all of them.
    func setEvents(
        _ events: [PCITrigger?], _ action: IRQSetFlags, _ index: PCIInterrupt, from start: Int
    ) throws(ClientFailure) {
        var done = 0
        while done < events.count {
            let isNone = events[done] == nil
            var numbers: [Int32] = []
            var end = done
            while end < events.count, (events[end] == nil) == isNone,
                isNone || numbers.count < mostDescriptors
            {
                if let event = events[end] { numbers.append(event.number) }
                end += 1
            }
            try setInterrupts(
                IRQSet(
                    flags: [.dataEventFD, action], index: index.rawValue, start: UInt32(start + done),
                    count: UInt32(end - done)),
                descriptors: numbers)
            done = end
        }
    }

    /// Sets everything up in a server that has just come.
    func restore(_ interrupts: PCIInterrupts, unmask: PCITrigger?) throws(ClientFailure) {
        switch interrupts.kind {
        case .none: break
        case .line: try setEvents([interrupts.lineEvent], .actionTrigger, .intx, from: 0)
        case .msi: try setEvents(interrupts.vectorEvents, .actionTrigger, .msi, from: 0)
        case .msix: try setEvents(interrupts.vectorEvents, .actionTrigger, .msix, from: 0)
        }
        if let unmask { try setEvents([unmask], .actionUnmask, .intx, from: 0) }
        if let event = interrupts.event(of: .error) { try setEvents([event], .actionTrigger, .err, from: 0) }
        if let event = interrupts.event(of: .request) {
            try setEvents([event], .actionTrigger, .req, from: 0)
        }
    }
}
