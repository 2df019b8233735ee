import DeviceModel
import LinuxSystem
import VFIOABI

/// Describing and setting up interrupts.
extension ServedDevice {
    /// How many interrupts an index has.
    private func interruptCount(_ index: PCIInterrupt) -> Int {
        switch index {
        case .intx: configuration.value(at: PCIConfiguration.Register.interruptPin, width: 1) != 0 ? 1 : 0
        case .msi: function.msi?.vectorCount ?? 0
        case .msix: function.msix?.vectorCount ?? 0
        case .err, .req: 1
        default: 0
        }
    }

    /// `VFIO_USER_DEVICE_GET_IRQ_INFO`. Vectors may be added while others are in use, so NORESIZE is clear: with
    /// it QEMU would tear all of them down in between.
    func describeInterrupt(_ request: IRQInfo, _ reply: inout MessageWriter) throws(Errno) {
        guard request.index < PCIInterrupt.count else { throw .invalid }
        let index = PCIInterrupt(rawValue: request.index)
        reply.append(
            IRQInfo(
                flags: index == .intx ? [.eventFD, .maskable, .automasked] : .eventFD, index: request.index,
                count: UInt32(interruptCount(index))))
    }

    /// A checked SET_IRQS.
    private struct InterruptRequest {
        let data: IRQSetFlags
        let start: Int
        let count: Int

        /// Whether the request is about an interrupt: without data about each, with Booleans where they say so.
        /// - Parameter booleans: with `dataBool` one for each of `count`.
        func isSet(_ index: Int, _ booleans: RawSpan) -> Bool {
            data == .dataNone || data == .dataBool && booleans.loadByte(index) != 0
        }
    }

    /// `VFIO_USER_DEVICE_SET_IRQS`.
    ///
    /// Eventfds come as descriptors, one for each of `count` vectors, or none: then the vectors lose theirs.
    /// - Throws: `EINVAL` for flags, ranges and numbers of descriptors that make no sense, and for descriptors that
    ///   aren't eventfds.
    func setInterrupts(
        _ request: IRQSet, _ payload: RawSpan, _ descriptors: inout PassedDescriptors
    ) throws(Errno) {
        let known = IRQSetFlags.dataTypeMask.union(.actionTypeMask)
        let action = request.flags.intersection(.actionTypeMask)
        let data = request.flags.intersection(.dataTypeMask)
        guard request.index < PCIInterrupt.count, request.flags.isSubset(of: known),
            request.flags.dataElementSize != nil
        else { throw .invalid }
        let index = PCIInterrupt(rawValue: request.index)
        let most = UInt64(interruptCount(index))
        guard UInt64(request.start) < most, UInt64(request.start) + UInt64(request.count) <= most else {
            throw .invalid
        }
        if data == .dataEventFD {
            guard descriptors.count == 0 || descriptors.count == Int(request.count) else { throw .invalid }
        }
        let disables = action == .actionTrigger && data == .dataNone && request.count == 0
        guard request.count > 0 || disables else { throw .invalid }
        let checked = InterruptRequest(
            data: data, start: Int(request.start), count: Int(request.count))
        switch (index, action) {
        case (.intx, .actionMask), (.intx, .actionUnmask):
            try setLineMask(checked, masks: action == .actionMask, payload, &descriptors)
        case (.intx, .actionTrigger): try setLineTrigger(checked, payload, &descriptors)
        case (.msi, .actionTrigger): try setMessages(checked, .msi, payload, &descriptors)
        case (.msix, .actionTrigger): try setMessages(checked, .msix, payload, &descriptors)
        case (.err, .actionTrigger): try setNotice(checked, .error, payload, &descriptors)
        case (.req, .actionTrigger): try setNotice(checked, .request, payload, &descriptors)
        default: throw .invalid
        }
    }

    private func takeTrigger(_ descriptors: inout PassedDescriptors) throws(Errno) -> PCITrigger? {
        guard let descriptor = descriptors.takeFirst() else { return nil }
        return try PCITrigger(descriptor.number)
    }

    /// Ends the kind of interrupt in use, in the device and here.
    func disableInterrupts() {
        unmaskSource = nil
        let kind = slot.interrupts.kind
        slot.interrupts.disable()
        switch kind {
        case .msi: function.setMSI(enabled: false, count: 1)
        case .msix:
            for vector in 0..<(function.msix?.vectorCount ?? 0) { function.msix?.setMask(vector, true) }
            function.setMSIX(enabled: false)
        case .line, .none: break
        }
    }

    /// After a reset of the device: its messages are enabled again if they are in use.
    func restoreMessages() {
        let interrupts = slot.interrupts
        switch interrupts.kind {
        case .msi:
            let used = (0..<interrupts.vectorCount).last { interrupts.hasTrigger($0) }
            function.setMSI(enabled: true, count: (used ?? 0) + 1)
        case .msix:
            for vector in 0..<interrupts.vectorCount {
                function.msix?.setMask(vector, !interrupts.hasTrigger(vector))
            }
            function.setMSIX(enabled: true)
        case .line, .none: break
        }
    }

    // MARK: the line

    private func setLineMask(
        _ request: InterruptRequest, masks: Bool, _ payload: RawSpan,
        _ descriptors: inout PassedDescriptors
    ) throws(Errno) {
        guard slot.interrupts.kind == .line else { throw .invalid }
        if request.data == .dataEventFD {
            guard !masks else { throw .invalid }
            unmaskSource = nil
            if let descriptor = descriptors.takeFirst() {
                unmaskSource = try UnmaskSource(descriptor, slot.interrupts)
            }
        } else if request.isSet(0, payload) {
            if masks { slot.interrupts.maskLine() } else { slot.interrupts.unmaskLine() }
        }
    }

    private func setLineTrigger(
        _ request: InterruptRequest, _ payload: RawSpan, _ descriptors: inout PassedDescriptors
    ) throws(Errno) {
        if request.count == 0 {
            if slot.interrupts.kind == .line { disableInterrupts() }
        } else if request.data == .dataEventFD {
            let trigger = try takeTrigger(&descriptors)
            if slot.interrupts.kind != .line { disableInterrupts() }
            slot.interrupts.enableLine(trigger)
        } else {
            guard slot.interrupts.kind == .line else { throw .invalid }
            if request.isSet(0, payload) { slot.interrupts.loopLine() }
        }
    }

    // MARK: messages

    private func setMessages(
        _ request: InterruptRequest, _ kind: PCIInterrupts.Kind,
        _ payload: RawSpan, _ descriptors: inout PassedDescriptors
    ) throws(Errno) {
        let interrupts = slot.interrupts
        if request.count == 0 {
            if interrupts.kind == kind { disableInterrupts() }
            return
        }
        guard request.data == .dataEventFD else {
            guard interrupts.kind == kind else { throw .invalid }
            for index in 0..<request.count where request.isSet(index, payload) {
                interrupts.loop(vector: request.start + index)
            }
            return
        }
        // All or nothing: a descriptor that isn't an eventfd changes no vector.
        var triggers: [PCITrigger?] = []
        for _ in 0..<request.count { triggers.append(try takeTrigger(&descriptors)) }
        if interrupts.kind != kind {
            disableInterrupts()
            let count = kind == .msi ? function.msi?.vectorCount : function.msix?.vectorCount
            interrupts.enableMessages(kind, count: count ?? 0)
        }
        for index in 0..<request.count {
            let vector = request.start + index
            let trigger = triggers[index]
            // A vector of MSI-X is masked in the device exactly while it has no eventfd: what is raised meanwhile
            // waits as pending. The table is the client's to emulate, so nobody else masks it here.
            if kind == .msix && trigger == nil { function.msix?.setMask(vector, true) }
            interrupts.setTrigger(trigger, vector: vector)
            if kind == .msix && trigger != nil { function.msix?.setMask(vector, false) }
        }
        if kind == .msi {
            enableMSI(atLeast: request.start + request.count)
        } else if function.msix?.isEnabled == false {
            function.setMSIX(enabled: true)
        }
    }

    /// Enables MSI for so many vectors, if not for more already: the client may have written the register itself.
    private func enableMSI(atLeast count: Int) {
        guard let msi = function.msi, !msi.isEnabled || msi.enabledCount < count else { return }
        function.setMSI(enabled: true, count: count)
    }

    // MARK: errors and requests

    private func setNotice(
        _ request: InterruptRequest, _ notice: PCIInterrupts.Notice,
        _ payload: RawSpan, _ descriptors: inout PassedDescriptors
    ) throws(Errno) {
        if request.count == 0 {
            slot.interrupts.setTrigger(nil, for: notice)
        } else if request.data == .dataEventFD {
            slot.interrupts.setTrigger(try takeTrigger(&descriptors), for: notice)
        } else if request.isSet(0, payload) {
            slot.interrupts.signal(notice)
        }
    }
}
