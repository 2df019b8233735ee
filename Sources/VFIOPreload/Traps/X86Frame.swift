#if arch(x86_64)
    import AccessDecoder
    import CLinux
    import LinuxSystem

    /// The registers of an interrupted thread, in the frame of a signal.
    @safe struct X86Frame: AccessPort {
        // SAFETY: the frame outlives its handler, which uses this.
        private let context: UnsafeMutableRawPointer
        var memory = TrapMemory()
        /// The processor's extended state in the frame.
        private let extended: UnsafeMutableRawPointer?
        private let extendedCount: Int
        private static let layout = ExtendedStateLayout.current

        /// Asks the processor where it keeps what; the handler then finds it ready.
        static func prepare() { _ = layout }

        init(_ context: UnsafeMutableRawPointer) {
            unsafe self.context = context
            var features: UInt64 = 0
            var count: UInt32 = 0
            let place = unsafe clinux_frame_extended(context, &features, &count)
            unsafe extended = UnsafeMutableRawPointer(bitPattern: place)
            extendedCount = Int(count)
        }

        var registers: X86Registers {
            get {
                var words = InlineArray<18, UInt64>(repeating: 0)
                var span = words.mutableSpan
                // SAFETY: room for 18 words.
                unsafe span.withUnsafeMutableBufferPointer {
                    unsafe clinux_frame_read(context, $0.baseAddress)
                }
                var general = InlineArray<16, UInt64>(repeating: 0)
                for index in 0..<16 { general[index] = words[index] }
                return X86Registers(general: general, instructionPointer: words[16], flags: words[17])
            }
            nonmutating set {
                var words = InlineArray<18, UInt64>(repeating: 0)
                for index in 0..<16 { words[index] = newValue.general[index] }
                words[16] = newValue.instructionPointer
                words[17] = newValue.flags
                // SAFETY: 18 words.
                unsafe words.span.withUnsafeBufferPointer {
                    unsafe clinux_frame_write(context, $0.baseAddress)
                }
            }
        }

        mutating func load(_ address: UInt64, byteCount: Int) throws(AccessFault) -> UInt64 {
            try memory.load(address, byteCount: byteCount)
        }

        mutating func store(_ address: UInt64, _ value: UInt64, byteCount: Int) throws(AccessFault) {
            try memory.store(address, value, byteCount: byteCount)
        }

        mutating func beginExclusive() { ExclusiveAccess.begin() }
        mutating func endExclusive() { ExclusiveAccess.end() }

        func base(of segment: X86Segment) -> UInt64 {
            segment == .fs ? clinux_segment_base_fs() : clinux_segment_base_gs()
        }

        /// The place of a word in the frame; nil if the frame has none.
        private func place(_ offset: Int?) -> UnsafeMutableRawPointer? {
            guard let offset, offset + 8 <= extendedCount, let extended = unsafe extended else { return nil }
            // SAFETY: the frame's extended state is that long.
            return unsafe extended + offset
        }

        /// Which components the frame has values of; the others are zero when it is restored.
        private var present: UInt64 {
            // The area of FXSAVE alone.
            if extendedCount <= 512 { return 1 << 1 }
            return unsafe place(512)?.load(as: UInt64.self) ?? 0
        }

        func vector(_ register: Int, lane: Int) -> UInt64 {
            let component = ExtendedStateLayout.component(ofVector: register, lane: lane)
            guard present & component != 0 else { return 0 }
            return unsafe place(Self.layout.offset(ofVector: register, lane: lane))?.load(as: UInt64.self)
                ?? 0
        }

        mutating func setVector(_ register: Int, lane: Int, to value: UInt64) {
            let component = ExtendedStateLayout.component(ofVector: register, lane: lane)
            if present & component == 0 {
                if value == 0 { return }
                begin(component)
            }
            // SAFETY: a word of the frame.
            unsafe place(Self.layout.offset(ofVector: register, lane: lane))?.storeBytes(
                of: value, as: UInt64.self)
        }

        /// Gives a component of which the frame has no values, zeros, and says that they count.
        private func begin(_ component: UInt64) {
            let registers = component == 1 << 7 ? 16..<32 : 0..<16
            for register in registers {
                for lane in 0..<8
                where ExtendedStateLayout.component(ofVector: register, lane: lane) == component {
                    // SAFETY: a word of the frame.
                    unsafe place(Self.layout.offset(ofVector: register, lane: lane))?
                        .storeBytes(of: 0, as: UInt64.self)
                }
            }
            unsafe place(512)?.storeBytes(of: present | component, as: UInt64.self)
        }

        func mask(_ register: Int) -> UInt64 {
            guard present & 1 << 5 != 0, let masks = Self.layout.masks else { return 0 }
            return unsafe place(masks + register * 8)?.load(as: UInt64.self) ?? 0
        }
    }

    extension X86Frame {
        /// The instruction at an address; nil if it isn't known or can't be read.
        static func instruction(at address: UInt64) -> X86Instruction? {
            var bytes = InlineArray<15, UInt8>(repeating: 0)
            // The instruction may end right before a page that isn't there.
            let near = min(X86Code.mostBytes, pageSize - Int(address % UInt64(pageSize)))
            // SAFETY: the processor has just read the instruction from there.
            guard let code = unsafe UnsafePointer<UInt8>(bitPattern: UInt(address)) else { return nil }
            for index in 0..<near { bytes[index] = unsafe code[index] }
            var count = near
            if near < X86Code.mostBytes {
                var span = bytes.mutableSpan
                // SAFETY: any value of the bytes is one of their own.
                var all = unsafe span.mutableBytes
                var rest = all._mutatingExtracting(droppingFirst: near)
                do throws(Errno) {
                    try UserMemory.read(from: HostAddress(address) + near, into: &rest)
                    count = X86Code.mostBytes
                } catch {}
            }
            return X86Instruction(X86Code(bytes, count: count))
        }
    }
#endif
