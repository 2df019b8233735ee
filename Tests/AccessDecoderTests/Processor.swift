#if arch(x86_64)
    import Glibc
    import LinuxSystem

    @testable import AccessDecoder

    /// The processor itself, as an oracle: carries out single instructions with given registers and memory.
    ///
    /// Code, data and registers stand in one stretch of memory below 4 GiB, so that addresses of 32 bits and those
    /// relative to the instruction reach the data.
    final class Processor {
        /// Loads all registers from the state that rdi points to, does one instruction, and stores them again. The
        /// instruction's place (0x70) holds nops; three words behind the code keep what is needed in between.
        private static let frame = """
            53554154415541564157488925ef00000048893df0000000b8ffffffffbaffffffff480faeaf00020000ffb780000000\
            9d488b07488b4f08488b5710488b5f18488b6720488b6f28488b77304c8b47404c8b4f484c8b57504c8b5f584c8b6760\
            4c8b6f684c8b77704c8b7f78488b7f389090909090909090909090909090909048893d89000000488b3d7a0000004889\
            0748894f084889571048895f184889672048896f28488977304c8947404c894f484c8957504c895f584c8967604c896f\
            684c8977704c897f78488b054000000048894738488b25250000009c8f8780000000fcb8ffffffffbaffffffff480fae\
            a700020000415f415e415d415c5d5bc3000000000000000000000000000000000000000000000000
            """

        static let codeOffset = 0x70
        static let dataOffset = 0x2000
        static let dataCount = 0x1000
        private static let stateOffset = 0x8000
        private static let count = 0x20000

        let start: Int
        let hasAVX: Bool
        let hasAVX512: Bool
        private let layout = ExtendedStateLayout.current

        var data: UnsafeMutableRawBufferPointer {
            .init(start: .init(bitPattern: start + Self.dataOffset), count: Self.dataCount)
        }
        private var state: UnsafeMutableRawPointer { .init(bitPattern: start + Self.stateOffset)! }
        private var extended: UnsafeMutableRawPointer { state + 512 }

        init?() {
            let flags = MAP_PRIVATE | MAP_ANONYMOUS | 0x40  // MAP_32BIT
            guard let memory = mmap(nil, Self.count, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0),
                memory != MAP_FAILED
            else { return nil }
            start = Int(bitPattern: memory)
            let digits = Array(Self.frame.utf8)
            for index in 0..<digits.count / 2 {
                let pair = String(decoding: digits[index * 2..<index * 2 + 2], as: UTF8.self)
                memory.storeBytes(of: UInt8(pair, radix: 16)!, toByteOffset: index, as: UInt8.self)
            }
            hasAVX = layout.upperHalves256 != nil
            hasAVX512 = layout.registers16to31 != nil && layout.masks != nil
            // Everything but x87 is given; its state, and MXCSR, are as after a reset.
            extended.storeBytes(of: 0x37f, toByteOffset: 0, as: UInt16.self)
            extended.storeBytes(of: 0x1f80, toByteOffset: 24, as: UInt32.self)
        }

        deinit { munmap(.init(bitPattern: start), Self.count) }

        /// Carries out one instruction.
        func run(_ code: [UInt8], _ registers: inout X86Registers, _ vectors: inout X86Vectors) {
            for index in 0..<16 {
                let place = UnsafeMutableRawPointer(bitPattern: start + Self.codeOffset + index)!
                place.storeBytes(of: index < code.count ? code[index] : 0x90, as: UInt8.self)
            }
            for index in 0..<16 {
                state.storeBytes(of: registers.general[index], toByteOffset: index * 8, as: UInt64.self)
            }
            state.storeBytes(of: registers.flags, toByteOffset: 128, as: UInt64.self)
            exchangeVectors(&vectors, isStore: true)
            let entry = unsafeBitCast(
                start, to: (@convention(c) (UnsafeMutableRawPointer) -> Void).self)
            entry(state)
            for index in 0..<16 {
                registers.general[index] = state.load(fromByteOffset: index * 8, as: UInt64.self)
            }
            registers.flags = state.load(fromByteOffset: 128, as: UInt64.self)
            exchangeVectors(&vectors, isStore: false)
        }

        private func exchangeVectors(_ vectors: inout X86Vectors, isStore: Bool) {
            func exchange(_ value: inout UInt64, _ offset: Int) {
                if isStore {
                    extended.storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
                } else {
                    value = extended.load(fromByteOffset: offset, as: UInt64.self)
                }
            }
            var parts: UInt64 = 2
            for register in 0..<32 {
                for lane in 0..<8 {
                    guard let offset = layout.offset(ofVector: register, lane: lane) else { continue }
                    exchange(&vectors.lanes[register * 8 + lane], offset)
                }
            }
            if hasAVX { parts |= 4 }
            if hasAVX512, let masks = layout.masks {
                parts |= 0xe0
                for register in 0..<8 { exchange(&vectors.masks[register], masks + register * 8) }
            }
            if isStore {
                extended.storeBytes(of: parts, toByteOffset: 512, as: UInt64.self)
                extended.storeBytes(of: 0, toByteOffset: 520, as: UInt64.self)
            }
        }
    }
#endif
