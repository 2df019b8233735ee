/// Values of 1, 2, 4 or 8 bytes in a 64-bit word.
enum AccessWidth {
    static func mask(_ byteCount: Int) -> UInt64 {
        byteCount >= 8 ? .max : (1 << UInt64(byteCount * 8)) - 1
    }

    static func truncate(_ value: UInt64, _ byteCount: Int) -> UInt64 { value & mask(byteCount) }

    static func signExtend(_ value: UInt64, _ byteCount: Int) -> UInt64 {
        if byteCount >= 8 { return value }
        let shift = UInt64(64 - byteCount * 8)
        return UInt64(bitPattern: Int64(bitPattern: value << shift) >> Int64(shift))
    }

    static func signBit(_ byteCount: Int) -> UInt64 { 1 << UInt64(byteCount * 8 - 1) }

    static func isNegative(_ value: UInt64, _ byteCount: Int) -> Bool { value & signBit(byteCount) != 0 }

    /// The bytes of a value in the other order.
    static func swapped(_ value: UInt64, _ byteCount: Int) -> UInt64 {
        value.byteSwapped >> UInt64(64 - byteCount * 8)
    }
}
