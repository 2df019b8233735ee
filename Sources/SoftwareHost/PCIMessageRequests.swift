import DeviceModel
import LinuxSystem
import VFIOABI

/// The part of `VFIO_DEVICE_SET_IRQS` that is about MSI and MSI-X (kernel.md D.8). All of it with the device lock
/// held.
extension PCIBusDriver {
    /// - Returns: 0; or, if the platform has fewer vectors than asked for, how many it has.
    func setMessageTriggers(
        _ request: PCIInterruptRequest, _ kind: PCIInterrupts.Kind
    ) throws(Errno) -> Int32 {
        let active = interrupts.kind
        if active == kind && request.count == 0 && request.data == .dataNone {
            disableInterrupts()
            return 0
        }
        guard active == kind || active == .none else { throw .invalid }
        guard request.data == .dataEventFD else {
            guard active == kind else { throw .invalid }
            for index in 0..<request.count
            where request.data == .dataNone || request.booleans[index] != 0 {
                interrupts.loop(vector: request.start + index)
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
        guard configuration.powerState == 0 else { throw .invalid }
        if let vectorLimit, count > vectorLimit {
            // The answer says how many there are, and nothing is enabled.
            guard vectorLimit > 0 else { throw .noSpace }
            return Int32(clamping: vectorLimit)
        }
        enableMessages(kind, count)
        do throws(Errno) {
            try setVectors(request, kind)
        } catch {
            disableInterrupts()
            throw error
        }
        return 0
    }

    private func enableMessages(_ kind: PCIInterrupts.Kind, _ count: Int) {
        // With dynamic vectors there is room for all from the start; else for those asked for.
        let all = kind == .msix && hasDynamicVectors ? function.msix?.vectorCount ?? count : count
        interrupts.enableMessages(kind, count: all)
        if kind == .msi {
            view.messageLimit = UInt8(Self.order(of: count))
            setMSIMasks()
            function.setMSI(enabled: true, count: count)
        } else {
            function.setMSIX(enabled: true)
        }
    }

    /// Gives the vectors of a request their eventfds, or takes them away. After a failure all vectors from the
    /// request's first to the one that failed are without.
    private func setVectors(_ request: PCIInterruptRequest, _ kind: PCIInterrupts.Kind) throws(Errno) {
        for index in 0..<request.count {
            let vector = request.start + index
            let number = request.descriptors[index]
            setVector(vector, nil, kind)
            if number < 0 { continue }
            do throws(Errno) {
                guard vector < interrupts.vectorCount else { throw .invalid }
                setVector(vector, try PCITrigger(number), kind)
            } catch {
                for undone in request.start..<vector { setVector(undone, nil, kind) }
                throw error
            }
        }
    }

    /// A vector is masked in the hardware exactly while it has no eventfd: what is raised meanwhile waits as
    /// pending.
    private func setVector(_ vector: Int, _ trigger: PCITrigger?, _ kind: PCIInterrupts.Kind) {
        if trigger == nil {
            setVectorMask(vector, true, kind)
            interrupts.setTrigger(nil, vector: vector)
        } else {
            interrupts.setTrigger(trigger, vector: vector)
            setVectorMask(vector, false, kind)
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

    /// The least power of two, as its exponent, that isn't below `count`.
    private static func order(of count: Int) -> Int {
        count <= 1 ? 0 : Int.bitWidth - (count - 1).leadingZeroBitCount
    }
}
