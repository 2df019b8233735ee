/// The place in memory that an instruction names: segment + base + index × scale + displacement.
struct X86MemoryOperand: Sendable {
    /// 0 to 15; nil where there is none.
    var base: Int?
    /// 0 to 15; nil where there is none.
    var index: Int?
    /// How often the index is doubled.
    var doublings: UInt64 = 0
    var displacement: Int64 = 0
    /// Whether the end of the instruction is the base.
    var isRelativeToInstruction = false
    /// Whether addresses are cut to 32 bits (prefix 67).
    var isNarrow = false
    var segment: X86Segment?

    /// The place's address.
    /// - Parameter length: the instruction's, in bytes.
    func address<Port: AccessPort>(_ registers: X86Registers, length: Int, _ port: borrowing Port) -> UInt64 {
        var offset = UInt64(bitPattern: displacement)
        if let base { offset &+= registers.general[base] }
        if let index { offset &+= registers.general[index] << doublings }
        if isRelativeToInstruction { offset &+= registers.instructionPointer &+ UInt64(length) }
        if isNarrow { offset &= 0xffff_ffff }
        return if let segment { port.base(of: segment) &+ offset } else { offset }
    }
}

extension X86Code {
    /// Reads a ModRM byte, and what follows it, whose operand is in memory.
    /// - Parameter scale: what a displacement of one byte counts in (AVX-512 compresses it).
    /// - Returns: the operand and the byte's middle field; nil if the operand is a register or bytes are missing.
    mutating func memoryOperand(_ prefixes: X86Prefixes, scale: Int64 = 1) -> (X86MemoryOperand, field: Int)?
    {
        guard let byte = next() else { return nil }
        let mode = byte >> 6
        if mode == 3 { return nil }
        var operand = X86MemoryOperand(isNarrow: prefixes.hasAddressSize, segment: prefixes.segment)
        let low = Int(byte & 7)
        var isDisplacementWide = mode == 2
        if low == 4 {
            guard let second = next() else { return nil }
            let index = Int(second >> 3 & 7) | (prefixes.x ? 8 : 0)
            if index != 4 { operand.index = index }
            operand.doublings = UInt64(second >> 6)
            if second & 7 == 5 && mode == 0 {
                isDisplacementWide = true
            } else {
                operand.base = Int(second & 7) | (prefixes.b ? 8 : 0)
            }
        } else if low == 5 && mode == 0 {
            operand.isRelativeToInstruction = true
            isDisplacementWide = true
        } else {
            operand.base = low | (prefixes.b ? 8 : 0)
        }
        if isDisplacementWide {
            guard let displacement = signed(4) else { return nil }
            operand.displacement = displacement
        } else if mode == 1 {
            guard let displacement = signed(1) else { return nil }
            operand.displacement = displacement * scale
        }
        return (operand, Int(byte >> 3 & 7))
    }
}
