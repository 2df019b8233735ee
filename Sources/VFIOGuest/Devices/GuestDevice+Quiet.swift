import LinuxSystem
import VFIO
import VFIOABI

/// A participant that its owner may let go of.
struct WeakResetParticipant {
    weak var object: (any GuestResetParticipant)?
}

extension GuestDevice {
    /// Adds something that is to know of resets: a ``GuestLine``, ``GuestMessages``, ``GuestRegion``, or the virtual
    /// machine's own. It is held weakly. They are told in the order in which they were added.
    public func addResetParticipant(_ participant: any GuestResetParticipant) {
        owner.lock.withLock {
            participants.removeAll { $0.object == nil || $0.object === participant }
            participants.append(WeakResetParticipant(object: participant))
        }
    }

    /// No longer tells something of resets.
    public func removeResetParticipant(_ participant: any GuestResetParticipant) {
        owner.lock.withLock { participants.removeAll { $0.object == nil || $0.object === participant } }
    }

    /// Makes the device quiet before it is reset: its interrupts off, full power, and neither DMA nor answers. What
    /// can't be done is noted, and the rest is done all the same. Under the memory map's lock.
    func becomeQuiet(_ result: inout GuestReset) {
        for participant in participants {
            result.note { () throws(VFIOGuestError) in try participant.object?.resetBegins() }
        }
        guard device.info.flags.contains(.pci) else { return }
        result.note(wake)
        // Its line isn't held back any more, as after power-up.
        result.note { () throws(VFIOGuestError) in
            try device.configuration.setCommand([.ports, .memory, .busMaster, .interruptLineDisabled], false)
        }
    }

    /// Brings the device to full power: some can't be reset in other states.
    private func wake() throws(VFIOGuestError) {
        let configuration = device.configuration
        guard let power = try configuration.capability(0x01) else { return }
        let control = try configuration.load16(power + 4)
        guard control & 3 != 0 else { return }
        try configuration.store16(power + 4, control & ~3)
        let state = try configuration.load16(power + 4) & 3
        guard state == 0 else {
            throw VFIOGuestError(
                operation: "bring it to full power", object: "\(id)", cause: "it stays in D\(state)")
        }
    }

    /// Sets up what is to be there after a reset, whatever came of it. Under the memory map's lock.
    func endQuiet(_ result: inout GuestReset) {
        if device.info.flags.contains(.pci) {
            // The host puts its own values back; the guest is to find none.
            result.note { () throws(VFIOGuestError) in
                for register in 0..<6 { try device.configuration.store32(0x10 + 4 * register, 0) }
            }
        }
        for participant in participants {
            let succeeded = result.succeeded
            result.note { () throws(VFIOGuestError) in
                try participant.object?.resetEnds(succeeded: succeeded)
            }
        }
    }
}
