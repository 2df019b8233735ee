import IOVASpace
import LinuxSystem

/// Bits in a user's memory, one for each page of a range.
struct UserBits {
    private let address: HostAddress
    private let first: UInt64
    private let shift: UInt64

    /// - Parameter pageSize: what one bit stands for; of several bits the lowest counts. Not 0.
    init(_ address: HostAddress, of range: IOVARange, pageSize: UInt64) {
        self.address = address
        first = range.first.rawValue
        shift = UInt64(pageSize.trailingZeroBitCount)
    }

    /// Sets the bits of a part of the range; others stay as they are.
    /// - Throws: `EFAULT`
    func set(_ part: IOVARange) throws(Errno) {
        var bit = (part.first.rawValue - first) >> shift
        // The last bit is counted, not the one behind it: that one might not exist.
        let last = (part.last.rawValue - first) >> shift
        while true {
            let inside = bit & 63
            let final = min(63, inside + (last - bit))
            let mask: UInt64 = (UInt64.max << inside) & (UInt64.max >> (63 - final))
            let (place, overflow) = UInt64(address.rawValue).addingReportingOverflow((bit >> 6) * 8)
            if overflow { throw .badAddress }
            let word = try UserMemory.load(UInt64(0), from: HostAddress(place))
            if word & mask != mask { try UserMemory.store(word | mask, to: HostAddress(place)) }
            if last - bit <= final - inside { return }
            bit += final - inside + 1
        }
    }
}
