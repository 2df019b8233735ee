import Testing

@testable import AccessDecoder

/// Which accesses an instruction makes of it, one by one: a device counts them.
@Suite("Accesses of x86-64 instructions") struct X86AccessTests {
    private typealias Access = DataPort.Access

    private func perform(
        _ code: [UInt8], _ registers: inout X86Registers, _ port: inout DataPort
    ) throws {
        try #require(X86Instruction(X86Code(padding: code))).perform(on: &registers, through: &port)
    }

    private func registers(rbx: UInt64 = 0, rsi: UInt64 = 0, rdi: UInt64 = 0, rcx: UInt64 = 0) -> X86Registers
    {
        var registers = X86Registers(instructionPointer: 0x40_0000)
        registers.general[3] = rbx
        registers.general[6] = rsi
        registers.general[7] = rdi
        registers.general[1] = rcx
        return registers
    }

    @Test("a change in place reads once and writes once")
    func modify() throws {
        var port = DataPort(start: 0x1000, bytes: [1, 0, 0, 0])
        var registers = registers(rbx: 0x1000)
        try perform([0x83, 0x0b, 0x06], &registers, &port)  // or dword [rbx], 6
        #expect(
            port.log == [Access(offset: 0, byteCount: 4), Access(offset: 0, byteCount: 4, isStore: true)])
        #expect(port.bytes == [7, 0, 0, 0])
        #expect(registers.instructionPointer == 0x40_0003)
    }

    @Test("a move of 32 bytes is four accesses of eight, upwards")
    func wide() throws {
        var port = DataPort(start: 0x1000, bytes: Array(0..<32))
        var registers = registers(rsi: 0x1000)
        try perform([0xc5, 0xfe, 0x6f, 0x0e], &registers, &port)  // vmovdqu ymm1, [rsi]
        #expect(port.log == [0, 8, 16, 24].map { Access(offset: $0, byteCount: 8) })
        #expect(port.vectors.lanes[8] == 0x0706_0504_0302_0100)
        #expect(port.vectors.lanes[11] == 0x1f1e_1d1c_1b1a_1918)
    }

    @Test("elements that a mask leaves out aren't touched")
    func masked() throws {
        var port = DataPort(start: 0x1000, bytes: [UInt8](repeating: 0, count: 64))
        port.vectors.masks[1] = 0b11_1111_1111  // ten bytes
        for lane in 0..<8 { port.vectors.lanes[16 * 8 + lane] = .max }
        var registers = registers(rsi: 0x1000)
        // vmovdqu8 [rsi]{k1}, ymm16
        try perform([0x62, 0xe1, 0x7f, 0x29, 0x7f, 0x06], &registers, &port)
        #expect(
            port.log == [
                Access(offset: 0, byteCount: 8, isStore: true),
                Access(offset: 8, byteCount: 1, isStore: true),
                Access(offset: 9, byteCount: 1, isStore: true),
            ])
    }

    @Test("a repeated one that meets bad memory has done the rounds before, and fails when it begins there")
    func stopped() throws {
        var port = DataPort(start: 0x1000, bytes: [UInt8](repeating: 0, count: 8))
        var registers = registers(rdi: 0x1000, rcx: 5)
        try perform([0xf3, 0xab], &registers, &port)  // rep stosd
        #expect(registers.general[1] == 3 && registers.general[7] == 0x1008)
        #expect(registers.instructionPointer == 0x40_0000)
        #expect(throws: AccessFault(address: 0x1008, isStore: true)) {
            try perform([0xf3, 0xab], &registers, &port)
        }
        #expect(registers.general[1] == 3)
    }

    @Test("a repeated one of no rounds does nothing")
    func noRounds() throws {
        var port = DataPort(start: 0x1000, bytes: [])
        var registers = registers()
        try perform([0xf3, 0xab], &registers, &port)
        #expect(port.log.isEmpty && registers.instructionPointer == 0x40_0002)
    }

    @Test("a repeated one of more rounds than are done at a time is gone on with")
    func manyRounds() throws {
        let count = X86Instruction.mostRounds + 10
        var port = DataPort(start: 0x1000, bytes: [UInt8](repeating: 0, count: count))
        var registers = registers(rdi: 0x1000, rcx: UInt64(count))
        registers.general[0] = 0xa5
        try perform([0xf3, 0xaa], &registers, &port)
        #expect(registers.instructionPointer == 0x40_0000 && registers.general[1] == 10)
        try perform([0xf3, 0xaa], &registers, &port)
        #expect(registers.instructionPointer == 0x40_0002 && registers.general[1] == 0)
        #expect(port.bytes.allSatisfy { $0 == 0xa5 })
    }

    @Test("what fails leaves the registers as they were")
    func failure() throws {
        for sample in X86Samples.general + X86Samples.avx + X86Samples.avx512 {
            var port = DataPort(start: 0, bytes: [])
            for index in 0..<8 { port.vectors.masks[index] = .max }
            let vectors = port.vectors
            var registers = X86Registers(instructionPointer: 0x40_0000, flags: 0x202)
            for index in 0..<16 { registers.general[index] = 0x5000_0000_0000 + UInt64(index) }
            let before = registers
            #expect(throws: AccessFault.self, "\(sample.text)") {
                try perform(sample.bytes, &registers, &port)
            }
            #expect(registers.flags == before.flags && registers.instructionPointer == 0x40_0000)
            for index in 0..<16 {
                #expect(registers.general[index] == before.general[index], "\(sample.text)")
            }
            #expect(port.vectors == vectors, "\(sample.text)")
        }
    }
}
