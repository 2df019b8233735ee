/// Moves between memory and vector registers.
extension X86Instruction {
    /// A move of the low bytes of a vector register in the form of SSE.
    static func vectorMove(
        _ prefixes: X86Prefixes, _ code: inout X86Code, byteCount: Int, isStore: Bool,
        firstLane: Int = 0, rest: X86VectorShape.Rest = .zero
    ) -> X86Instruction? {
        guard let (memory, field) = code.memoryOperand(prefixes) else { return nil }
        var result = X86Instruction(
            operation: isStore ? .vectorStore : .vectorLoad, byteCount: byteCount, operandSize: 16)
        result.memory = memory
        result.vector.register = field | (prefixes.r ? 8 : 0)
        result.vector.firstLane = firstLane
        result.vector.rest = rest
        result.vector.keepsUpper = true
        return result
    }

    /// SSE: opcodes behind 0F.
    static func decodeVector(
        _ opcode: UInt8, _ prefixes: X86Prefixes, _ code: inout X86Code
    ) -> X86Instruction? {
        guard let move = X86VectorMove(opcode, prefixes.selector, w: prefixes.w, byteCount: 16) else {
            return nil
        }
        return vectorMove(
            prefixes, &code, byteCount: move.byteCount, isStore: move.isStore, firstLane: move.firstLane,
            rest: move.mergesHalf ? .kept : .zero)
    }

    /// AVX: the prefixes C4 and C5.
    static func decodeVEX(
        _ lead: UInt8, _ outer: X86Prefixes, _ code: inout X86Code
    ) -> X86Instruction? {
        guard let first = code.next() else { return nil }
        var prefixes = outer
        prefixes.r = first & 0x80 == 0
        var map: UInt8 = 1
        var last = first
        if lead == 0xc4 {
            prefixes.x = first & 0x40 == 0
            prefixes.b = first & 0x20 == 0
            map = first & 31
            guard let second = code.next() else { return nil }
            last = second
            prefixes.w = second & 0x80 != 0
        }
        let selector: UInt8 =
            switch last & 3 {
            case 0: 0
            case 1: 0x66
            case 2: 0xf3
            default: 0xf2
            }
        let byteCount = last & 4 != 0 ? 32 : 16
        guard let opcode = code.next() else { return nil }
        if map == 2 { return decodeVEX38(opcode, selector, prefixes, &code, byteCount: byteCount) }
        guard map == 1,
            let move = X86VectorMove(opcode, selector, w: prefixes.w, byteCount: byteCount),
            var result = vectorMove(
                prefixes, &code, byteCount: move.byteCount, isStore: move.isStore, firstLane: move.firstLane,
                rest: move.mergesHalf ? .from(Int(~last >> 3 & 15)) : .zero)
        else { return nil }
        result.vector.keepsUpper = false
        return result
    }

    private static func decodeVEX38(
        _ opcode: UInt8, _ selector: UInt8, _ prefixes: X86Prefixes, _ code: inout X86Code, byteCount: Int
    ) -> X86Instruction? {
        guard selector == 0x66 else { return nil }
        let element: Int
        switch opcode {
        case 0x2a: element = byteCount
        case 0x18, 0x58: element = 4
        case 0x19, 0x59: element = 8
        case 0x1a, 0x5a: element = 16
        case 0x78: element = 1
        case 0x79: element = 2
        default: return nil
        }
        guard var result = vectorMove(prefixes, &code, byteCount: element, isStore: false) else { return nil }
        result.vector.keepsUpper = false
        if opcode != 0x2a {
            result.operation = .vectorBroadcast
            result.vector.filled = byteCount
        }
        return result
    }

    /// AVX-512: the prefix 62, for moves of whole registers and of single words.
    static func decodeEVEX(_ outer: X86Prefixes, _ code: inout X86Code) -> X86Instruction? {
        guard let p0 = code.next(), let p1 = code.next(), let p2 = code.next(), let opcode = code.next(),
            p0 & 0x08 == 0, p1 & 4 != 0
        else { return nil }
        var prefixes = outer
        prefixes.r = p0 & 0x80 == 0
        prefixes.x = p0 & 0x40 == 0
        prefixes.b = p0 & 0x20 == 0
        prefixes.w = p1 & 0x80 != 0
        let selector: UInt8 =
            switch p1 & 3 {
            case 0: 0
            case 1: 0x66
            case 2: 0xf3
            default: 0xf2
            }
        // Broadcast, rounding, and a second source don't occur with moves.
        guard p2 & 0x10 == 0, p1 >> 3 & 15 == 15, p2 & 8 != 0, p2 >> 5 & 3 != 3 else { return nil }
        let whole = 16 << Int(p2 >> 5 & 3)
        guard let move = X86VectorMove(evex: opcode, selector, map: p0 & 7, w: prefixes.w, byteCount: whole),
            let (memory, field) = code.memoryOperand(prefixes, scale: Int64(move.byteCount))
        else { return nil }
        let mask = Int(p2 & 7)
        // Zeroing makes sense for loads under a mask only; single words know no mask here.
        guard p2 & 0x80 == 0 || (mask != 0 && !move.isStore), mask == 0 || move.elementSize != 0 else {
            return nil
        }
        var result = X86Instruction(
            operation: move.isStore ? .vectorStore : .vectorLoad, byteCount: move.byteCount, operandSize: 16)
        result.memory = memory
        result.vector.register = field | (prefixes.r ? 8 : 0) | (p0 & 0x10 == 0 ? 16 : 0)
        result.vector.mask = mask
        result.vector.elementSize = move.elementSize
        result.vector.zeroes = p2 & 0x80 != 0
        return result
    }
}

/// What an opcode moves between memory and a vector register.
private struct X86VectorMove {
    var byteCount: Int
    var isStore: Bool
    /// 1 for the high half of an `xmm`.
    var firstLane = 0
    /// Whether a load leaves the other half as it was, or takes it from another register.
    var mergesHalf = false
    /// The size of an element under a mask; 0: no mask is possible.
    var elementSize = 0

    /// The opcodes behind 0F, with their prefix and width.
    init?(_ opcode: UInt8, _ selector: UInt8, w: Bool, byteCount whole: Int) {
        isStore = opcode & 1 != 0
        byteCount = whole
        switch (opcode, selector) {
        // movups, movupd; movss, movsd
        case (0x10...0x11, 0), (0x10...0x11, 0x66): break
        case (0x10...0x11, 0xf3): byteCount = 4
        case (0x10...0x11, _): byteCount = 8
        // movlps, movlpd; movhps, movhpd
        case (0x12...0x13, 0), (0x12...0x13, 0x66), (0x16...0x17, 0), (0x16...0x17, 0x66):
            guard whole == 16 else { return nil }
            byteCount = 8
            mergesHalf = true
            firstLane = opcode & 4 != 0 ? 1 : 0
        // movaps, movapd
        case (0x28...0x29, 0), (0x28...0x29, 0x66): break
        // movntps, movntpd
        case (0x2b, 0), (0x2b, 0x66): break
        // movd, movq
        case (0x6e, 0x66), (0x7e, 0x66):
            byteCount = w ? 8 : 4
            isStore = opcode == 0x7e
        case (0x7e, 0xf3):
            byteCount = 8
            isStore = false
        case (0xd6, 0x66):
            byteCount = 8
            isStore = true
        // movdqa, movdqu
        case (0x6f, 0x66), (0x6f, 0xf3), (0x7f, 0x66), (0x7f, 0xf3): isStore = opcode == 0x7f
        // movntdq
        case (0xe7, 0x66): break
        // lddqu
        case (0xf0, 0xf2): break
        default: return nil
        }
    }

    /// The same for AVX-512.
    init?(evex opcode: UInt8, _ selector: UInt8, map: UInt8, w: Bool, byteCount whole: Int) {
        if map == 2 {
            guard opcode == 0x2a, selector == 0x66, !w else { return nil }
            byteCount = whole
            isStore = false
            return
        }
        guard map == 1 else { return nil }
        switch (opcode, selector) {
        case (0x10...0x11, 0), (0x28...0x29, 0): elementSize = 4
        case (0x10...0x11, 0x66), (0x28...0x29, 0x66): elementSize = 8
        case (0x6f, 0x66), (0x6f, 0xf3), (0x7f, 0x66), (0x7f, 0xf3): elementSize = w ? 8 : 4
        case (0x6f, 0xf2), (0x7f, 0xf2): elementSize = w ? 2 : 1
        case (0x2b, 0), (0x2b, 0x66), (0xe7, 0x66): break
        case (0x6e, 0x66), (0x7e, 0x66), (0x7e, 0xf3), (0xd6, 0x66): break
        default: return nil
        }
        byteCount = whole
        isStore = opcode & 1 != 0 && opcode != 0x6f
        switch (opcode, selector) {
        case (0x6e, _), (0x7e, 0x66):
            byteCount = w ? 8 : 4
            isStore = opcode == 0x7e
        case (0x7e, 0xf3):
            byteCount = 8
            isStore = false
        case (0xd6, _):
            byteCount = 8
            isStore = true
        default: break
        }
    }
}
