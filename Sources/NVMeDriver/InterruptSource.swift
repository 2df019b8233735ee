import LinuxSystem
import VFIO

/// The interrupts of a controller, shared by all that wait for one of its queues. The last to go disables them.
final class InterruptSource: Sendable {
    private let interrupts: Interrupts
    /// Whether they come over the pin, which VFIO masks each time one arrives.
    private let isPin: Bool

    /// Enables the first kind of interrupts that is wanted and there.
    /// - Parameter wanted: how many vectors to ask for; fewer may be had.
    /// - Returns: nil for polling.
    static func enable(
        on device: Device, _ choice: ControllerOptions.InterruptChoice, wanted: Int
    ) throws(NVMeError) -> InterruptSource? {
        let order: [InterruptIndex] =
            switch choice {
            case .automatic: [.msix, .msi, .intx]
            case .msix: [.msix]
            case .msi: [.msi]
            case .pin: [.intx]
            case .polling: []
            }
        var failure: VFIOError?
        for index in order {
            do throws(VFIOError) {
                let info = try device.interruptInfo(index)
                guard info.count > 0 else { continue }
                let count = index == .msix ? min(wanted, Int(info.count)) : 1
                return InterruptSource(
                    try device.enableInterrupts(index, count: count), isPin: index == .intx)
            } catch {
                // The next kind may work; what went wrong is told if none does and one was demanded.
                failure = failure ?? error
            }
        }
        if choice == .automatic || choice == .polling { return nil }
        throw NVMeError(
            failure.map { .vfio($0) } ?? .unsupported(.interrupts), "enable interrupts",
            on: "\(device.id)")
    }

    private init(_ interrupts: consuming Interrupts, isPin: Bool) {
        self.interrupts = interrupts
        self.isPin = isPin
    }

    /// How many vectors there are.
    var count: Int { interrupts.count }

    /// The vector that a queue's interrupts come on: its own, or one shared with other I/O queues.
    func vector(forQueue identifier: UInt16) -> UInt16 {
        if identifier == 0 || count < 2 { return 0 }
        return UInt16(1 + (Int(identifier) - 1) % (count - 1))
    }

    /// Waits for an interrupt. Someone else may have taken the one that was meant: look at the queue again
    /// after every return, and don't ask for long waits.
    func wait(_ vector: UInt16, milliseconds: Int) throws(VFIOError) {
        if isPin { try interrupts.unmask() }
        _ = try interrupts.wait(Int(vector), milliseconds: milliseconds)
    }

    /// A descriptor that becomes readable with an interrupt, for poll(2) and epoll(7).
    func descriptor(_ vector: UInt16) -> Int32 { interrupts.descriptor(Int(vector)) }
}
