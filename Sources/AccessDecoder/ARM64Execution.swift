extension ARM64Instruction {
    /// Carries the instruction out; the instruction pointer is behind it then. Registers of 16 bytes are moved in two
    /// pieces, from the lower address up.
    /// - Throws: ``AccessFault`` if memory could not be accessed. Registers are then as before.
    public func perform<Port: AccessPort>(
        on registers: inout ARM64Registers, through port: inout Port
    ) throws(AccessFault) {
        let (place, newBase) = place(registers)
        switch operation {
        case .load:
            let one = try load(place, &port)
            let other = second == nil ? nil : try load(place &+ UInt64(byteCount), &port)
            set(first, one, &registers, &port)
            if let second, let other { set(second, other, &registers, &port) }
        case .store:
            try store(first, place, registers, &port)
            if let second { try store(second, place &+ UInt64(byteCount), registers, &port) }
        case .change(let change):
            port.beginExclusive()
            defer { port.endExclusive() }
            let old = try port.load(place, byteCount: byteCount)
            let new = change.result(old, registers.read(operand), byteCount)
            try port.store(place, AccessWidth.truncate(new, byteCount), byteCount: byteCount)
            registers.write(first, old)
        case .compareAndSwap:
            port.beginExclusive()
            defer { port.endExclusive() }
            let old = try port.load(place, byteCount: byteCount)
            if old == AccessWidth.truncate(registers.read(operand), byteCount) {
                let new = AccessWidth.truncate(registers.read(first), byteCount)
                try port.store(place, new, byteCount: byteCount)
            }
            registers.write(operand, old)
        }
        if let newBase { registers.writeBase(base, newBase) }
        registers.instructionPointer &+= UInt64(Self.length)
    }

    private func place(_ registers: ARM64Registers) -> (UInt64, newBase: UInt64?) {
        let start = registers.readBase(base)
        switch address {
        case .offset(let offset): return (start &+ UInt64(bitPattern: offset), nil)
        case .before(let offset):
            let place = start &+ UInt64(bitPattern: offset)
            return (place, place)
        case .after(let offset): return (start, start &+ UInt64(bitPattern: offset))
        case .register(let number, let option, let shift):
            let value = registers.read(number)
            let extended =
                switch option {
                case 2: value & 0xffff_ffff
                case 6: AccessWidth.signExtend(value, 4)
                default: value
                }
            return (start &+ extended << shift, nil)
        }
    }

    private func load<Port: AccessPort>(
        _ place: UInt64, _ port: inout Port
    ) throws(AccessFault) -> (low: UInt64, high: UInt64) {
        if byteCount == 16 {
            let low = try port.load(place, byteCount: 8)
            return (low, try port.load(place &+ 8, byteCount: 8))
        }
        let value = try port.load(place, byteCount: byteCount)
        guard let signed else { return (value, 0) }
        return (AccessWidth.truncate(AccessWidth.signExtend(value, byteCount), signed), 0)
    }

    private func set<Port: AccessPort>(
        _ register: Int, _ value: (low: UInt64, high: UInt64), _ registers: inout ARM64Registers,
        _ port: inout Port
    ) {
        guard isVector else { return registers.write(register, value.low) }
        port.setVector(register, lane: 0, to: value.low)
        port.setVector(register, lane: 1, to: value.high)
    }

    private func store<Port: AccessPort>(
        _ register: Int, _ place: UInt64, _ registers: ARM64Registers, _ port: inout Port
    ) throws(AccessFault) {
        let low = isVector ? port.vector(register, lane: 0) : registers.read(register)
        guard byteCount == 16 else {
            return try port.store(place, AccessWidth.truncate(low, byteCount), byteCount: byteCount)
        }
        try port.store(place, low, byteCount: 8)
        try port.store(place &+ 8, port.vector(register, lane: 1), byteCount: 8)
    }
}

extension ARM64Change {
    func result(_ old: UInt64, _ operand: UInt64, _ byteCount: Int) -> UInt64 {
        let other = AccessWidth.truncate(operand, byteCount)
        let a = Int64(bitPattern: AccessWidth.signExtend(old, byteCount))
        let b = Int64(bitPattern: AccessWidth.signExtend(operand, byteCount))
        return switch self {
        case .add: old &+ other
        case .clear: old & ~other
        case .exclusiveOr: old ^ other
        case .set: old | other
        case .signedMaximum: a > b ? old : other
        case .signedMinimum: a < b ? old : other
        case .maximum: max(old, other)
        case .minimum: min(old, other)
        case .swap: other
        }
    }
}
