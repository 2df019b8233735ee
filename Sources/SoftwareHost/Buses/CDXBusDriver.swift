import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOABI

/// The vfio-cdx driver of the software host, for one device (kernel.md G.2): regions that can only be mapped,
/// messages, and a switch for DMA.
final class CDXBusDriver: MappedBusDriver, @unchecked Sendable {
    // SAFETY: `canMaster` is only changed while the device is opened, and guarded by `lock`.
    private var canMaster = false

    override var deviceFlags: DeviceFlags { [.cdx, .reset] }
    override var interruptIndexCount: Int { resources.messageCount > 0 ? 1 : 0 }
    override var interruptsPerIndex: Int { resources.messageCount }
    override var wrongProtection: Errno { .notPermitted }

    // MARK: open, close, reset

    override func openDevice() throws(Errno) {
        try super.openDevice()
        try reset()
        lock.withLock { canMaster = resources.hasBusMaster }
    }

    override func closeDevice() {
        try? reset()
        super.closeDevice()
    }

    /// As the controller of the bus does it: the device may not start transactions afterwards.
    override func reset() throws(Errno) {
        try lock.withLock { () throws(Errno) in
            resources.setBusMaster(false)
            try model.reset()
        }
    }

    override func resetAbsent() throws(Errno) -> Int32 { throw .inputOutput }

    // MARK: features

    override func feature(
        _ id: UInt32, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32 {
        guard Feature(rawValue: UInt16(truncatingIfNeeded: id)) == .busMaster, lock.withLock({ canMaster })
        else { throw .noSuchRequest }
        let size = UInt32(MemoryLayout<BusMasterFeature>.size)
        guard try operation.isWanted(of: .set, isProbe, room, needs: size) else { return 0 }
        switch try UserMemory.load(BusMasterFeature(), from: payload).operation {
        case .clear: resources.setBusMaster(false)
        case .set: resources.setBusMaster(true)
        default: throw .invalid
        }
        return 0
    }

    // MARK: interrupts

    override func interruptInfo(_ index: Int) throws(Errno) -> (count: Int, flags: IRQFlags) {
        (resources.messageCount, [.eventFD, .noResize])
    }

    override func setInterrupts(_ request: PCIInterruptRequest) throws(Errno) {
        guard request.flags.contains(.actionTrigger) else { throw .invalid }
        try lock.withLock { () throws(Errno) in
            if request.count == 0 && request.data == .dataNone { return messages.disable() }
            let isEnabled = messages.kind == .msi
            guard request.data == .dataEventFD else {
                // Nothing to signal yet: Linux follows a null pointer here.
                guard isEnabled else { throw .invalid }
                for position in 0..<request.count where request.isSet(position) {
                    messages.loop(vector: request.start + position)
                }
                return
            }
            if !isEnabled { messages.enableMessages(.msi, count: resources.messageCount) }
            do throws(Errno) {
                try setEvents(request)
            } catch {
                if !isEnabled { messages.disable() }
                throw error
            }
        }
    }

    /// Gives messages their eventfds, or takes them away. After a failure all from the request's first to the one that
    /// failed are without.
    private func setEvents(_ request: PCIInterruptRequest) throws(Errno) {
        for position in 0..<request.count {
            let vector = request.start + position
            let number = request.descriptors[position]
            messages.setTrigger(nil, vector: vector)
            guard number >= 0 else { continue }
            do throws(Errno) {
                messages.setTrigger(try PCITrigger(number), vector: vector)
            } catch {
                for other in request.start..<vector { messages.setTrigger(nil, vector: other) }
                throw error
            }
        }
    }
}
