extension X86Instruction {
    /// Decodes an instruction.
    /// - Returns: nil if it isn't one of those told above, has no operand in memory, or isn't complete.
    public init?(_ code: X86Code) {
        var code = code
        let prefixes = X86Prefixes.read(from: &code)
        guard let opcode = code.next() else { return nil }
        let decoded: X86Instruction?
        switch opcode {
        case 0x0f:
            guard let second = code.next() else { return nil }
            switch second {
            case 0x38:
                guard let third = code.next() else { return nil }
                decoded = X86Instruction.decode0F38(third, prefixes, &code)
            default:
                decoded =
                    X86Instruction.decode0F(second, prefixes, &code)
                    ?? X86Instruction.decodeVector(second, prefixes, &code)
            }
        case 0xc4, 0xc5, 0x62:
            // No other prefix that says the same may stand before these.
            guard !prefixes.hasOperandSize, prefixes.repetition == 0, !prefixes.isLocked, !prefixes.hasREX
            else {
                return nil
            }
            decoded =
                opcode == 0x62
                ? X86Instruction.decodeEVEX(prefixes, &code)
                : X86Instruction.decodeVEX(opcode, prefixes, &code)
        default: decoded = X86Instruction.decodeOneByte(opcode, prefixes, &code)
        }
        guard var result = decoded else { return nil }
        // Elsewhere the processor refuses the prefix.
        if prefixes.isLocked {
            guard result.access == .modify else { return nil }
            if case .shift = result.operation { return nil }
        }
        result.length = code.position
        self = result
    }

    /// An instruction with a ModRM byte and a register operand.
    private init?(
        _ operation: X86Operation, _ prefixes: X86Prefixes, _ code: inout X86Code, size: Int,
        byteCount: Int? = nil, isStore: Bool = false
    ) {
        guard let (memory, field) = code.memoryOperand(prefixes) else { return nil }
        self.init(operation: operation, byteCount: byteCount ?? size, operandSize: size)
        self.memory = memory
        self.isStore = isStore
        register = prefixes.register(field, size)
        isAtomic = prefixes.isLocked
    }

    private static func decodeOneByte(
        _ opcode: UInt8, _ prefixes: X86Prefixes, _ code: inout X86Code
    ) -> X86Instruction? {
        // In most pairs the even opcode is the form for bytes.
        let size = opcode & 1 == 0 ? 1 : prefixes.wordSize
        switch opcode {
        case 0x00...0x3f where opcode & 7 < 4:
            guard let arithmetic = X86Arithmetic(rawValue: opcode >> 3) else { return nil }
            return X86Instruction(
                .arithmetic(arithmetic), prefixes, &code, size: size, isStore: opcode & 2 == 0)
        case 0x63:
            // Without REX.W it is a plain move of four (or two) bytes.
            return X86Instruction(
                .loadSigned, prefixes, &code, size: prefixes.wordSize, byteCount: min(prefixes.wordSize, 4))
        case 0x69, 0x6b:
            guard
                var result = X86Instruction(.multiply, prefixes, &code, size: prefixes.wordSize),
                let constant = code.signed(opcode == 0x6b ? 1 : min(prefixes.wordSize, 4))
            else { return nil }
            result.immediate = UInt64(bitPattern: constant)
            return result
        case 0x80, 0x81, 0x83:
            guard
                var result = X86Instruction(.store, prefixes, &code, size: size, isStore: true),
                let arithmetic = X86Arithmetic(rawValue: UInt8(result.field(prefixes))),
                let constant = code.signed(opcode == 0x81 ? min(size, 4) : 1)
            else { return nil }
            result.operation = .arithmetic(arithmetic)
            result.immediate = UInt64(bitPattern: constant)
            return result
        case 0x84, 0x85:
            return X86Instruction(.arithmetic(.test), prefixes, &code, size: size, isStore: true)
        case 0x86, 0x87:
            var result = X86Instruction(.exchange, prefixes, &code, size: size)
            result?.isAtomic = true
            return result
        case 0x88, 0x89: return X86Instruction(.store, prefixes, &code, size: size, isStore: true)
        case 0x8a, 0x8b: return X86Instruction(.load, prefixes, &code, size: size)
        case 0x8f: return stackOperand(.pop, only: 0, prefixes, &code)
        case 0xa0...0xa3: return absolute(opcode, size, prefixes, &code)
        case 0xa4, 0xa5: return string(.moveString, size, prefixes)
        case 0xaa, 0xab: return string(.storeString, size, prefixes)
        case 0xac, 0xad: return string(.loadString, size, prefixes)
        case 0xc0, 0xc1, 0xd0...0xd3: return shift(opcode, size, prefixes, &code)
        case 0xc6, 0xc7:
            guard
                var result = X86Instruction(.store, prefixes, &code, size: size, isStore: true),
                result.field(prefixes) == 0, let constant = code.signed(min(size, 4))
            else { return nil }
            result.immediate = UInt64(bitPattern: constant)
            return result
        case 0xf6, 0xf7: return decodeUnary(size, prefixes, &code)
        case 0xfe, 0xff:
            if opcode == 0xff, let push = stackOperand(.push, only: 6, prefixes, &code) { return push }
            guard var result = X86Instruction(.increment, prefixes, &code, size: size) else { return nil }
            switch result.field(prefixes) {
            case 0: break
            case 1: result.operation = .decrement
            default: return nil
            }
            return result
        default: return nil
        }
    }

    /// The three-bit field that chooses within a group, from the register that it was taken for.
    private func field(_ prefixes: X86Prefixes) -> Int {
        register.isHighByte ? register.number + 4 : register.number & 7
    }

    private static func decodeUnary(
        _ size: Int, _ prefixes: X86Prefixes, _ code: inout X86Code
    ) -> X86Instruction? {
        guard var result = X86Instruction(.not, prefixes, &code, size: size) else { return nil }
        switch result.field(prefixes) {
        case 0, 1:
            guard let constant = code.signed(min(size, 4)) else { return nil }
            result.operation = .arithmetic(.test)
            result.isStore = true
            result.immediate = UInt64(bitPattern: constant)
        case 2: break
        case 3: result.operation = .negate
        case 4: result.operation = .multiplyWide(isSigned: false)
        case 5: result.operation = .multiplyWide(isSigned: true)
        default: return nil
        }
        return result
    }

    private static func shift(
        _ opcode: UInt8, _ size: Int, _ prefixes: X86Prefixes, _ code: inout X86Code
    ) -> X86Instruction? {
        guard
            var result = X86Instruction(.not, prefixes, &code, size: size),
            let shift = X86Shift(rawValue: UInt8(result.field(prefixes)))
        else { return nil }
        result.operation = .shift(shift)
        switch opcode {
        case 0xc0, 0xc1:
            guard let count = code.next() else { return nil }
            result.immediate = UInt64(count)
        case 0xd0, 0xd1: result.immediate = 1
        default: result.register = .rcx
        }
        return result
    }

    /// `push` and `pop`, whose operand has eight bytes, or two.
    private static func stackOperand(
        _ operation: X86Operation, only field: Int, _ prefixes: X86Prefixes, _ code: inout X86Code
    ) -> X86Instruction? {
        let start = code
        guard
            let result = X86Instruction(operation, prefixes, &code, size: prefixes.hasOperandSize ? 2 : 8),
            result.field(prefixes) == field
        else {
            code = start
            return nil
        }
        return result
    }

    /// `mov` between `rax` and an address that stands in the instruction.
    private static func absolute(
        _ opcode: UInt8, _ size: Int, _ prefixes: X86Prefixes, _ code: inout X86Code
    ) -> X86Instruction? {
        guard let address = code.signed(prefixes.hasAddressSize ? 4 : 8) else { return nil }
        var result = X86Instruction(
            operation: opcode < 0xa2 ? .load : .store, byteCount: size, operandSize: size)
        result.memory = X86MemoryOperand(
            displacement: address, isNarrow: prefixes.hasAddressSize, segment: prefixes.segment)
        return result
    }

    private static func string(_ operation: X86Operation, _ size: Int, _ prefixes: X86Prefixes)
        -> X86Instruction
    {
        var result = X86Instruction(operation: operation, byteCount: size, operandSize: size)
        result.memory = X86MemoryOperand(isNarrow: prefixes.hasAddressSize, segment: prefixes.segment)
        result.isRepeated = prefixes.repetition != 0
        return result
    }

    private static func decode0F(
        _ opcode: UInt8, _ prefixes: X86Prefixes, _ code: inout X86Code
    ) -> X86Instruction? {
        let size = prefixes.wordSize
        switch opcode {
        case 0x40...0x4f:
            return X86Instruction(.conditionalMove(opcode & 15), prefixes, &code, size: size)
        case 0x90...0x9f: return X86Instruction(.setCondition(opcode & 15), prefixes, &code, size: 1)
        case 0xa3, 0xab, 0xb3, 0xbb:
            guard let bit = X86BitOperation(rawValue: opcode >> 3 & 7) else { return nil }
            return X86Instruction(.bit(bit), prefixes, &code, size: size)
        case 0xba:
            guard
                var result = X86Instruction(.not, prefixes, &code, size: size),
                let bit = X86BitOperation(rawValue: UInt8(result.field(prefixes))),
                let number = code.next()
            else { return nil }
            result.operation = .bit(bit)
            result.immediate = UInt64(number)
            return result
        case 0xaf: return X86Instruction(.multiply, prefixes, &code, size: size)
        case 0xb0, 0xb1:
            return X86Instruction(.compareExchange, prefixes, &code, size: opcode == 0xb0 ? 1 : size)
        case 0xb6, 0xbe:
            return X86Instruction(
                opcode == 0xb6 ? .load : .loadSigned, prefixes, &code, size: size, byteCount: 1)
        case 0xb7, 0xbf:
            return X86Instruction(
                opcode == 0xb7 ? .load : .loadSigned, prefixes, &code, size: size, byteCount: 2)
        case 0xb8 where prefixes.repetition == 0xf3:
            return X86Instruction(.scan(.ones), prefixes, &code, size: size)
        case 0xbc:
            let scan: X86Scan = prefixes.repetition == 0xf3 ? .trailingZeros : .forward
            return X86Instruction(.scan(scan), prefixes, &code, size: size)
        case 0xbd:
            let scan: X86Scan = prefixes.repetition == 0xf3 ? .leadingZeros : .reverse
            return X86Instruction(.scan(scan), prefixes, &code, size: size)
        case 0xc0, 0xc1:
            return X86Instruction(.exchangeAdd, prefixes, &code, size: opcode == 0xc0 ? 1 : size)
        case 0xc3 where prefixes.selector == 0:
            return X86Instruction(.store, prefixes, &code, size: size, isStore: true)
        case 0xc7:
            let size = prefixes.w ? 8 : 4
            guard
                let result = X86Instruction(
                    .compareExchangeWide, prefixes, &code, size: size, byteCount: size * 2),
                result.field(prefixes) == 1
            else { return nil }
            return result
        default: return nil
        }
    }

    private static func decode0F38(
        _ opcode: UInt8, _ prefixes: X86Prefixes, _ code: inout X86Code
    ) -> X86Instruction? {
        switch opcode {
        case 0xf0 where prefixes.repetition == 0:
            return X86Instruction(.loadSwapped, prefixes, &code, size: prefixes.wordSize)
        case 0xf1 where prefixes.repetition == 0:
            return X86Instruction(.storeSwapped, prefixes, &code, size: prefixes.wordSize, isStore: true)
        // movntdqa
        case 0x2a where prefixes.selector == 0x66:
            return vectorMove(prefixes, &code, byteCount: 16, isStore: false)
        default: return nil
        }
    }
}
