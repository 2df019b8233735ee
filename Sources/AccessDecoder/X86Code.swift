/// The bytes of one instruction, read from the front.
public struct X86Code: Sendable {
    /// The longest instruction that the processor takes.
    public static let mostBytes = 15

    private var bytes: InlineArray<15, UInt8>
    private let count: Int
    private(set) var position = 0

    /// Code to decode.
    /// - Parameters:
    ///   - bytes: what stands at the instruction pointer.
    ///   - count: how many of them are known; fewer than 15 where the memory behind can't be read.
    public init(_ bytes: InlineArray<15, UInt8>, count: Int = X86Code.mostBytes) {
        self.bytes = bytes
        self.count = max(0, min(count, X86Code.mostBytes))
    }

    mutating func next() -> UInt8? {
        guard position < count else { return nil }
        defer { position += 1 }
        return bytes[position]
    }

    /// A little-endian number with a sign.
    mutating func signed(_ byteCount: Int) -> Int64? {
        guard position + byteCount <= count else { return nil }
        var value: UInt64 = 0
        for index in 0..<byteCount { value |= UInt64(bytes[position + index]) << UInt64(index * 8) }
        position += byteCount
        return Int64(bitPattern: AccessWidth.signExtend(value, byteCount))
    }

    /// Puts the last byte back.
    mutating func back() { position -= 1 }
}

/// What stands in front of an opcode.
struct X86Prefixes: Sendable {
    /// 66
    var hasOperandSize = false
    /// 67
    var hasAddressSize = false
    /// F0
    var isLocked = false
    /// F2 or F3, whichever came last; 0 without.
    var repetition: UInt8 = 0
    var segment: X86Segment?
    /// Whether there was a REX prefix: byte registers 4 to 7 are then `spl` to `dil`.
    var hasREX = false
    var w = false
    /// The bits that extend the register fields, as if written plainly.
    var r = false
    var x = false
    var b = false

    /// Reads the prefixes; the code then stands before the opcode.
    static func read(from code: inout X86Code) -> X86Prefixes {
        var prefixes = X86Prefixes()
        while let byte = code.next() {
            switch byte {
            case 0x66: prefixes.hasOperandSize = true
            case 0x67: prefixes.hasAddressSize = true
            case 0xf0: prefixes.isLocked = true
            case 0xf2, 0xf3: prefixes.repetition = byte
            case 0x64: prefixes.segment = .fs
            case 0x65: prefixes.segment = .gs
            // Segments without a base in 64-bit mode; before a jump, hints.
            case 0x26, 0x2e, 0x36, 0x3e: break
            case 0x40...0x4f:
                prefixes.hasREX = true
                prefixes.w = byte & 8 != 0
                prefixes.r = byte & 4 != 0
                prefixes.x = byte & 2 != 0
                prefixes.b = byte & 1 != 0
                // A REX counts only right before the opcode.
                guard let following = code.next() else { return prefixes }
                code.back()
                if isPrefix(following) {
                    prefixes.hasREX = false
                    prefixes.w = false
                    prefixes.r = false
                    prefixes.x = false
                    prefixes.b = false
                } else {
                    return prefixes
                }
            default:
                code.back()
                return prefixes
            }
        }
        return prefixes
    }

    private static func isPrefix(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x26, 0x2e, 0x36, 0x3e, 0x40...0x4f, 0x64...0x67, 0xf0, 0xf2, 0xf3: true
        default: false
        }
    }

    /// The size of an operand that isn't a byte.
    var wordSize: Int { w ? 8 : hasOperandSize ? 2 : 4 }

    /// The register that a three-bit field names, extended by REX.R.
    func register(_ field: Int, _ byteCount: Int) -> X86Register {
        if byteCount == 1 && !hasREX && field >= 4 {
            return X86Register(number: field - 4, isHighByte: true)
        }
        return X86Register(number: field | (r ? 8 : 0))
    }

    /// The prefix that chooses among the vector instructions of an opcode: 0, 66, F3 or F2.
    var selector: UInt8 { repetition != 0 ? repetition : hasOperandSize ? 0x66 : 0 }
}
