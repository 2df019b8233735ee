import Testing

@testable import AccessDecoder

@Suite("Decoding x86-64 instructions") struct X86DecoderTests {
    private func decode(_ bytes: UInt8...) -> X86Instruction? { X86Instruction(X86Code(padding: bytes)) }

    @Test("tells what an instruction does to memory, and how much of it")
    func access() throws {
        let load = try #require(decode(0x8b, 0x03))
        #expect(load.access == .load && load.byteCount == 4 && load.length == 2)
        let store = try #require(decode(0x66, 0xc7, 0x03, 0x34, 0x12))
        #expect(store.access == .store && store.byteCount == 2 && store.length == 5)
        let add = try #require(decode(0xf0, 0x48, 0x01, 0x03))
        #expect(add.access == .modify && add.byteCount == 8 && add.length == 4)
        let compare = try #require(decode(0x80, 0x3b, 0x07))
        #expect(compare.access == .load && compare.byteCount == 1)
        let copy = try #require(decode(0xf3, 0xa4))
        #expect(copy.access == .copy && copy.byteCount == 1)
        let wide = try #require(decode(0xc5, 0xfe, 0x7f, 0x06))
        #expect(wide.access == .store && wide.byteCount == 32)
    }

    @Test("leaves alone what has no operand in memory, isn't known, or isn't complete")
    func refused() {
        #expect(decode(0x8b, 0xc3) == nil)  // mov between registers
        #expect(decode(0xff, 0x13) == nil)  // call through memory
        #expect(decode(0xdd, 0x03) == nil)  // x87
        #expect(decode(0xf0, 0x8b, 0x03) == nil)  // a locked load, which the processor refuses
        #expect(decode(0x8b) == nil)
        #expect(decode(0xc7, 0x03, 0x01, 0x02) == nil)
        #expect(decode(0x0f) == nil)
        #expect(decode(0x66) == nil)
        #expect(decode() == nil)
        #expect(decode(0x62, 0xf1) == nil)
    }

    @Test("no bytes, whatever they are, do harm")
    func hostile() {
        let seed = UInt64.random(in: .min ... .max)
        print("seed \(seed)")
        var random = SeededGenerator(seed)
        var decoded = 0
        for _ in 0..<300_000 {
            var bytes = (0..<Int(random.next() % 16)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            // The long prefixes come seldom otherwise.
            if random.next() % 4 == 0, !bytes.isEmpty {
                bytes[0] = [0x62, 0xc4, 0xc5, 0x0f].randomElement()!
            }
            guard let instruction = X86Instruction(X86Code(padding: bytes)) else { continue }
            decoded += 1
            #expect(instruction.length <= bytes.count)
            var registers = X86Registers()
            for index in 0..<16 { registers.general[index] = random.value() }
            registers.flags = random.next()
            var port = AnyPort(random: random)
            try? instruction.perform(on: &registers, through: &port)
        }
        #expect(decoded > 10_000)
    }

    @Test("the bytes of an instruction are enough, those behind it change nothing")
    func exactLength() throws {
        for sample in X86Samples.general + X86Samples.avx + X86Samples.avx512 {
            let instruction = try #require(X86Instruction(X86Code(padding: sample.bytes)), "\(sample.text)")
            #expect(instruction.length == sample.bytes.count, "\(sample.text)")
            for count in 0..<sample.bytes.count {
                let part = Array(sample.bytes.prefix(count))
                #expect(X86Instruction(X86Code(padding: part)) == nil, "\(sample.text), \(count) bytes of it")
            }
        }
    }
}

/// Memory that is everywhere, or nowhere.
private struct AnyPort: AccessPort {
    var random: SeededGenerator
    mutating func load(_ address: UInt64, byteCount: Int) throws(AccessFault) -> UInt64 {
        if random.next() % 16 == 0 { throw AccessFault(address: address, isStore: false) }
        return AccessWidth.truncate(random.next(), byteCount)
    }
    mutating func store(_ address: UInt64, _ value: UInt64, byteCount: Int) throws(AccessFault) {
        if random.next() % 16 == 0 { throw AccessFault(address: address, isStore: true) }
    }
    mutating func beginExclusive() {}
    mutating func endExclusive() {}
    func base(of segment: X86Segment) -> UInt64 { 1 << 40 }
    func vector(_ register: Int, lane: Int) -> UInt64 { UInt64(register * lane) }
    mutating func setVector(_ register: Int, lane: Int, to value: UInt64) {}
    func mask(_ register: Int) -> UInt64 { 0x5a5a_ffff_0123_0f0f }
}
