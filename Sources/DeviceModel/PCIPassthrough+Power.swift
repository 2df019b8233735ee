/// Whether a user lets a device sleep while nobody uses it, and whether it does (kernel.md D.11).
///
/// Linux puts it to sleep some time after the last use. Here it falls asleep as soon as the call that allowed it
/// returns, and again at the end of every later one: whatever depends on that moment has one answer.
/// A sleeping device is in D3hot, if it has power management: no DMA, no interrupts. Every request and every
/// access to a region wakes it for as long as it lasts; a touch of a mapping doesn't and raises SIGBUS.
package struct PCILowPower {
    /// Whether the user allowed it: from `LOW_POWER_ENTRY` until `LOW_POWER_EXIT`, or until the device woke up
    /// if the user wanted to be told of that.
    package var isAllowed = false
    /// Whether it sleeps now.
    package var isAsleep = false
    /// Whom to tell when it wakes up, whoever woke it; that ends `isAllowed`.
    package var wakeUp: PCITrigger?
    /// Whether the line was masked for the time of the sleep.
    package var hasMaskedLine = false

    /// It isn't allowed to.
    package init() {}
}

extension PCIPassthrough {
    // MARK: power states

    /// Changes the power state, as a kernel does: states that don't exist are refused, and what leaving D3hot
    /// loses is put back.
    package func setPowerState(_ state: UInt32) throws(Failure) {
        guard view.power != 0 else { return }
        let at = view.power + 4
        let control = try value(at: at, width: 2)
        guard control & 3 != state else { return }
        // No function sleeps deeper than those that depend on it.
        guard state == 0 || !isKeptAwake else { return }
        if state == 3 {
            savedForWake = try savedState()
            showMappings(false)
        }
        // PME_Status would be cleared by writing 1 to it.
        try set(control & 0x7ffc | state, at: at, width: 2)
        // Without No_Soft_Reset that was a reset.
        let isReset = control & 3 == 3 && state == 0 && control & 8 == 0
        if isReset, let saved = savedForWake { try restore(saved) }
        if powerState != 3 { savedForWake = nil }
        updateMemory()
    }

    // MARK: low power

    /// Lets the device sleep from the end of this request on.
    /// - Returns: false if that is so already.
    package func enterLowPower(tellingWakeUp trigger: PCITrigger?) -> Bool {
        showMappings(false)
        guard !lowPower.isAllowed else { return false }
        var new = PCILowPower()
        new.isAllowed = true
        new.wakeUp = trigger
        lowPower = new
        return true
    }

    /// Ends it; nobody is told.
    package func leaveLowPower() throws(Failure) {
        lowPower.wakeUp = nil
        try wake()
        lowPower = PCILowPower()
        showMappings(mappingsAreShown)
    }

    /// Wakes a sleeping device.
    @inline(never)
    package func wake() throws(Failure) {
        guard lowPower.isAsleep else { return }
        lowPower.isAsleep = false
        try setPowerState(0)
        if let trigger = lowPower.wakeUp {
            trigger.signal()
            lowPower.wakeUp = nil
            lowPower.isAllowed = false
            showMappings(mappingsAreShown)
        }
        if lowPower.hasMaskedLine {
            lowPower.hasMaskedLine = false
            try releaseLine()
        }
    }

    /// Sends a device that nobody uses to sleep.
    @inline(never)
    package func fallAsleep() throws(Failure) {
        guard lowPower.isAllowed, !lowPower.isAsleep, useCount == 0, !isKeptAwake else { return }
        // A user's own D3hot ends here: what wakes up later is in D0.
        try setPowerState(0)
        lowPower.hasMaskedLine = try silenceLine()
        try setPowerState(3)
        lowPower.isAsleep = true
    }
}
