import LinuxSystem

/// Which frames an 82574 receives (datasheet 7.1.1 and 7.1.2).
extension Intel82574Core.State {
    private typealias Register = Intel82574.Register
    private typealias Control = Intel82574.ReceiveControl

    /// What becomes of a frame from the wire.
    enum Verdict {
        case received, filtered, tooLong
    }

    /// Looks at a frame's address, length and VLAN.
    /// - Parameter tag: the VLAN tag that it has.
    func verdict(on destination: MACAddress, byteCount: Int, tag: UInt16?) -> Verdict {
        let control = self[Register.receiveControl]
        guard isWanted(destination, control) else { return .filtered }
        // With their checksum and a tag, usual frames have up to 1522 bytes.
        if byteCount + 4 > (control & Control.longFrames != 0 ? 16_384 : 1522) { return .tooLong }
        if let tag, control & Control.vlanFilter != 0 {
            let number = UInt64(tag & 0xfff)
            if self[Register.vlanTable + 4 * (number / 32)] >> UInt32(number % 32) & 1 == 0 {
                return .filtered
            }
        }
        return .received
    }

    private func isWanted(_ destination: MACAddress, _ control: UInt32) -> Bool {
        if destination.isBroadcast && control & (Control.broadcast | Control.allMulticast) != 0 {
            return true
        }
        if destination.isMulticast {
            if control & Control.allMulticast != 0 { return true }
        } else if control & Control.allUnicast != 0 {
            return true
        }
        if hasExactly(destination) { return true }
        return destination.isMulticast && !destination.isBroadcast && isInTable(destination, control)
    }

    /// Whether one of the 16 receive addresses is this one.
    private func hasExactly(_ destination: MACAddress) -> Bool {
        let low = UInt32(truncatingIfNeeded: destination.rawValue >> 16).byteSwapped
        let high = UInt32(UInt16(truncatingIfNeeded: destination.rawValue).byteSwapped) | 1 << 31
        for index in 0..<16 as Range<UInt64> {
            let place = Register.receiveAddress + 8 * index
            // Address select (bits 17:16) is 0 for destinations.
            if self[place + 4] & 0x8003_ffff == high && self[place] == low { return true }
        }
        return false
    }

    /// Whether the multicast table has the address: twelve bits of it, which RCTL's MO chooses, name a bit.
    private func isInTable(_ destination: MACAddress, _ control: UInt32) -> Bool {
        let bytes = UInt32(destination[4]) | UInt32(destination[5]) << 8
        let shift: UInt32 =
            switch control >> 12 & 3 {
            case 0: 4
            case 1: 3
            case 2: 2
            default: 0
            }
        let bit = UInt64(bytes >> shift & 0xfff)
        return self[Register.multicastTable + 4 * (bit / 32)] >> UInt32(bit % 32) & 1 != 0
    }
}
