import DeviceModel
import LinuxSystem
import VFIOABI

/// A checked `VFIO_DEVICE_SET_IRQS` request.
struct PCIInterruptRequest {
    var flags: IRQSetFlags
    var start: Int
    var count: Int
    /// One for each of `count`, where `flags` says so.
    var booleans: [UInt8] = []
    /// One for each of `count`, where `flags` says so.
    var descriptors: [Int32] = []

    var data: IRQSetFlags { flags.intersection(.dataTypeMask) }
    /// Whether the data is NONE or a BOOL that isn't 0 for the first interrupt.
    var isSet: Bool {
        data == .dataNone || (data == .dataBool && !booleans.isEmpty && booleans[0] != 0)
    }
}

/// `VFIO_DEVICE_GET_IRQ_INFO` and `VFIO_DEVICE_SET_IRQS` (kernel.md A.7, D.7, D.8).
extension PCIBusDriver {
    /// How many interrupts an index has. The device lock is held.
    private func interruptCount(_ index: PCIInterrupt) -> Int {
        typealias ID = PCICapabilityShape.Standard
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

    private var isExpress: Bool { configuration.capability(PCICapabilityShape.Standard.express) != nil }

    /// `VFIO_DEVICE_GET_IRQ_INFO`.
    func describeInterrupt(_ argument: HostAddress) throws(Errno) -> Int32 {
        var info = try UserMemory.load(IRQInfo(), from: argument)
        guard info.argsz >= UInt32(IRQInfo.minimumSize), info.index < PCIInterrupt.count else {
            throw .invalid
        }
        let index = PCIInterrupt(rawValue: info.index)
        if index == .err && !isExpress { throw .invalid }
        lock.lock()
        info.count = UInt32(interruptCount(index))
        lock.unlock()
        switch index {
        case .intx: info.flags = [.eventFD, .maskable, .automasked]
        case .msix where hasDynamicVectors && function.msix != nil: info.flags = .eventFD
        default: info.flags = [.eventFD, .noResize]
        }
        try UserMemory.store(info, to: argument)
        return 0
    }

    /// `VFIO_DEVICE_SET_IRQS`.
    func setInterrupts(_ argument: HostAddress) throws(Errno) -> Int32 {
        let header = try UserMemory.load(IRQSet(), from: argument)
        let index = PCIInterrupt(rawValue: header.index)
        lock.lock()
        let most = interruptCount(index)
        lock.unlock()
        let known = IRQSetFlags.dataTypeMask.union(.actionTypeMask)
        guard header.argsz >= UInt32(IRQSet.minimumSize), header.index < PCIInterrupt.count,
            header.count < UInt32.max - header.start, header.flags.isSubset(of: known),
            header.start < most, UInt64(header.start) + UInt64(header.count) <= UInt64(most),
            let width = header.flags.dataElementSize
        else { throw .invalid }
        var request = PCIInterruptRequest(
            flags: header.flags, start: Int(header.start), count: Int(header.count))
        // `count` is at most 2048 here.
        guard Int(header.argsz) - IRQSet.minimumSize >= request.count * width else { throw .invalid }
        if width == 1 && request.count > 0 {
            request.booleans = [UInt8](repeating: 0, count: request.count)
            var elements = request.booleans.mutableSpan
            // SAFETY: any bytes are elements of this plain type.
            var bytes = unsafe elements.mutableBytes
            try UserMemory.read(from: argument + IRQSet.minimumSize, into: &bytes)
        } else if width == 4 && request.count > 0 {
            request.descriptors = [Int32](repeating: 0, count: request.count)
            var elements = request.descriptors.mutableSpan
            // SAFETY: any bytes are elements of this plain type.
            var bytes = unsafe elements.mutableBytes
            try UserMemory.read(from: argument + IRQSet.minimumSize, into: &bytes)
        }
        lock.lock()
        defer { lock.unlock() }
        return try carryOut(request, index)
    }

    private func carryOut(_ request: PCIInterruptRequest, _ index: PCIInterrupt) throws(Errno) -> Int32 {
        let action = request.flags.intersection(.actionTypeMask)
        switch (index, action) {
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

    /// Ends the kind of interrupt in use, in the hardware and here.
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

    private func setLineMask(_ request: PCIInterruptRequest, masks: Bool) throws(Errno) {
        guard interrupts.kind == .line, request.start == 0, request.count == 1 else { throw .invalid }
        if request.data == .dataEventFD {
            guard !masks else { throw .noSuchRequest }
            let number = request.descriptors[0]
            if number < 0 {
                unmaskWatcher = nil
                return
            }
            _ = try PCITrigger(number)  // EBADF and EINVAL come before EBUSY
            // One whose eventfd has been closed makes room.
            guard unmaskWatcher?.isAttached != true else { throw .busy }
            unmaskWatcher = try PCIUnmaskWatcher(number, interrupts)
        } else if request.isSet {
            if masks { interrupts.maskLine() } else { interrupts.unmaskLine() }
        }
    }

    private func setLineTrigger(_ request: PCIInterruptRequest) throws(Errno) {
        let kind = interrupts.kind
        if kind == .line && request.count == 0 && request.data == .dataNone {
            disableInterrupts()
            return
        }
        guard kind == .line || kind == .none, request.start == 0, request.count == 1 else { throw .invalid }
        if request.data == .dataEventFD {
            // Without an eventfd the line is in use all the same, as on Linux.
            let number = request.descriptors[0]
            interrupts.enableLine(number < 0 ? nil : try PCITrigger(number))
            return
        }
        guard kind == .line else { throw .invalid }
        if request.isSet { interrupts.loopLine() }
    }

    // MARK: errors and requests

    private func setNotice(_ request: PCIInterruptRequest, _ notice: PCIInterrupts.Notice) throws(Errno) {
        switch request.data {
        case .dataNone:
            guard interrupts.hasTrigger(notice) else { throw .invalid }
            if request.count > 0 {
                interrupts.signal(notice)
            } else {
                interrupts.setTrigger(nil, for: notice)
            }
        case .dataBool:
            guard request.count > 0 else { throw .invalid }
            if request.booleans[0] != 0 { interrupts.signal(notice) }
        default:
            guard request.count > 0, request.descriptors[0] >= -1 else { throw .invalid }
            let number = request.descriptors[0]
            interrupts.setTrigger(number < 0 ? nil : try PCITrigger(number), for: notice)
        }
    }
}
