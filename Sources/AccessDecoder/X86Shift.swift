/// Shifts and rotations, numbered as in the encoding.
public enum X86Shift: UInt8, Sendable {
    /// Rotation to the left.
    case rol = 0
    /// Rotation to the right.
    case ror = 1
    /// To the left.
    case shl = 4
    /// To the right, zeros come in.
    case shr = 5
    /// To the right, the sign comes in.
    case sar = 7

    /// Shifts a value and sets the flags.
    /// - Parameter count: as given; masked as the processor does.
    func perform(_ value: UInt64, by given: UInt64, _ byteCount: Int, _ registers: inout X86Registers)
        -> UInt64
    {
        let count = given & (byteCount == 8 ? 63 : 31)
        if count == 0 { return value }
        let bits = UInt64(byteCount * 8)
        switch self {
        case .rol, .ror:
            let turn = self == .rol ? count % bits : (bits - count % bits) % bits
            let turned =
                turn == 0
                ? value : AccessWidth.truncate(value << turn | value >> (bits - turn), byteCount)
            let top = AccessWidth.isNegative(turned, byteCount)
            var flags: UInt64 = 0
            if self == .rol {
                if turned & 1 != 0 { flags |= X86Flag.carry }
                if top != (turned & 1 != 0) { flags |= X86Flag.overflow }
            } else {
                if top { flags |= X86Flag.carry }
                if top != AccessWidth.isNegative(turned << 1, byteCount) { flags |= X86Flag.overflow }
            }
            let changed = X86Flag.carry | X86Flag.overflow
            registers.flags = registers.flags & ~changed | flags
            return turned
        case .shl:
            var result = X86Result(count >= bits ? 0 : value << count, byteCount)
            let carried = count <= bits && value >> (bits - count) & 1 != 0
            result.set(X86Flag.carry, if: carried)
            result.set(X86Flag.overflow, if: AccessWidth.isNegative(result.value, byteCount) != carried)
            registers.setArithmeticFlags(result.flags)
            return result.value
        case .shr:
            var result = X86Result(count >= bits ? 0 : value >> count, byteCount)
            result.set(X86Flag.carry, if: count <= bits && value >> (count - 1) & 1 != 0)
            result.set(X86Flag.overflow, if: AccessWidth.isNegative(value, byteCount))
            registers.setArithmeticFlags(result.flags)
            return result.value
        case .sar:
            let wide = Int64(bitPattern: AccessWidth.signExtend(value, byteCount))
            var result = X86Result(UInt64(bitPattern: wide >> Int64(min(count, 63))), byteCount)
            result.set(X86Flag.carry, if: (wide >> Int64(min(count - 1, 63))) & 1 != 0)
            registers.setArithmeticFlags(result.flags)
            return result.value
        }
    }
}
