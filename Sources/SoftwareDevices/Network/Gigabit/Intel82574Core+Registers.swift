import LinuxSystem

extension Intel82574Core {
    private typealias Control = Intel82574.Control

    // MARK: by way of ports

    /// IOADDR and IODATA.
    func readPort(_ offset: UInt64) -> UInt32 {
        let address = lock.withLock { state.portAddress }
        switch offset {
        case 0: return address
        case 4: return address % 4 == 0 ? read(UInt64(address)) : .max
        default: return .max
        }
    }

    func writePort(_ offset: UInt64, _ value: UInt32) {
        switch offset {
        case 0: lock.withLock { state.portAddress = value }
        case 4:
            let address = lock.withLock { state.portAddress }
            if address % 4 == 0 { write(UInt64(address), value) }
        default: break
        }
    }

    // MARK: reading

    /// Reads a register.
    func read(_ offset: UInt64) -> UInt32 {
        guard offset < UInt64(Self.registerByteCount) else { return .max }
        if offset == Register.interruptCause { return readCauses() }
        return lock.withLock { state.read(offset) }
    }

    private func readCauses() -> UInt32 {
        let hasVectors = hasVectors
        var value: UInt32 = 0
        interrupt { registers in
            let answer = registers.read(hasVectors: hasVectors)
            value = answer.value
            return answer.messages
        }
        return value
    }

    // MARK: writing

    /// Writes a register and does what follows from it.
    func write(_ offset: UInt64, _ value: UInt32) {
        guard offset < UInt64(Self.registerByteCount) else { return }
        switch offset {
        case Register.transmitRing + Ring.tail, Register.transmitRing + Ring.stride + Ring.tail:
            lock.withLock { state[offset] = value & 0xffff }
            transmit()
        case Register.receiveRing + Ring.tail, Register.receiveRing + Ring.stride + Ring.tail:
            lock.withLock { state[offset] = value & 0xffff }
            receiveTurnstile.run(.room) { deliver() }
        case Register.interruptCause...Register.vectors: writeInterrupts(offset, value)
        case Register.control, Register.control + 4: writeControl(value)
        case Register.receiveControl, Register.transmitControl: writeDirection(offset, value)
        case Register.phyAccess: writePHY(value)
        default:
            let limit = lock.withLock { () -> Int? in
                state.write(offset, value)
                return offset == Register.packetBuffer ? state.receiveByteCount : nil
            }
            if let limit { inbox.setLimit(limit) }
        }
    }

    private func writeInterrupts(_ offset: UInt64, _ value: UInt32) {
        let hasVectors = hasVectors
        switch offset {
        case Register.interruptCause: interrupt { $0.clear(value, hasVectors: hasVectors) }
        case Register.interruptSet: interrupt { $0.raise(value, hasVectors: hasVectors) }
        case Register.interruptMaskSet: interrupt { $0.unmask(value, hasVectors: hasVectors) }
        case Register.interruptMaskClear: interrupt { $0.mask(value, hasVectors: hasVectors) }
        default: lock.withLock { state.write(offset, value) }
        }
    }

    private func writeControl(_ value: UInt32) {
        if value & Control.reset != 0 { return reset(withPHY: value & Control.phyReset != 0) }
        let hasRenegotiated = lock.withLock { () -> Bool in
            let old = state[Register.control]
            state[Register.control] = value
            guard value & ~old & Control.phyReset != 0 else { return false }
            state.phy.reset()
            return state.hasLink
        }
        if hasRenegotiated { raise(Intel82574.Cause.link) }
    }

    /// A direction is switched on or off, or works differently from now on.
    private func writeDirection(_ offset: UInt64, _ value: UInt32) {
        let isOn = lock.withLock { () -> Bool in
            state[offset] = value
            return value & Intel82574.ReceiveControl.enable != 0
        }
        // The enabling bit is the same one. Off means that memory isn't touched any more when the write is done.
        if offset == Register.receiveControl {
            if !isOn { receiveTurnstile.pause { inbox.removeAll() } }
            receiveTurnstile.run(.room) { deliver() }
        } else {
            if !isOn { sendTurnstile.pause {} }
            transmit()
        }
    }

    /// MDIC: an access to the PHY, which has address 1.
    private func writePHY(_ value: UInt32) {
        let (register, address) = (Int(value >> 16 & 31), value >> 21 & 31)
        let causes = lock.withLock { () -> UInt32 in
            var answer = value & 0x03ff_ffff | value & 3 << 26 | 1 << 28
            var causes: UInt32 = 0
            switch value >> 26 & 3 {
            case 1 where address == 1:
                if state.phy.write(register, UInt16(truncatingIfNeeded: value)) {
                    causes |= Intel82574.Cause.link
                }
            case 2 where address == 1:
                let data = state.phy.read(register, isUp: state.hasLink)
                answer = answer & ~0xffff | UInt32(data)
            default: answer |= 1 << 30
            }
            state[Register.phyAccess] = answer
            if value & 1 << 29 != 0 { causes |= Intel82574.Cause.phyAccess }
            return causes
        }
        raise(causes)
    }
}

/// Registers of which nothing comes outside them.
extension Intel82574Core.State {
    private typealias Register = Intel82574.Register

    mutating func read(_ offset: UInt64) -> UInt32 {
        if Intel82574Statistics.contains(offset) { return statistics.take(offset) }
        switch offset {
        case Register.control + 4: return self[Register.control]
        case Register.status: return status
        case Register.memoryControl:
            // The memory is there, was read, and is granted to whoever asks.
            let register = self[offset]
            return register & ~0x1_fb80 | 0x300 | (register & 0x40) << 1
        case Register.managementControl: return self[offset] | 3 << 18
        case Register.interruptSet, Register.interruptMaskSet: return interrupts.mask
        case Register.interruptMaskClear: return 0
        case Register.automaticClear: return interrupts.automaticClear
        case Register.automaticMask: return interrupts.automaticMask
        case Register.vectors: return interrupts.vectors
        case Register.semaphore:
            // Whoever reads it as free has it.
            defer { self[offset] |= 1 }
            return self[offset]
        case Register.timeLow: return clock.read(high: false)
        case Register.timeHigh: return clock.read(high: true)
        default: return self[offset]
        }
    }

    mutating func write(_ offset: UInt64, _ value: UInt32) {
        if Intel82574Statistics.contains(offset) { return }
        switch offset {
        case Register.status: break
        case Register.memoryRead: self[offset] = nvm.answer(toRead: value)
        case Register.memoryWrite: self[offset] = nvm.answer(toWrite: value)
        case Register.automaticClear: interrupts.automaticClear = value & Intel82574.Cause.all
        case Register.automaticMask: interrupts.automaticMask = value
        case Register.vectors: interrupts.vectors = value
        case Register.extendedControl:
            // "Read the memory again" clears itself.
            self[offset] = value & ~(1 << 13)
            interrupts.extendedControl = value
        case Register.timeLow: clock.set(value, high: false)
        case Register.timeHigh: clock.set(value, high: true)
        case Register.timeIncrement:
            self[offset] = value
            clock.setIncrement(value)
        default: self[offset] = value
        }
    }

    /// STATUS: gigabit and full duplex, whether there is a link, and whether the card may start transactions.
    private var status: UInt32 {
        let control = self[Register.control]
        let isUp = control & Intel82574.Control.linkUp != 0 && hasLink
        return 1 | (isUp ? 2 : 0) | 0x80 | 0x200
            | (control & Intel82574.Control.masterDisable == 0 ? 1 << 19 : 0)
    }
}
