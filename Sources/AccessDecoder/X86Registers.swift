/// The general registers of an x86-64 thread.
public struct X86Registers: Sendable {
    /// In the order of their encoding: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
    public var general: InlineArray<16, UInt64>
    /// `rip`: the instruction that is carried out next.
    public var instructionPointer: UInt64
    /// `rflags`.
    public var flags: UInt64

    /// A register file.
    public init(
        general: InlineArray<16, UInt64> = InlineArray(repeating: 0), instructionPointer: UInt64 = 0,
        flags: UInt64 = 2
    ) {
        self.general = general
        self.instructionPointer = instructionPointer
        self.flags = flags
    }

    /// The low bytes of a register, zero-extended.
    func read(_ register: X86Register, _ byteCount: Int) -> UInt64 {
        if register.isHighByte { return general[register.number] >> 8 & 0xff }
        return AccessWidth.truncate(general[register.number], byteCount)
    }

    /// Sets the low bytes of a register as the processor does: four bytes clear the upper half, one or two leave the
    /// rest as it was.
    mutating func write(_ register: X86Register, _ byteCount: Int, _ value: UInt64) {
        let number = register.number
        if register.isHighByte {
            general[number] = general[number] & ~0xff00 | (value & 0xff) << 8
            return
        }
        switch byteCount {
        case 8: general[number] = value
        case 4: general[number] = value & 0xffff_ffff
        default:
            let mask = AccessWidth.mask(byteCount)
            general[number] = general[number] & ~mask | value & mask
        }
    }
}

/// A general register as an instruction names it.
struct X86Register: Sendable, Equatable {
    /// 0 to 15.
    var number: Int
    /// Whether the second byte is meant: `ah`, `ch`, `dh`, `bh`.
    var isHighByte = false

    static let rax = X86Register(number: 0)
    static let rcx = X86Register(number: 1)
    static let rdx = X86Register(number: 2)
    static let rbx = X86Register(number: 3)
    static let rsp = X86Register(number: 4)
    static let rsi = X86Register(number: 6)
    static let rdi = X86Register(number: 7)
}
