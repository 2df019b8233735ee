import AccessDecoder
import CLinux
import LinuxSystem

/// Carries out accesses to trapped ranges.
///
/// The device runs on the thread that touched it, inside the handler of the fault. That is no more than a function call
/// at that instruction: a fault comes from an instruction of the program's, never from one of ours, because everything
/// here that touches the program's memory does it through system calls (UserMemory), which answer EFAULT for a trapped
/// page. So the thread holds none of this library's locks, and isn't inside the C library's allocator or any other
/// code that the device uses, unless the program's instruction is: a memcpy(3) into a BAR holds no lock either. Other
/// signals are blocked meanwhile, SIGSEGV too: a fault in the device's own code ends the program where it happened.
///
/// The page is never opened: what other threads do to it at the same moment is seen as well.
enum TrapHandler {
    /// What became of an access.
    private enum Outcome {
        case done
        /// The instruction isn't one that is known.
        case unknown
        /// The program may not do that, there.
        case fault(UInt)
        /// Nothing answers: what a kernel says with SIGBUS.
        case missing(UInt)
    }

    @safe private struct Work {
        // SAFETY: the frame of the signal that is being handled.
        let context: UnsafeMutableRawPointer
        var outcome = Outcome.unknown
    }

    /// The handler of SIGSEGV, and of the signal that stands for one that waited.
    static func handle(_ number: Int32, _ info: UnsafeMutableRawPointer?, _ context: UnsafeMutableRawPointer?)
    {
        let error = clinux_errno()
        guard let info = unsafe info, let context = unsafe context else { return }
        // Positive codes are the kernel's own.
        let isFault = unsafe number == SIGSEGV && clinux_signal_code(info) > 0
        guard isFault, unsafe TrapRanges.range(at: clinux_signal_address(info)) != nil else {
            return unsafe ProgramSignals.deliver(isFault: isFault, info, context, error)
        }
        var work = unsafe Work(context: context)
        unsafe withUnsafeMutablePointer(to: &work) { place in
            unsafe ModelStacks.call({ unsafe TrapHandler.carryOut($0) }, UnsafeMutableRawPointer(place))
        }
        switch work.outcome {
        case .done: clinux_set_errno(error)
        case .missing(let address):
            let blocked = unsafe SignalSet(bits: clinux_frame_mask(context))
            if blocked.contains(.only(SIGBUS)) {
                // The kernel ends a program that blocks it.
                RealSignals.set(SIGBUS, SignalAction())
                unsafe clinux_frame_set_mask(context, blocked.subtracting(.only(SIGBUS)).bits)
            }
            _ = clinux_signal_bus_error(address)
            clinux_set_errno(error)
        case .fault(let address):
            unsafe clinux_signal_make_fault(info, address)
            unsafe ProgramSignals.deliver(isFault: true, info, context, error)
        case .unknown:
            unsafe reportUnknown(context, clinux_signal_address(info))
            unsafe ProgramSignals.deliver(isFault: true, info, context, error)
        }
    }

    /// On a stack of ours.
    private static func carryOut(_ work: UnsafeMutableRawPointer?) {
        // SAFETY: `handle` passes a `Work` of its own.
        guard let work = unsafe work?.assumingMemoryBound(to: Work.self) else { return }
        #if arch(x86_64)
            var frame = unsafe X86Frame(work.pointee.context)
            var registers = frame.registers
            guard let instruction = X86Frame.instruction(at: registers.instructionPointer) else { return }
            do throws(AccessFault) {
                try instruction.perform(on: &registers, through: &frame)
                frame.registers = registers
                unsafe work.pointee.outcome = .done
            } catch {
                unsafe work.pointee.outcome =
                    if let missing = frame.memory.missing { .missing(missing) } else {
                        .fault(UInt(error.address))
                    }
            }
        #endif
    }

    /// Writes what can't be carried out to the standard error, without any memory but the stack's.
    private static func reportUnknown(_ context: UnsafeMutableRawPointer, _ address: UInt) {
        var line = FixedLine()
        line.append("vfio run: an instruction that isn't known touches a device's registers at ")
        line.append(hex: UInt64(address))
        #if arch(x86_64)
            let at = unsafe X86Frame(context).registers.instructionPointer
            line.append(", from ")
            line.append(hex: at)
            line.append(":")
            var bytes = InlineArray<16, UInt8>(repeating: 0)
            let near = min(15, pageSize - Int(at % UInt64(pageSize)))
            var span = bytes.mutableSpan
            // SAFETY: any value of the bytes is one of their own.
            var all = unsafe span.mutableBytes
            var part = all._mutatingExtracting(first: near)
            do throws(Errno) {
                try UserMemory.read(from: HostAddress(at), into: &part)
                for index in 0..<near {
                    line.append(" ")
                    line.append(byte: bytes[index])
                }
            } catch {}
        #endif
        line.append("; --bars unmapped makes the program use read and write instead\n")
        line.write()
    }
}

/// A line of text on the stack, for code that must not allocate.
struct FixedLine {
    private var bytes = InlineArray<320, UInt8>(repeating: 0)
    private var count = 0

    mutating func append(_ text: StaticString) {
        for index in 0..<text.utf8CodeUnitCount { append(character: unsafe text.utf8Start[index]) }
    }

    private mutating func append(character: UInt8) {
        guard count < 320 else { return }
        bytes[count] = character
        count += 1
    }

    mutating func append(byte: UInt8) {
        append(digit: byte >> 4)
        append(digit: byte & 15)
    }

    private mutating func append(digit: UInt8) {
        append(character: digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
    }

    mutating func append(hex value: UInt64) {
        append("0x")
        var shift = UInt64(max(0, 60 - value.leadingZeroBitCount / 4 * 4))
        while true {
            append(digit: UInt8(value >> shift & 15))
            if shift == 0 { break }
            shift -= 4
        }
    }

    /// To the standard error, as it is.
    func write() {
        // SAFETY: the line's own bytes, `count` of them.
        unsafe bytes.span.withUnsafeBufferPointer { buffer in
            _ = unsafe RealCalls.call(.write, as: RealCalls.Transfer.self)(
                2, UnsafeMutableRawPointer(mutating: buffer.baseAddress), count)
        }
    }
}
