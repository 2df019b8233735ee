import LinuxSystem
import NVMe
import VFIO

/// BAR 0 of a controller, with errors that say which controller it was.
struct ControllerRegisters: Sendable {
    let region: Region
    /// The controller's address, for messages.
    let name: String

    func load32(_ offset: UInt64, _ operation: StaticString) throws(NVMeError) -> UInt32 {
        do throws(VFIOError) {
            return try region.load32(Int(offset))
        } catch {
            throw NVMeError(.vfio(error), "\(operation)", on: name)
        }
    }

    func load64(_ offset: UInt64, _ operation: StaticString) throws(NVMeError) -> UInt64 {
        do throws(VFIOError) {
            return try region.load64LowHigh(Int(offset))
        } catch {
            throw NVMeError(.vfio(error), "\(operation)", on: name)
        }
    }

    func store32(_ offset: UInt64, _ value: UInt32, _ operation: StaticString) throws(NVMeError) {
        do throws(VFIOError) {
            try region.store32(Int(offset), value)
        } catch {
            throw NVMeError(.vfio(error), "\(operation)", on: name)
        }
    }

    /// Stores 64 bits as two halves, the low one first: the order every controller takes.
    func store64(_ offset: UInt64, _ value: UInt64, _ operation: StaticString) throws(NVMeError) {
        do throws(VFIOError) {
            try region.store64LowHigh(Int(offset), value)
        } catch {
            throw NVMeError(.vfio(error), "\(operation)", on: name)
        }
    }

    /// CC.
    func configuration(_ operation: StaticString) throws(NVMeError) -> ControllerConfiguration {
        ControllerConfiguration(rawValue: try load32(RegisterOffset.configuration, operation))
    }

    func setConfiguration(
        _ configuration: ControllerConfiguration, _ operation: StaticString
    ) throws(NVMeError) {
        try store32(RegisterOffset.configuration, configuration.rawValue, operation)
    }

    /// CSTS.
    /// - Throws: `.deviceGone` if it reads as all ones.
    func status(_ operation: StaticString) throws(NVMeError) -> ControllerStatus {
        let status = ControllerStatus(rawValue: try load32(RegisterOffset.status, operation))
        guard !status.isGone else { throw NVMeError(.deviceGone, "\(operation)", on: name) }
        return status
    }

    /// Waits until CSTS satisfies a condition.
    /// - Throws: `.timedOut`, `.deviceGone`, what `condition` throws.
    func wait(
        milliseconds: Int, _ operation: StaticString,
        until condition: (ControllerStatus) throws(NVMeError) -> Bool
    ) throws(NVMeError) {
        let deadline = Clock.now + UInt64(max(0, milliseconds)) * 1_000_000
        var pause: UInt64 = 20_000
        while true {
            // The clock before the look: a controller that became ready while this thread slept is ready.
            let isLate = Clock.now >= deadline
            if try condition(try status(operation)) { return }
            if isLate {
                throw NVMeError(
                    .timedOut(milliseconds: milliseconds, aborted: false), "\(operation)", on: name)
            }
            Clock.sleep(nanoseconds: pause)
            pause = min(pause * 2, 10_000_000)
        }
    }

    /// Clears CC.EN and waits until the controller has stopped: no DMA after that.
    func disable(milliseconds: Int, _ operation: StaticString) throws(NVMeError) {
        var configuration = try configuration(operation)
        guard configuration.rawValue != .max else { throw NVMeError(.deviceGone, "\(operation)", on: name) }
        if configuration.isEnabled {
            configuration.isEnabled = false
            configuration.shutdownNotification = .none
            try setConfiguration(configuration, operation)
        }
        try wait(milliseconds: milliseconds, operation) { (status) throws(NVMeError) in !status.isReady }
    }
}
