import CLinux
import LinuxSystem

/// Stacks on which faults are carried out.
///
/// A fault comes on whatever stack the program uses at that moment: a thread's smallest, a coroutine's, the one it
/// keeps for signals. A device needs more than these may have left.
enum ModelStacks {
    /// How many faults can be under way at a time without using the program's own stacks.
    private static let count = 64
    private static let byteCount = 256 << 10
    private static let guardByteCount = 64 << 10

    // SAFETY: set once by `prepare`, before the first fault.
    nonisolated(unsafe) private static var start: UInt = 0
    // SAFETY: as above; a word whose bits say which are taken, changed by atomic operations only.
    nonisolated(unsafe) private static var taken: UInt = 0

    /// Makes them. Their memory comes when it is used.
    static func prepare() throws(Errno) {
        guard unsafe start == 0 else { return }
        let word = try Mapping(anonymous: 8).release()
        let step = byteCount + guardByteCount
        let memory = try Mapping(anonymous: step * count).release()
        // Below each a stretch that can't be touched, so that one that overflows ends the program at once.
        for index in 0..<count {
            _ = clinux_mprotect(memory.address.rawValue + UInt(index * step), guardByteCount, 0)
        }
        unsafe taken = word.address.rawValue
        unsafe start = memory.address.rawValue
    }

    /// Calls a function on one of them; on the present stack if all are taken.
    static func call(
        _ body: @convention(c) (UnsafeMutableRawPointer?) -> Void, _ context: UnsafeMutableRawPointer
    ) {
        let index = unsafe clinux_take_bit(taken)
        guard index >= 0 else { return unsafe body(context) }
        let top = unsafe start + UInt(Int(index + 1) * (byteCount + guardByteCount))
        // SAFETY: the stack ends there, is aligned, and nobody else has it until its bit is cleared.
        unsafe clinux_call_on_stack(top, body, context)
        _ = unsafe clinux_atomic_clear(taken, 1 << UInt64(index))
    }

    /// The child of a fork has one thread, which is in none of them.
    static func beginInChild() { if unsafe taken != 0 { unsafe clinux_atomic_store(taken, 0) } }
}
