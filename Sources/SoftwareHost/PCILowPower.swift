import DeviceModel
import LinuxSystem

/// Whether a user lets a device sleep while nobody uses it, and whether it does (kernel.md D.11).
///
/// Linux puts it to sleep some time after the last use. Here it falls asleep as soon as the call that allowed it
/// returns, and again at the end of every later one: whatever depends on that moment has one answer.
/// A sleeping device is in D3hot, if it has power management: no DMA, no interrupts. Every request and every
/// access to a region wakes it for as long as it lasts; a touch of a mapping doesn't and raises SIGBUS.
struct PCILowPower {
    /// Whether the user allowed it: from `LOW_POWER_ENTRY` until `LOW_POWER_EXIT`, or until the device woke up
    /// if the user wanted to be told of that.
    var isAllowed = false
    /// Whether it sleeps now.
    var isAsleep = false
    /// Whom to tell when it wakes up, whoever woke it; that ends `isAllowed`.
    var wakeUp: PCITrigger?
    /// Whether the line was masked for the time of the sleep.
    var hasMaskedLine = false
}

extension PCIBusDriver {
    // MARK: for the core

    func beginUse() {
        lock.lock()
        useCount += 1
        if sleepsWhenUnused { wake() }
        lock.unlock()
    }

    func endUse() {
        lock.lock()
        useCount -= 1
        if sleepsWhenUnused { fallAsleep() }
        lock.unlock()
    }

    // MARK: with the device lock held

    /// Lets the device sleep from the end of this request on.
    /// - Throws: `EINVAL` if that is so already.
    func enterLowPower(tellingWakeUp trigger: PCITrigger?) throws(Errno) {
        showMappings(false)
        guard !lowPower.isAllowed else { throw .invalid }
        lowPower = PCILowPower(isAllowed: true, wakeUp: trigger)
    }

    /// Ends it; nobody is told.
    func leaveLowPower() {
        lowPower.wakeUp = nil
        wake()
        lowPower = PCILowPower()
        showMappings(mappingsAreShown)
    }

    /// Wakes a sleeping device.
    @inline(never)
    func wake() {
        guard lowPower.isAsleep else { return }
        lowPower.isAsleep = false
        setPowerState(0)
        if let trigger = lowPower.wakeUp {
            trigger.signal()
            lowPower.wakeUp = nil
            lowPower.isAllowed = false
            showMappings(mappingsAreShown)
        }
        if lowPower.hasMaskedLine {
            lowPower.hasMaskedLine = false
            interrupts.unmaskLine()
        }
    }

    /// Sends a device that nobody uses to sleep.
    @inline(never)
    func fallAsleep() {
        guard lowPower.isAllowed, !lowPower.isAsleep, useCount == 0, virtualFunctionCount == 0 else { return }
        // A user's own D3hot ends here: what wakes up later is in D0.
        setPowerState(0)
        lowPower.hasMaskedLine = interrupts.maskLine()
        setPowerState(3)
        lowPower.isAsleep = true
    }
}
