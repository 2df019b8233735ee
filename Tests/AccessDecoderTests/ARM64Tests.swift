import Testing

@testable import AccessDecoder

/// What arm64 instructions do to memory and registers, by their encodings as clang makes them.
@Suite("Decoding arm64 instructions") struct ARM64Tests {
    private typealias Access = DataPort.Access

    private struct Outcome {
        var registers: ARM64Registers
        var port: DataPort
    }

    /// Carries out one instruction: every register is 0x1100 and its number, `sp` 0x1200, memory counts up.
    private func perform(_ word: UInt32) throws -> Outcome {
        var registers = ARM64Registers(stackPointer: 0x1200, instructionPointer: 0x40_0000)
        for index in 0..<31 { registers.general[index] = 0x1100 + UInt64(index) * 8 }
        registers.general[2] = 0x1110
        var port = DataPort(
            start: 0x1000, bytes: (0..<1024).map { UInt8(truncatingIfNeeded: $0 &* 3 &+ 0x80) })
        try #require(ARM64Instruction(word.byteSwapped)).perform(on: &registers, through: &port)
        #expect(registers.instructionPointer == 0x40_0004)
        return Outcome(registers: registers, port: port)
    }

    @Test(
        "tells the access of each form",
        arguments: [
            (0x2000_40b9, [Access(offset: 0x108, byteCount: 4)]),  // ldr w0, [x1]
            (0x6208_40f9, [Access(offset: 0x128, byteCount: 8)]),  // ldr x2, [x3, #16]
            (0xa41c_4039, [Access(offset: 0x12f, byteCount: 1)]),  // ldrb w4, [x5, #7]
            (0xff07_00f9, [Access(offset: 0x208, byteCount: 8, isStore: true)]),  // str xzr, [sp, #8]
            (0xe60c_0079, [Access(offset: 0x13e, byteCount: 2, isStore: true)]),  // strh w6, [x7, #6]
            (0x20c0_5fb8, [Access(offset: 0x104, byteCount: 4)]),  // ldur w0, [x1, #-4]
            (0x2080_1ff8, [Access(offset: 0x100, byteCount: 8, isStore: true)]),  // stur x0, [x1, #-8]
            (0x2044_40b8, [Access(offset: 0x108, byteCount: 4)]),  // ldr w0, [x1], #4
            (0x208c_40f8, [Access(offset: 0x110, byteCount: 8)]),  // ldr x0, [x1, #8]!
            // ldp x0, x1, [x2]
            (0x4004_40a9, [Access(offset: 0x110, byteCount: 8), Access(offset: 0x118, byteCount: 8)]),
            // ldp w0, w1, [x2, #8]
            (0x4004_4129, [Access(offset: 0x118, byteCount: 4), Access(offset: 0x11c, byteCount: 4)]),
            // stp x0, x1, [sp, #-16]!
            (
                0xe007_bfa9,
                [
                    Access(offset: 0x1f0, byteCount: 8, isStore: true),
                    Access(offset: 0x1f8, byteCount: 8, isStore: true),
                ]
            ),
            // stp d2, d3, [x4], #16
            (
                0x820c_816c,
                [
                    Access(offset: 0x120, byteCount: 8, isStore: true),
                    Access(offset: 0x128, byteCount: 8, isStore: true),
                ]
            ),
            // ldr q0, [x1]: two pieces, upwards
            (0x2000_c03d, [Access(offset: 0x108, byteCount: 8), Access(offset: 0x110, byteCount: 8)]),
            (0x2004_40bd, [Access(offset: 0x10c, byteCount: 4)]),  // ldr s0, [x1, #4]
            (0x20fc_df88, [Access(offset: 0x108, byteCount: 4)]),  // ldar w0, [x1]
            (0x20fc_9f48, [Access(offset: 0x108, byteCount: 2, isStore: true)]),  // stlrh w0, [x1]
            (0x20c0_bfb8, [Access(offset: 0x108, byteCount: 4)]),  // ldapr w0, [x1]
            // ldadd w0, w1, [x2]
            (
                0x4100_20b8,
                [Access(offset: 0x110, byteCount: 4), Access(offset: 0x110, byteCount: 4, isStore: true)]
            ),
            // swpalb w0, w1, [x2]
            (
                0x4180_e038,
                [Access(offset: 0x110, byteCount: 1), Access(offset: 0x110, byteCount: 1, isStore: true)]
            ),
        ] as [(UInt32, [DataPort.Access])])
    func access(word: UInt32, expected: [DataPort.Access]) throws {
        #expect(try perform(word).port.log == expected)
    }

    @Test("a register that is moved along keeps its new value")
    func writeback() throws {
        #expect(try perform(0x2044_40b8).registers.general[1] == 0x110c)  // ldr w0, [x1], #4
        #expect(try perform(0x208c_40f8).registers.general[1] == 0x1110)  // ldr x0, [x1, #8]!
        #expect(try perform(0xe007_bfa9).registers.stackPointer == 0x11f0)  // stp x0, x1, [sp, #-16]!
        #expect(try perform(0x820c_816c).registers.general[4] == 0x1130)  // stp d2, d3, [x4], #16
    }

    @Test("what is loaded is extended as the instruction says")
    func extended() throws {
        // At 0x1108 stand 98, 9b, 9e, a1.
        #expect(try perform(0x2000_40b9).registers.general[0] == 0xa19e_9b98)  // ldr w0, [x1]
        #expect(try perform(0x2000_c039).registers.general[0] == 0xffff_ff98)  // ldrsb w0, [x1]
        #expect(try perform(0x2000_8039).registers.general[0] == 0xffff_ffff_ffff_ff98)  // ldrsb x0, [x1]
    }

    @Test("leaves alone what it doesn't know")
    func refused() {
        for word: UInt32 in [
            0x207c_5f88,  // ldxr w0, [x1]
            0x207c_0288,  // stxr w2, w0, [x1]
            0x0000_80f9,  // prfm pldl1keep, [x0]
            0x0070_404c,  // ld1 {v0.16b}, [x0]
            0x2000_028b,  // add x0, x1, x2
            0x0000_1fd6,  // br x0
        ] {
            #expect(ARM64Instruction(word.byteSwapped) == nil)
        }
    }

    @Test("no word, whatever it is, does harm")
    func hostile() {
        let seed = UInt64.random(in: .min ... .max)
        print("seed \(seed)")
        var random = SeededGenerator(seed)
        var decoded = 0
        for _ in 0..<300_000 {
            guard let instruction = ARM64Instruction(UInt32(truncatingIfNeeded: random.next())) else {
                continue
            }
            decoded += 1
            var registers = ARM64Registers(stackPointer: random.next())
            for index in 0..<31 { registers.general[index] = random.value() }
            var port = DataPort(start: 0, bytes: [UInt8](repeating: 0, count: 64))
            try? instruction.perform(on: &registers, through: &port)
        }
        #expect(decoded > 10_000)
    }
}
