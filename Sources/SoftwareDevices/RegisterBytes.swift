/// Registers that are bytes in memory, the lowest first.
extension [UInt8] {
    /// Stores 32 bits; what lies beyond the end is left out.
    mutating func put(_ value: UInt32, at offset: Int) {
        for index in 0..<4 where offset + index < count {
            self[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index))
        }
    }

    /// Loads a value of 1, 2 or 4 bytes; what lies beyond the end is 0.
    func get(at offset: UInt64, width: Int) -> UInt32 {
        var value: UInt32 = 0
        for index in 0..<width where offset < UInt64(count) && Int(offset) + index < count {
            value |= UInt32(self[Int(offset) + index]) << UInt32(8 * index)
        }
        return value
    }
}
