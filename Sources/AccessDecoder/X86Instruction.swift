/// One x86-64 instruction that reads or writes memory, decoded.
///
/// Decoded are the moves (also with extension, swapped bytes, masks of AVX-512, and repeated), arithmetic, bit and
/// atomic instructions with an operand in memory. Not decoded are jumps and calls through memory, arithmetic on
/// vectors and floating point, and what only systems use.
public struct X86Instruction: Sendable {
    /// What it does.
    public internal(set) var operation: X86Operation
    /// How many bytes it has.
    public internal(set) var length = 0
    /// How many bytes of memory one access has; for a repeated one each of them, for a wide one all pieces.
    public internal(set) var byteCount: Int
    /// Where its operand is. Unused by the repeated ones.
    var memory = X86MemoryOperand()
    /// The size of the register or immediate operand, in bytes.
    var operandSize: Int
    var register = X86Register.rax
    /// Whether the memory operand is the destination, where there are both forms.
    var isStore = false
    /// The constant, sign-extended; nil where the second operand is the register.
    var immediate: UInt64?
    /// Whether other processors' atomic instructions wait.
    var isAtomic = false
    /// Whether it is repeated `rcx` times.
    var isRepeated = false
    /// How a vector register takes part.
    var vector = X86VectorShape()

    /// Whether it is a plain load or store, or both in one.
    public var access: X86Access {
        switch operation {
        case .load, .loadSigned, .loadSwapped, .multiply, .multiplyWide, .conditionalMove, .scan, .push,
            .loadString, .vectorLoad, .vectorBroadcast:
            .load
        case .store, .storeSwapped, .setCondition, .pop, .storeString, .vectorStore: .store
        case .arithmetic(let arithmetic): isStore && !arithmetic.onlyCompares ? .modify : .load
        case .bit(let bit): bit == .test ? .load : .modify
        case .increment, .decrement, .not, .negate, .shift, .exchange, .exchangeAdd, .compareExchange,
            .compareExchangeWide:
            .modify
        case .moveString: .copy
        }
    }
}

/// What an instruction does to memory.
public enum X86Access: Sendable, Equatable {
    /// One read.
    case load
    /// One write.
    case store
    /// One read, then one write of the same place.
    case modify
    /// One read from one place, one write to another.
    case copy
}

/// What an instruction does.
public enum X86Operation: Sendable {
    /// Memory to register, zero-extended.
    case load
    /// Memory to register, sign-extended.
    case loadSigned
    /// Memory to register, bytes in the other order.
    case loadSwapped
    /// Register or constant to memory.
    case store
    /// Register to memory, bytes in the other order.
    case storeSwapped
    /// Two operands, one of them in memory.
    case arithmetic(X86Arithmetic)
    /// Memory plus 1, the carry kept.
    case increment
    /// Memory minus 1, the carry kept.
    case decrement
    /// Every bit of memory the other way; no flags.
    case not
    /// 0 minus memory.
    case negate
    /// Memory shifted by a constant or by `cl`.
    case shift(X86Shift)
    /// `xchg`: always atomic.
    case exchange
    /// `xadd`
    case exchangeAdd
    /// `cmpxchg`
    case compareExchange
    /// `cmpxchg8b`, `cmpxchg16b`
    case compareExchangeWide
    /// `bt`, `bts`, `btr`, `btc`
    case bit(X86BitOperation)
    /// Register times memory, or memory times a constant, to register.
    case multiply
    /// `rax` times memory to `rdx:rax`.
    case multiplyWide(isSigned: Bool)
    /// `cmovcc`: reads in any case.
    case conditionalMove(UInt8)
    /// `setcc`
    case setCondition(UInt8)
    /// `bsf`, `bsr`, `tzcnt`, `lzcnt`, `popcnt`
    case scan(X86Scan)
    /// Memory to stack.
    case push
    /// Stack to memory.
    case pop
    /// `movs`
    case moveString
    /// `stos`
    case storeString
    /// `lods`
    case loadString
    /// Memory to a vector register.
    case vectorLoad
    /// A vector register to memory.
    case vectorStore
    /// One element of memory to all of a vector register.
    case vectorBroadcast
}

/// What is done to a single bit, after it has gone to the carry flag; in the order of the encoding from 4 on.
public enum X86BitOperation: UInt8, Sendable {
    /// Nothing.
    case test = 4
    /// Made 1.
    case set
    /// Made 0.
    case reset
    /// Made the other.
    case complement
}

/// Counting bits.
public enum X86Scan: Sendable {
    /// `bsf`: the lowest 1; the register stays as it was if there is none.
    case forward
    /// `bsr`: the highest 1; as above.
    case reverse
    /// `tzcnt`
    case trailingZeros
    /// `lzcnt`
    case leadingZeros
    /// `popcnt`
    case ones
}

/// How a vector register takes part in a move.
struct X86VectorShape: Sendable {
    /// 0 to 31.
    var register = 0
    /// The eight bytes at which the moved part begins: 1 for the high half of an `xmm`.
    var firstLane = 0
    /// What the part of the low 16 bytes that isn't loaded becomes.
    var rest = Rest.zero
    /// Whether the bytes above the first 16 stay as they were (SSE), or become 0 (AVX).
    var keepsUpper = false
    /// How many bytes a broadcast fills.
    var filled = 0
    /// Which mask register says what elements are moved; 0: all.
    var mask = 0
    /// The size of such an element, in bytes.
    var elementSize = 8
    /// Whether elements that aren't moved become 0.
    var zeroes = false

    enum Rest: Sendable {
        case zero
        case kept
        case from(Int)
    }
}
