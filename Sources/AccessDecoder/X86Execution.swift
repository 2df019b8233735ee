extension X86Instruction {
    /// How many rounds of a repeated instruction one call of ``perform(on:through:)`` does at most.
    public static let mostRounds = 4096

    /// Carries the instruction out.
    ///
    /// The registers are as after the instruction then, the instruction pointer behind it. Of a repeated one some
    /// rounds may be left, at most ``mostRounds`` are done, and the instruction pointer stands where it stood, as
    /// after an interrupt.
    /// - Throws: ``AccessFault`` if memory could not be accessed. Registers are then as before.
    public func perform<Port: AccessPort>(
        on registers: inout X86Registers, through port: inout Port
    ) throws(AccessFault) {
        switch operation {
        case .moveString, .storeString, .loadString:
            guard try performString(&registers, &port) else { return }
        case .vectorLoad, .vectorStore, .vectorBroadcast:
            let address = memory.address(registers, length: length, port)
            if case .vectorLoad = operation {
                try loadVector(address, &port)
            } else if case .vectorStore = operation {
                try storeVector(address, &port)
            } else {
                try broadcast(address, &port)
            }
        case .push, .pop: try performStack(&registers, &port)
        case .load, .loadSigned, .loadSwapped, .store, .storeSwapped, .setCondition, .conditionalMove:
            try performMove(&registers, &port)
        default:
            // `xchg` and what is locked is one step; so is nothing else.
            if isAtomic { port.beginExclusive() }
            defer { if isAtomic { port.endExclusive() } }
            try performArithmetic(&registers, &port)
        }
        registers.instructionPointer &+= UInt64(length)
    }

    private func performMove<Port: AccessPort>(
        _ registers: inout X86Registers, _ port: inout Port
    ) throws(AccessFault) {
        let address = memory.address(registers, length: length, port)
        switch operation {
        case .load: registers.write(register, operandSize, try port.load(address, byteCount: byteCount))
        case .loadSigned:
            let value = try port.load(address, byteCount: byteCount)
            registers.write(register, operandSize, AccessWidth.signExtend(value, byteCount))
        case .loadSwapped:
            let value = try port.load(address, byteCount: byteCount)
            registers.write(register, operandSize, AccessWidth.swapped(value, byteCount))
        case .storeSwapped:
            let value = AccessWidth.swapped(registers.read(register, operandSize), byteCount)
            try port.store(address, value, byteCount: byteCount)
        case .setCondition(let condition):
            try port.store(address, registers.holds(condition: condition) ? 1 : 0, byteCount: 1)
        case .conditionalMove(let condition):
            let value = try port.load(address, byteCount: byteCount)
            let old = registers.read(register, operandSize)
            registers.write(register, operandSize, registers.holds(condition: condition) ? value : old)
        default:
            try port.store(address, secondOperand(registers), byteCount: byteCount)
        }
    }

    /// The operand that isn't in memory.
    private func secondOperand(_ registers: X86Registers) -> UInt64 {
        if let immediate { return AccessWidth.truncate(immediate, operandSize) }
        return registers.read(register, operandSize)
    }

    private func performArithmetic<Port: AccessPort>(
        _ registers: inout X86Registers, _ port: inout Port
    ) throws(AccessFault) {
        var address = memory.address(registers, length: length, port)
        let size = operandSize
        if case .bit = operation, immediate == nil {
            // The number of a bit in a register reaches beyond the operand, in both directions.
            let number = Int64(bitPattern: AccessWidth.signExtend(registers.read(register, size), size))
            let words = number >> Int64((size * 8).trailingZeroBitCount)
            address &+= UInt64(bitPattern: words) &* UInt64(size)
            if memory.isNarrow && memory.segment == nil { address &= 0xffff_ffff }
        }
        if case .compareExchangeWide = operation {
            return try compareExchangeWide(address, &registers, &port)
        }
        let old = try port.load(address, byteCount: byteCount)
        var after = registers
        switch operation {
        case .arithmetic(let arithmetic):
            let other = secondOperand(registers)
            let (a, b) = isStore ? (old, other) : (other, old)
            let result = arithmetic.result(a, b, carry: registers.carry, size)
            after.setArithmeticFlags(result.flags)
            if !arithmetic.onlyCompares {
                if isStore {
                    try port.store(address, result.value, byteCount: byteCount)
                } else {
                    after.write(register, size, result.value)
                }
            }
        case .increment, .decrement:
            let result: X86Result =
                if case .increment = operation { .sum(old, 1, size) } else { .difference(old, 1, size) }
            after.setArithmeticFlags(result.flags, keeping: X86Flag.carry)
            try port.store(address, result.value, byteCount: byteCount)
        case .negate:
            let result = X86Result.difference(0, old, size)
            after.setArithmeticFlags(result.flags)
            try port.store(address, result.value, byteCount: byteCount)
        case .not: try port.store(address, AccessWidth.truncate(~old, size), byteCount: byteCount)
        case .shift(let shift):
            let count = immediate ?? registers.read(register, 1)
            let value = shift.perform(old, by: count, size, &after)
            try port.store(address, value, byteCount: byteCount)
        case .exchange:
            try port.store(address, registers.read(register, size), byteCount: byteCount)
            after.write(register, size, old)
        case .exchangeAdd:
            let result = X86Result.sum(old, registers.read(register, size), size)
            try port.store(address, result.value, byteCount: byteCount)
            after.setArithmeticFlags(result.flags)
            after.write(register, size, old)
        case .compareExchange:
            let result = X86Result.difference(registers.read(.rax, size), old, size)
            let isEqual = result.value == 0
            // The processor writes in either case.
            try port.store(address, isEqual ? registers.read(register, size) : old, byteCount: byteCount)
            after.setArithmeticFlags(result.flags)
            if !isEqual { after.write(.rax, size, old) }
        case .bit(let bit): try performBit(bit, address, old, registers, &after, &port)
        default: performReading(old, registers, &after)
        }
        registers = after
    }

    private func performBit<Port: AccessPort>(
        _ bit: X86BitOperation, _ address: UInt64, _ old: UInt64, _ registers: X86Registers,
        _ after: inout X86Registers, _ port: inout Port
    ) throws(AccessFault) {
        let number = immediate ?? registers.read(register, operandSize)
        let mask: UInt64 = 1 << (number & UInt64(operandSize * 8 - 1))
        after.flags = after.flags & ~X86Flag.carry | (old & mask != 0 ? X86Flag.carry : 0)
        switch bit {
        case .test: break
        case .set: try port.store(address, old | mask, byteCount: byteCount)
        case .reset: try port.store(address, old & ~mask, byteCount: byteCount)
        case .complement: try port.store(address, old ^ mask, byteCount: byteCount)
        }
    }

    /// What only reads memory, besides the moves and the arithmetic of two operands.
    private func performReading(_ old: UInt64, _ registers: X86Registers, _ after: inout X86Registers) {
        let size = operandSize
        let bits = UInt64(size * 8)
        switch operation {
        case .multiply:
            let a = Int64(bitPattern: AccessWidth.signExtend(old, size))
            let other = immediate ?? registers.read(register, size)
            let product = a.multipliedFullWidth(by: Int64(bitPattern: AccessWidth.signExtend(other, size)))
            let value = AccessWidth.truncate(product.low, size)
            let whole = Int64(bitPattern: AccessWidth.signExtend(value, size))
            let isWhole = product.high == whole >> 63 && product.low == UInt64(bitPattern: whole)
            setMultiplied(overflows: !isWhole, value, &after)
            after.write(register, size, value)
        case .multiplyWide(let isSigned): multiplyWide(old, isSigned: isSigned, registers, &after)
        case .scan(let scan):
            var flags: UInt64 = 0
            let value: UInt64
            switch scan {
            case .ones:
                value = UInt64(old.nonzeroBitCount)
                if old == 0 { flags |= X86Flag.zero }
            case .trailingZeros, .leadingZeros:
                if case .trailingZeros = scan {
                    value = min(UInt64(old.trailingZeroBitCount), bits)
                } else {
                    value = UInt64(old.leadingZeroBitCount) - (64 - bits)
                }
                if old == 0 { flags |= X86Flag.carry }
                if value == 0 { flags |= X86Flag.zero }
            case .forward, .reverse:
                if old == 0 {
                    after.flags |= X86Flag.zero
                    return
                }
                if case .forward = scan {
                    value = UInt64(old.trailingZeroBitCount)
                } else {
                    value = UInt64(63 - old.leadingZeroBitCount)
                }
            }
            after.setArithmeticFlags(flags)
            after.write(register, size, value)
        default: break
        }
    }

    private func setMultiplied(overflows: Bool, _ low: UInt64, _ after: inout X86Registers) {
        let flags = X86Result(low, operandSize).flags & ~X86Flag.zero
        after.setArithmeticFlags(flags | (overflows ? X86Flag.carry | X86Flag.overflow : 0))
    }

    private func multiplyWide(
        _ old: UInt64, isSigned: Bool, _ registers: X86Registers, _ after: inout X86Registers
    ) {
        let size = operandSize
        let low: UInt64
        let high: UInt64
        let overflows: Bool
        let a = registers.read(.rax, size)
        if isSigned {
            let left = Int64(bitPattern: AccessWidth.signExtend(a, size))
            let right = Int64(bitPattern: AccessWidth.signExtend(old, size))
            let product = left.multipliedFullWidth(by: right)
            low = AccessWidth.truncate(product.low, size)
            high =
                size == 8
                ? UInt64(bitPattern: product.high)
                : AccessWidth.truncate(product.low >> UInt64(size * 8), size)
            let sign = AccessWidth.isNegative(low, size) ? AccessWidth.mask(size) : 0
            overflows = high != sign
        } else {
            let product = a.multipliedFullWidth(by: old)
            low = AccessWidth.truncate(product.low, size)
            high = size == 8 ? product.high : AccessWidth.truncate(product.low >> UInt64(size * 8), size)
            overflows = high != 0
        }
        setMultiplied(overflows: overflows, low, &after)
        if size == 1 {
            after.write(.rax, 2, low | high << 8)
        } else {
            after.write(.rax, size, low)
            after.write(.rdx, size, high)
        }
    }

    private func compareExchangeWide<Port: AccessPort>(
        _ address: UInt64, _ registers: inout X86Registers, _ port: inout Port
    ) throws(AccessFault) {
        let size = operandSize
        let low = try port.load(address, byteCount: size)
        let high = try port.load(address &+ UInt64(size), byteCount: size)
        let isEqual = low == registers.read(.rax, size) && high == registers.read(.rdx, size)
        try port.store(address, isEqual ? registers.read(.rbx, size) : low, byteCount: size)
        try port.store(
            address &+ UInt64(size), isEqual ? registers.read(.rcx, size) : high, byteCount: size)
        registers.flags = registers.flags & ~X86Flag.zero | (isEqual ? X86Flag.zero : 0)
        if !isEqual {
            registers.write(.rax, size, low)
            registers.write(.rdx, size, high)
        }
    }

    private func performStack<Port: AccessPort>(
        _ registers: inout X86Registers, _ port: inout Port
    ) throws(AccessFault) {
        let size = UInt64(operandSize)
        var after = registers
        let stack = X86Register.rsp.number
        if case .push = operation {
            let value = try port.load(memory.address(registers, length: length, port), byteCount: byteCount)
            after.general[stack] &-= size
            try port.store(after.general[stack], value, byteCount: byteCount)
        } else {
            let value = try port.load(registers.general[stack], byteCount: byteCount)
            after.general[stack] &+= size
            // An address relative to the stack pointer is that after the pop.
            try port.store(memory.address(after, length: length, port), value, byteCount: byteCount)
        }
        registers = after
    }
}
