import LinuxSystem
import VFIO
import VFIOABI

/// What is to be done with an interrupt: `VFIO_IRQ_SET_ACTION_…`.
public enum InterruptAction: Sendable, CustomStringConvertible {
    /// Tell that it happened.
    case trigger
    /// Hold it back.
    case mask
    /// Let it through again.
    case unmask

    var flags: IRQSetFlags {
        switch self {
        case .trigger: .actionTrigger
        case .mask: .actionMask
        case .unmask: .actionUnmask
        }
    }

    /// The uAPI's word.
    public var description: String {
        switch self {
        case .trigger: "TRIGGER"
        case .mask: "MASK"
        case .unmask: "UNMASK"
        }
    }
}

/// A device's interrupts with eventfds that a VMM brings along (a hypervisor's irqfds, say). To have eventfds made,
/// and waited for, use ``/VFIO/Device/enableInterrupts(_:count:)``.
extension Device {
    /// Has an eventfd signalled, or listened to: `VFIO_DEVICE_SET_IRQS` with one eventfd.
    /// - Parameters:
    ///   - descriptor: for ``InterruptAction/trigger`` what is signalled, for the others what the host listens to. nil
    ///     takes it away. It stays the caller's, and must stay open.
    /// - Throws: an error that names the action, the kind, the vector and the errno.
    public func setSignalling(
        _ action: InterruptAction, _ index: InterruptIndex, _ vector: Int = 0, _ descriptor: Int32?
    ) throws(VFIOGuestError) {
        do throws(Errno) {
            try setEvents(action, index, from: vector, [descriptor ?? -1])
        } catch {
            throw interruptError(
                descriptor == nil ? "tear down" : "set up", "\(action) signalling", index, vector, error)
        }
    }

    /// Ends all vectors of a kind.
    public func disableInterrupts(_ index: InterruptIndex) throws(VFIOGuestError) {
        do throws(Errno) {
            _ = try setInterrupts([.dataNone, .actionTrigger], index, start: 0, count: 0)
        } catch {
            throw interruptError("tear down", "all vectors", index, nil, error)
        }
    }

    /// Holds an interrupt back, or lets it through again.
    public func setMasked(
        _ isMasked: Bool, _ index: InterruptIndex, _ vector: Int = 0
    ) throws(VFIOGuestError) {
        let action = isMasked ? IRQSetFlags.actionMask : .actionUnmask
        do throws(Errno) {
            _ = try setInterrupts([.dataNone, action], index, start: vector, count: 1)
        } catch {
            throw interruptError(isMasked ? "mask" : "unmask", "it", index, vector, error)
        }
    }

    /// - Returns: how many could be had, if they are fewer; nothing is changed then.
    @discardableResult
    func setEvents(
        _ action: InterruptAction, _ index: InterruptIndex, from start: Int, _ descriptors: [Int32]
    ) throws(Errno) -> Int32 {
        var data: [UInt8] = []
        for number in descriptors {
            let bits = UInt32(bitPattern: number)
            for shift in [0, 8, 16, 24] as [UInt32] { data.append(UInt8(truncatingIfNeeded: bits >> shift)) }
        }
        let flags = action.flags.union(.dataEventFD)
        return try setInterrupts(flags, index, start: start, count: descriptors.count, data)
    }

    func interruptError(
        _ verb: String, _ what: String, _ index: InterruptIndex, _ vector: Int?, _ errno: Errno
    ) -> VFIOGuestError {
        VFIOGuestError(
            operation: "\(verb) \(what) of \(title(of: index))" + (vector.map { ", vector \($0)" } ?? ""),
            object: "\(id)", errno: errno, cause: "VFIO_DEVICE_SET_IRQS failed")
    }
}
