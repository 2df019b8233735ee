#if arch(x86_64)
    import LinuxSystem
    import Testing

    @testable import AccessDecoder

    /// Each instruction is carried out twice, by the decoder and by the processor, and leaves the same.
    @Suite("Instructions do what the processor does") struct X86DifferentialTests {
        @Test("general registers, and SSE") func general() throws {
            try compare(X86Samples.general.map(\.bytes), rounds: 60)
        }

        @Test("AVX") func avx() throws {
            let processor = try #require(Processor())
            guard processor.hasAVX else { return }
            try compare(X86Samples.avx.map(\.bytes), rounds: 30)
        }

        @Test("AVX-512") func avx512() throws {
            let processor = try #require(Processor())
            guard processor.hasAVX512 else { return }
            try compare(X86Samples.avx512.map(\.bytes), rounds: 30)
        }

        @Test("random encodings on general registers") func random() throws {
            let seed = UInt64.random(in: .min ... .max)
            print("seed \(seed)")
            var random = SeededGenerator(seed)
            var codes: [[UInt8]] = []
            while codes.count < 1000 {
                let code = randomEncoding(&random)
                guard let instruction = X86Instruction(X86Code(padding: code)),
                    instruction.isForEveryProcessor
                else {
                    continue
                }
                codes.append(Array(code.prefix(instruction.length)))
            }
            try compare(codes, rounds: 8, seed: seed)
        }

        /// - Parameter rounds: how often each instruction is tried, with other registers and memory each time.
        private func compare(_ codes: [[UInt8]], rounds: Int, seed given: UInt64? = nil) throws {
            let seed = given ?? UInt64.random(in: .min ... .max)
            print("seed \(seed)")
            var random = SeededGenerator(seed)
            let processor = try #require(Processor())
            for code in codes {
                let instruction = try #require(X86Instruction(X86Code(padding: code)), "\(code.hex)")
                #expect(instruction.length == code.count, "\(code.hex)")
                var done = 0
                for _ in 0..<rounds * 20 where done < rounds {
                    done += try compareOnce(code, instruction, processor, &random) ? 1 : 0
                }
                // Random ones may have addresses that never come to lie in the data.
                if given == nil { #expect(done == rounds, "\(code.hex) could not be tried") }
            }
        }

        private func compareOnce(
            _ code: [UInt8], _ instruction: X86Instruction, _ processor: Processor,
            _ random: inout SeededGenerator
        ) throws -> Bool {
            var registers = randomRegisters(processor, &random)
            var vectors = X86Vectors()
            for index in 0..<32 * 8 where processor.has(lane: index) { vectors.lanes[index] = random.next() }
            if processor.hasAVX512 { for index in 0..<8 { vectors.masks[index] = random.value() } }
            for offset in stride(from: 0, to: processor.data.count, by: 8) {
                processor.data.storeBytes(of: random.value(), toByteOffset: offset, as: UInt64.self)
            }
            var port = DataPort(
                start: UInt64(processor.start + Processor.dataOffset), bytes: Array(processor.data),
                vectors: vectors)
            var ours = registers
            do {
                try instruction.perform(on: &ours, through: &port)
            } catch {
                return false
            }
            // A repeated one that was stopped in the middle.
            if ours.instructionPointer == registers.instructionPointer { return false }
            processor.run(code, &registers, &vectors)
            let flags = X86Flag.arithmetic & ~instruction.undefinedFlags(registers, port)
            let note = "\(code.hex) \(instruction.operation)"
            #expect(ours.flags & flags == registers.flags & flags, "\(note): flags")
            #expect(
                ours.instructionPointer
                    == UInt64(processor.start + Processor.codeOffset + code.count), "\(note): rip")
            for index in 0..<16 {
                #expect(ours.general[index] == registers.general[index], "\(note): register \(index)")
            }
            #expect(port.bytes.elementsEqual(processor.data), "\(note): memory")
            #expect(port.vectors == vectors, "\(note): vectors")
            return true
        }

        private func randomRegisters(_ processor: Processor, _ random: inout SeededGenerator) -> X86Registers
        {
            var registers = X86Registers(
                instructionPointer: UInt64(processor.start + Processor.codeOffset), flags: 0x202)
            let middle = UInt64(processor.start + Processor.dataOffset + Processor.dataCount / 2)
            for index in 0..<16 {
                let pointer = middle &+ random.next() % 12 &* 64
                registers.general[index] =
                    switch index {
                    case 0, 2, 8, 10, 11, 15: random.value()
                    case 1: random.next() % 3 == 0 ? random.value() : random.next() % 64
                    case 4: pointer
                    default: random.next() % 4 == 0 ? random.next() % 40 : pointer
                    }
            }
            registers.flags |= random.next() & X86Flag.arithmetic
            if random.next() % 3 == 0 { registers.flags |= X86Flag.direction }
            return registers
        }

        private func randomEncoding(_ random: inout SeededGenerator) -> [UInt8] {
            var code: [UInt8] = []
            if random.next() % 4 == 0 { code.append(0x66) }
            if random.next() % 8 == 0 { code.append(0x67) }
            if random.next() % 12 == 0 {
                code.append([0xf2, 0xf3, 0xf0, 0x2e].randomElement(using: &random)!)
            }
            if random.next() % 2 == 0 { code.append(0x40 | UInt8(random.next() % 16)) }
            if random.next() % 3 == 0 { code.append(0x0f) }
            for _ in 0..<11 { code.append(UInt8(truncatingIfNeeded: random.next())) }
            // Displacements that stay near: of both kinds and more often.
            if random.next() % 2 == 0 { for index in code.count - 6..<code.count { code[index] = 0 } }
            return code
        }
    }

    extension X86Code {
        init(padding bytes: [UInt8]) {
            var all = InlineArray<15, UInt8>(repeating: 0)
            for index in 0..<min(15, bytes.count) { all[index] = bytes[index] }
            self.init(all, count: bytes.count)
        }
    }

    extension Array where Element == UInt8 {
        var hex: String { map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ") }
    }

    extension Processor {
        /// Whether this processor has a word of a vector register.
        func has(lane index: Int) -> Bool {
            ExtendedStateLayout.current.offset(ofVector: index / 8, lane: index % 8) != nil
        }
    }

    extension X86Instruction {
        /// Whether it neither needs a newer processor nor aligned memory.
        var isForEveryProcessor: Bool {
            switch operation {
            case .vectorLoad, .vectorStore, .vectorBroadcast, .loadSwapped, .storeSwapped,
                .compareExchangeWide:
                false
            // Without a prefix these are others on processors that don't know them.
            case .scan(.ones), .scan(.leadingZeros), .scan(.trailingZeros): false
            default: memory.segment == nil
            }
        }

        /// What the processor's manual leaves open.
        func undefinedFlags(_ registers: X86Registers, _ port: DataPort) -> UInt64 {
            switch operation {
            case .arithmetic(.and), .arithmetic(.or), .arithmetic(.xor), .arithmetic(.test): X86Flag.adjust
            case .shift: X86Flag.adjust | X86Flag.overflow | (operandSize < 4 ? X86Flag.carry : 0)
            case .multiply, .multiplyWide: X86Flag.arithmetic & ~(X86Flag.carry | X86Flag.overflow)
            case .bit: X86Flag.arithmetic & ~(X86Flag.carry | X86Flag.zero)
            case .scan(.forward), .scan(.reverse): X86Flag.arithmetic & ~X86Flag.zero
            case .scan(.trailingZeros), .scan(.leadingZeros):
                X86Flag.arithmetic & ~(X86Flag.zero | X86Flag.carry)
            default: 0
            }
        }
    }
#endif
