import LinuxSystem
import VFIOABI
import VFIOHost

extension Device {
    /// Lets the device sleep while nobody uses it: `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`. The next request, read or
    /// write wakes it for its time; touching a mapped region meanwhile ends the process with `SIGBUS`.
    /// - Throws: ``VFIOError/Code/notSupported`` where the host doesn't do that; `EINVAL` if it may sleep already.
    public func allowSleep() throws(VFIOError) {
        var request = DeviceFeature(flags: FeatureFlags(.lowPowerEntry, .set))
        do throws(Errno) {
            try handle.send(.deviceFeature, &request)
        } catch {
            throw sleepError("let it sleep", error)
        }
    }

    /// Lets the device sleep until something wakes it: `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP`. Whatever
    /// wakes it, also a use by this process, ends its leave to sleep.
    /// - Parameter event: signalled when that happens. The host keeps an own copy.
    /// - Throws: as ``allowSleep()``.
    public func allowSleep(untilSignalOf event: borrowing EventDescriptor) throws(VFIOError) {
        var entry = LowPowerEntryWithWakeup(wakeupEventFD: event.number)
        do throws(Errno) {
            try carryOut(.lowPowerEntryWithWakeup, .set, &entry)
        } catch {
            throw sleepError("let it sleep until it is woken", error)
        }
    }

    /// Keeps the device awake again: `VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`. Nothing happens if it is.
    public func forbidSleep() throws(VFIOError) {
        var request = DeviceFeature(flags: FeatureFlags(.lowPowerExit, .set))
        do throws(Errno) {
            try handle.send(.deviceFeature, &request)
        } catch {
            throw sleepError("keep it awake", error)
        }
    }

    private func sleepError(_ operation: String, _ errno: Errno) -> VFIOError {
        var failure = VFIOError(operation: operation, object: name, errno: errno)
        if errno == .noSuchRequest {
            failure.code = .notSupported
            failure.cause = "the host doesn't let devices sleep"
        } else if errno == .invalid {
            failure.cause = "it may sleep already"
        }
        return failure
    }
}
