extension X86Instruction {
    /// Carries out `movs`, `stos` or `lods`.
    /// - Returns: whether the instruction is done; false if rounds are left.
    func performString<Port: AccessPort>(
        _ registers: inout X86Registers, _ port: inout Port
    ) throws(AccessFault) -> Bool {
        let width = memory.isNarrow ? 4 : 8
        var rounds = 0
        while !isRepeated || registers.read(.rcx, width) != 0 {
            // What is left is done when the instruction is carried out again.
            if rounds == X86Instruction.mostRounds { return false }
            do throws(AccessFault) {
                try performRound(&registers, width, &port)
            } catch {
                if rounds == 0 { throw error }
                // The rounds before have happened; the same fault comes again, as the first.
                return false
            }
            rounds += 1
            if !isRepeated { return true }
            registers.write(.rcx, width, registers.read(.rcx, width) &- 1)
        }
        return true
    }

    private func performRound<Port: AccessPort>(
        _ registers: inout X86Registers, _ width: Int, _ port: inout Port
    ) throws(AccessFault) {
        let goesDown = registers.flags & X86Flag.direction != 0
        let step = goesDown ? 0 &- UInt64(byteCount) : UInt64(byteCount)
        var source = registers.read(.rsi, width)
        if let segment = memory.segment { source &+= port.base(of: segment) }
        let destination = registers.read(.rdi, width)
        switch operation {
        case .moveString:
            let value = try port.load(source, byteCount: byteCount)
            try port.store(destination, value, byteCount: byteCount)
        case .storeString:
            try port.store(destination, registers.read(.rax, byteCount), byteCount: byteCount)
        default:
            registers.write(.rax, byteCount, try port.load(source, byteCount: byteCount))
        }
        if case .storeString = operation {
        } else {
            registers.write(.rsi, width, registers.read(.rsi, width) &+ step)
        }
        if case .loadString = operation {
        } else {
            registers.write(.rdi, width, registers.read(.rdi, width) &+ step)
        }
    }
}
