/// One arm64 instruction that reads or writes memory, decoded.
///
/// Decoded are loads and stores of one register or two, general or vector, in all their forms of addressing, those with
/// an order (`ldar`, `stlr`, `ldapr`), and the atomic ones (`ldadd` and its kind, `swp`, `cas`). Not decoded are
/// exclusive pairs (`ldxr`, `stxr`), which need the processor's own monitor, and structures of vectors (`ld1`).
public struct ARM64Instruction: Sendable {
    /// What it does.
    public let operation: ARM64Operation
    /// How many bytes of memory each register has, 1 to 16.
    public let byteCount: Int
    /// Whether the registers are those of vectors.
    public let isVector: Bool
    /// The registers; the second is nil for one alone.
    let first: Int
    let second: Int?
    /// What `cas` compares with, and what the atomic ones take as their operand.
    var operand = 31
    let base: Int
    var address = Address.offset(0)
    /// How wide a loaded value is made with its sign: 8 or 4; nil for zeros.
    var signed: Int?

    enum Address: Sendable {
        /// base + offset
        case offset(Int64)
        /// base + offset, which becomes the base
        case before(Int64)
        /// base, which then becomes base + offset
        case after(Int64)
        /// base + a register, extended and shifted
        case register(Int, option: UInt32, shift: UInt64)
    }

    /// How many bytes it has: 4, as all of them.
    public static let length = 4
}

/// What an instruction does.
public enum ARM64Operation: Sendable, Equatable {
    /// Memory to registers.
    case load
    /// Registers to memory.
    case store
    /// A change in place, what was there before to a register.
    case change(ARM64Change)
    /// `cas`: stores where what is there is what was expected.
    case compareAndSwap
}

/// Atomic changes of memory, in the order of their encoding.
public enum ARM64Change: UInt32, Sendable, Equatable {
    /// Sum.
    case add
    /// Bits made 0.
    case clear
    /// Bits made the other.
    case exclusiveOr
    /// Bits made 1.
    case set
    /// The larger with signs.
    case signedMaximum
    /// The smaller with signs.
    case signedMinimum
    /// The larger.
    case maximum
    /// The smaller.
    case minimum
    /// The other (`swp`); not in the group of eight.
    case swap
}

extension ARM64Instruction {
    /// Decodes an instruction.
    /// - Returns: nil if it isn't one of those told above.
    public init?(_ word: UInt32) {
        func bits(_ low: UInt32, _ count: UInt32) -> UInt32 { word >> low & ((1 << count) - 1) }
        let size = Int(bits(30, 2))
        let isVector = bits(26, 1) != 0
        switch (bits(27, 3), bits(24, 2)) {
        case (0b111, 0b01):
            guard var result = Self(single: word, size, isVector) else { return nil }
            result.address = .offset(Int64(bits(10, 12)) * Int64(result.byteCount))
            self = result
        case (0b111, 0b00) where bits(21, 1) == 0:
            guard var result = Self(single: word, size, isVector) else { return nil }
            let offset = Int64(Int32(bitPattern: bits(12, 9) << 23) >> 23)
            switch bits(10, 2) {
            case 1: result.address = .after(offset)
            case 3: result.address = .before(offset)
            default: result.address = .offset(offset)
            }
            // Whether a register is both changed and moved is left open by the architecture.
            if bits(10, 1) != 0, !isVector, result.first == result.base, result.base != 31 { return nil }
            self = result
        case (0b111, 0b00) where bits(10, 2) == 2:
            guard var result = Self(single: word, size, isVector), bits(14, 1) != 0 else { return nil }
            let shift = bits(12, 1) != 0 ? UInt64(result.byteCount.trailingZeroBitCount) : 0
            result.address = .register(Int(bits(16, 5)), option: bits(13, 3), shift: shift)
            self = result
        case (0b111, 0b00) where bits(10, 2) == 0 && !isVector:
            guard let result = Self(atomic: word, size) else { return nil }
            self = result
        case (0b101, 0b00), (0b101, 0b01):
            guard let result = Self(pair: word, size, isVector) else { return nil }
            self = result
        case (0b001, 0b00) where !isVector && bits(23, 1) != 0:
            guard let result = Self(ordered: word, size) else { return nil }
            self = result
        default: return nil
        }
    }

    private init(
        _ operation: ARM64Operation, _ word: UInt32, byteCount: Int, isVector: Bool = false,
        second: Int? = nil
    ) {
        self.operation = operation
        self.byteCount = byteCount
        self.isVector = isVector
        self.second = second
        first = Int(word & 31)
        base = Int(word >> 5 & 31)
    }

    /// One register.
    private init?(single word: UInt32, _ size: Int, _ isVector: Bool) {
        let option = word >> 22 & 3
        if isVector {
            guard option & 2 == 0 || size == 0 else { return nil }
            self.init(
                option & 1 != 0 ? .load : .store, word, byteCount: option & 2 != 0 ? 16 : 1 << size,
                isVector: true)
            return
        }
        // Behind these are prefetches, and nothing.
        guard option < 2 || size < 5 - Int(option) else { return nil }
        self.init(option == 0 ? .store : .load, word, byteCount: 1 << size)
        if option >= 2 { signed = option == 2 ? 8 : 4 }
    }

    /// Two registers.
    private init?(pair word: UInt32, _ option: Int, _ isVector: Bool) {
        let isLoad = word >> 22 & 1 != 0
        // Without a base that changes, the fourth form says only that the data isn't needed again.
        let mode = word >> 23 & 3
        guard option != 3, isVector || option != 1 || (isLoad && mode != 0) else { return nil }
        let byteCount = isVector ? 4 << option : option == 2 ? 8 : 4
        self.init(
            isLoad ? .load : .store, word, byteCount: byteCount, isVector: isVector,
            second: Int(word >> 10 & 31))
        if !isVector && option == 1 { signed = 8 }
        let offset = Int64(Int32(bitPattern: (word >> 15 & 127) << 25) >> 25) * Int64(byteCount)
        switch mode {
        case 1: address = .after(offset)
        case 3: address = .before(offset)
        default: address = .offset(offset)
        }
        let changes = mode == 1 || mode == 3
        if changes && !isVector && base != 31 && (first == base || second == base) { return nil }
        if isLoad && second == first { return nil }
    }

    /// `ldar`, `stlr` and `cas`, in all their forms.
    private init?(ordered word: UInt32, _ size: Int) {
        guard word >> 10 & 31 == 31 else { return nil }
        let isLoad = word >> 22 & 1 != 0
        if word >> 21 & 1 != 0 {
            self.init(.compareAndSwap, word, byteCount: 1 << size)
            operand = Int(word >> 16 & 31)
            return
        }
        self.init(isLoad ? .load : .store, word, byteCount: 1 << size)
    }

    private init?(atomic word: UInt32, _ size: Int) {
        let number = word >> 12 & 7
        if word >> 15 & 1 == 0 {
            guard let change = ARM64Change(rawValue: number) else { return nil }
            self.init(.change(change), word, byteCount: 1 << size)
        } else if number == 0 {
            self.init(.change(.swap), word, byteCount: 1 << size)
        } else if number == 4, word >> 16 & 31 == 31, word >> 22 & 3 == 2 {
            self.init(.load, word, byteCount: 1 << size)
        } else {
            return nil
        }
        operand = Int(word >> 16 & 31)
    }
}
