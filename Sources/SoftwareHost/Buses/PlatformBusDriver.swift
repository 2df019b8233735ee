import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOABI

/// The vfio-platform and vfio-amba drivers of the software host, for one device (kernel.md G.1).
///
/// Each interrupt line is an index of its own with one interrupt. The bound for the numbers of interrupts in
/// `VFIO_DEVICE_SET_IRQS` is the number of lines all the same, as on Linux.
final class PlatformBusDriver: MappedBusDriver, @unchecked Sendable {
    // SAFETY: the watchers are guarded by `lock`; all else is constant once the device is registered.
    private let handler: PlatformResetHandler?
    private let hasACPIReset: Bool
    /// `reset_required`, as it was when the device was bound; never for AMBA's.
    private var isResetRequired = false
    private let isAMBA: Bool
    private var maskWatchers: [EventWatcher?]
    private var unmaskWatchers: [EventWatcher?]

    /// Takes over a device.
    /// - Parameters:
    ///   - handlers: the reset handlers that are registered.
    /// - Throws: `EINVAL` for a device that isn't described by firmware.
    init(
        _ model: any BusDeviceModel, _ faults: DeviceFaults,
        handlers: [PlatformResetHandler] = PlatformResetHandler.linux
    ) throws(Errno) {
        guard let node = model.resources.identity.node else { throw .invalid }
        if case .amba = model.resources.identity { isAMBA = true } else { isAMBA = false }
        if node.acpiID != nil {
            handler = nil
            hasACPIReset = node.hasACPIReset
        } else {
            guard let first = node.compatible.first else { throw .invalid }
            handler = handlers.first { $0.compatible.utf8.elementsEqual(first.utf8) }
            hasACPIReset = false
        }
        let count = model.resources.lineTriggers.count
        maskWatchers = [EventWatcher?](repeating: nil, count: count)
        unmaskWatchers = [EventWatcher?](repeating: nil, count: count)
        super.init(model, faults)
    }

    /// A device on the platform bus must be one that can be reset, unless the module's user doesn't care.
    override func admit(_ parameters: ModuleParameters) throws(Errno) {
        isResetRequired = parameters.platformResetRequired && !isAMBA
        guard handler != nil || hasACPIReset || !isResetRequired else { throw .noSuchEntry }
    }

    override var deviceFlags: DeviceFlags {
        let bus: DeviceFlags = isAMBA ? .amba : .platform
        return handler != nil || hasACPIReset ? [bus, .reset] : bus
    }

    // MARK: open, close, reset

    override func openDevice() throws(Errno) {
        try super.openDevice()
        do throws(Errno) {
            try reset()
        } catch {
            if isResetRequired { throw error }
        }
    }

    override func closeDevice() {
        try? reset()
        let (mask, unmask) = lock.withLock { () -> ([EventWatcher?], [EventWatcher?]) in
            defer {
                for index in maskWatchers.indices {
                    maskWatchers[index] = nil
                    unmaskWatchers[index] = nil
                }
            }
            return (maskWatchers, unmaskWatchers)
        }
        // Their threads end here, with no lock held.
        withExtendedLifetime((mask, unmask)) {}
        super.closeDevice()
    }

    override func reset() throws(Errno) {
        try lock.withLock { () throws(Errno) in
            if let handler { return try handler.reset(PlatformRegisters(model)) }
            // Also where ACPI's method fails, whatever it says.
            guard hasACPIReset, (try? model.reset()) != nil else { throw .invalid }
        }
    }

    override func resetAbsent() throws(Errno) -> Int32 {
        // The handlers don't look whether anybody answers.
        guard handler != nil else { throw .invalid }
        return 0
    }

    // MARK: registers

    override func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        try readRegisters(at: offset, into: &bytes)
    }

    override func write(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        try writeRegisters(at: offset, bytes)
    }

    // MARK: interrupts

    override func interruptInfo(_ index: Int) throws(Errno) -> (count: Int, flags: IRQFlags) {
        (1, lines.isMaskable(index) ? [.eventFD, .maskable, .automasked] : .eventFD)
    }

    override func setInterrupts(_ request: PCIInterruptRequest) throws(Errno) {
        switch request.flags.intersection(.actionTypeMask) {
        case .actionMask: try setMask(request, masks: true)
        case .actionUnmask: try setMask(request, masks: false)
        case .actionTrigger: try setLineEvent(request)
        default: throw .noSuchRequest
        }
    }

    private func setMask(_ request: PCIInterruptRequest, masks: Bool) throws(Errno) {
        let index = Int(request.index.rawValue)
        guard request.start == 0, request.count == 1, lines.isMaskable(index) else { throw .invalid }
        if request.data == .dataEventFD {
            try setWatcher(request.descriptors[0], index, masks: masks)
        } else if request.isSet(0) {
            if masks { lines.mask(index) } else { lines.unmask(index) }
        }
    }

    private func setWatcher(_ number: Int32, _ index: Int, masks: Bool) throws(Errno) {
        var old: EventWatcher?
        // Its thread is waited for after the lock was given back.
        defer { withExtendedLifetime(old) {} }
        try lock.withLock { () throws(Errno) in
            old = masks ? maskWatchers[index] : unmaskWatchers[index]
            var new: EventWatcher?
            if number >= 0 {
                _ = try PCITrigger(number)  // EBADF and EINVAL come before EBUSY
                // One whose eventfd has been closed makes room.
                guard old?.isAttached != true else { throw .busy }
                new = try EventWatcher(number) { [lines] in
                    if masks { lines.mask(index) } else { lines.unmask(index) }
                }
            }
            if masks { maskWatchers[index] = new } else { unmaskWatchers[index] = new }
        }
    }
}
