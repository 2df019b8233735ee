/// The bits of `rflags` that arithmetic sets.
enum X86Flag {
    static let carry: UInt64 = 1 << 0
    static let parity: UInt64 = 1 << 2
    static let adjust: UInt64 = 1 << 4
    static let zero: UInt64 = 1 << 6
    static let sign: UInt64 = 1 << 7
    static let direction: UInt64 = 1 << 10
    static let overflow: UInt64 = 1 << 11
    static let arithmetic = carry | parity | adjust | zero | sign | overflow
}

extension X86Registers {
    var carry: UInt64 { flags & X86Flag.carry }

    /// Replaces the flags of arithmetic.
    mutating func setArithmeticFlags(_ new: UInt64, keeping kept: UInt64 = 0) {
        let changed = X86Flag.arithmetic & ~kept
        flags = flags & ~changed | new & changed
    }

    /// What a condition code (the low four bits of `jcc`, `setcc`, `cmovcc`) says of the flags.
    func holds(condition: UInt8) -> Bool {
        func isSet(_ flag: UInt64) -> Bool { flags & flag != 0 }
        let outcome: Bool
        switch condition >> 1 & 7 {
        case 0: outcome = isSet(X86Flag.overflow)
        case 1: outcome = isSet(X86Flag.carry)
        case 2: outcome = isSet(X86Flag.zero)
        case 3: outcome = isSet(X86Flag.carry | X86Flag.zero)
        case 4: outcome = isSet(X86Flag.sign)
        case 5: outcome = isSet(X86Flag.parity)
        case 6: outcome = isSet(X86Flag.sign) != isSet(X86Flag.overflow)
        default: outcome = isSet(X86Flag.zero) || isSet(X86Flag.sign) != isSet(X86Flag.overflow)
        }
        return outcome != (condition & 1 != 0)
    }
}

/// A result of arithmetic with the flags that it sets.
struct X86Result {
    var value: UInt64
    var flags: UInt64

    /// A result with the flags that depend on the value alone: zero, sign and parity.
    init(_ value: UInt64, _ byteCount: Int) {
        self.value = AccessWidth.truncate(value, byteCount)
        flags = 0
        if self.value == 0 { flags |= X86Flag.zero }
        if AccessWidth.isNegative(self.value, byteCount) { flags |= X86Flag.sign }
        if (self.value & 0xff).nonzeroBitCount & 1 == 0 { flags |= X86Flag.parity }
    }

    mutating func set(_ flag: UInt64, if condition: Bool) { if condition { flags |= flag } }

    static func sum(_ a: UInt64, _ b: UInt64, carry: UInt64 = 0, _ byteCount: Int) -> X86Result {
        var result = X86Result(a &+ b &+ carry, byteCount)
        let value = result.value
        // The carries out of every bit: where both have it, or one has it and the sum has lost it.
        let carries = (a & b) | ((a | b) & ~value)
        result.set(X86Flag.carry, if: AccessWidth.isNegative(carries, byteCount))
        result.set(X86Flag.adjust, if: (a ^ b ^ value) & 0x10 != 0)
        result.set(X86Flag.overflow, if: AccessWidth.isNegative((a ^ value) & (b ^ value), byteCount))
        return result
    }

    static func difference(_ a: UInt64, _ b: UInt64, borrow: UInt64 = 0, _ byteCount: Int) -> X86Result {
        var result = X86Result(a &- b &- borrow, byteCount)
        let value = result.value
        let borrows = (~a & b) | ((~a | b) & value)
        result.set(X86Flag.carry, if: AccessWidth.isNegative(borrows, byteCount))
        result.set(X86Flag.adjust, if: (a ^ b ^ value) & 0x10 != 0)
        result.set(X86Flag.overflow, if: AccessWidth.isNegative((a ^ b) & (a ^ value), byteCount))
        return result
    }
}

/// The operations of two operands that most of the instruction set is made of, in the order of their encoding.
public enum X86Arithmetic: UInt8, Sendable {
    /// Sum.
    case add
    /// Bits of either.
    case or
    /// Sum with carry.
    case adc
    /// Difference with borrow.
    case sbb
    /// Bits of both.
    case and
    /// Difference.
    case sub
    /// Bits of one of both.
    case xor
    /// A difference of which only the flags remain.
    case cmp
    /// Common bits, of which only the flags remain. (Not in the group of eight.)
    case test

    /// Whether the destination stays as it was.
    var onlyCompares: Bool {
        switch self {
        case .cmp, .test: true
        default: false
        }
    }

    func result(_ a: UInt64, _ b: UInt64, carry: UInt64, _ byteCount: Int) -> X86Result {
        switch self {
        case .add: .sum(a, b, byteCount)
        case .adc: .sum(a, b, carry: carry, byteCount)
        case .sub, .cmp: .difference(a, b, byteCount)
        case .sbb: .difference(a, b, borrow: carry, byteCount)
        case .or: X86Result(a | b, byteCount)
        case .and, .test: X86Result(a & b, byteCount)
        case .xor: X86Result(a ^ b, byteCount)
        }
    }
}
