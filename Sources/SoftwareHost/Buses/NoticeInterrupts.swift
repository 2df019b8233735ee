import DeviceModel
import LinuxSystem
import VFIOABI

/// The interrupts of a mainframe's mediated devices: one for each index, without masks (kernel.md G.4, G.5).
///
/// One innermost lock guards them.
final class NoticeInterrupts: @unchecked Sendable {
    // SAFETY: `events` is guarded by `lock`.
    private let lock = Lock()
    private var events: [PCITrigger?]
    /// How many indices there are.
    let count: Int

    init(count: Int) {
        self.count = count
        events = [PCITrigger?](repeating: nil, count: count)
    }

    /// Signals an index.
    /// - Returns: whether somebody listens.
    @discardableResult
    func signal(_ index: Int) -> Bool {
        lock.withLock {
            guard let event = events[index] else { return false }
            event.signal()
            return true
        }
    }

    /// Nobody listens any more.
    func clear() {
        lock.withLock {
            for index in events.indices { events[index] = nil }
        }
    }

    /// `VFIO_DEVICE_GET_IRQ_INFO`.
    func describe(_ argument: HostAddress) throws(Errno) {
        var info = try UserMemory.load(IRQInfo(), from: argument)
        guard info.argsz >= UInt32(IRQInfo.minimumSize), Int(info.index) < count else { throw .invalid }
        info.flags = .eventFD
        info.count = 1
        try UserMemory.store(info, to: argument)
    }

    /// `VFIO_DEVICE_SET_IRQS`. The data is looked at whatever count the request has, as on Linux.
    func set(_ argument: HostAddress) throws(Errno) {
        let request = try PCIInterruptRequest(from: argument, indexCount: UInt32(count)) { _ in 1 }
        guard request.flags.contains(.actionTrigger) else { throw .invalid }
        let index = Int(request.index.rawValue)
        let data = argument + IRQSet.minimumSize
        switch request.data {
        case .dataNone: signal(index)
        case .dataBool:
            if try UserMemory.load(UInt8(0), from: data) != 0 { signal(index) }
        default:
            let number = try UserMemory.load(Int32(0), from: data)
            guard number >= -1 else { throw .invalid }
            let event = number < 0 ? nil : try PCITrigger(number)
            lock.withLock { events[index] = event }
        }
    }
}
