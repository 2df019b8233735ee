@testable import AccessDecoder

/// A stretch of memory and vector registers, kept in arrays.
struct DataPort: AccessPort {
    let start: UInt64
    var bytes: [UInt8]
    var vectors = X86Vectors()
    /// Each access, in order.
    var log: [Access] = []

    struct Access: Equatable {
        var offset: Int
        var byteCount: Int
        var isStore = false
    }

    private func place(_ address: UInt64, _ byteCount: Int, isStore: Bool) throws(AccessFault) -> Int {
        let offset = address &- start
        guard offset <= UInt64(bytes.count), UInt64(bytes.count) - offset >= UInt64(byteCount) else {
            throw AccessFault(address: address, isStore: isStore)
        }
        return Int(offset)
    }

    mutating func load(_ address: UInt64, byteCount: Int) throws(AccessFault) -> UInt64 {
        let offset = try place(address, byteCount, isStore: false)
        log.append(Access(offset: offset, byteCount: byteCount))
        return (0..<byteCount).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64($1 * 8) }
    }

    mutating func store(_ address: UInt64, _ value: UInt64, byteCount: Int) throws(AccessFault) {
        let offset = try place(address, byteCount, isStore: true)
        log.append(Access(offset: offset, byteCount: byteCount, isStore: true))
        for index in 0..<byteCount {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8))
        }
    }

    mutating func beginExclusive() {}
    mutating func endExclusive() {}
    func base(of segment: X86Segment) -> UInt64 { 0 }
    func vector(_ register: Int, lane: Int) -> UInt64 { vectors.lanes[register * 8 + lane] }
    mutating func setVector(_ register: Int, lane: Int, to value: UInt64) {
        vectors.lanes[register * 8 + lane] = value
    }
    func mask(_ register: Int) -> UInt64 { vectors.masks[register] }
}

/// Vector registers as plain numbers.
struct X86Vectors: Equatable {
    var lanes = [UInt64](repeating: 0, count: 32 * 8)
    var masks = [UInt64](repeating: 0, count: 8)
}

/// Random numbers that a seed brings again.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    /// A number of the kind that shows mistakes: all bits, none, a sign, a small one, or any.
    mutating func value() -> UInt64 {
        switch next() % 8 {
        case 0: 0
        case 1: .max
        case 2: 0x8000_8080_8000_8080
        case 3: next() % 4
        case 4: 0x7fff_7f7f_7fff_7f7f
        default: next()
        }
    }
}
