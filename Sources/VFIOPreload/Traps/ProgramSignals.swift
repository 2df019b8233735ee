import CLinux
import LinuxSystem

/// What the program has asked to happen on SIGSEGV, while this library's handler stands in its place.
enum ProgramSignals {
    // SAFETY: only touched with `lock` held and all signals blocked.
    nonisolated(unsafe) private static var action = SignalAction()
    // SAFETY: set once, before other threads can fault here.
    nonisolated(unsafe) private(set) static var isInstalled = false
    // SAFETY: made by `install`.
    nonisolated(unsafe) private static var lock: Lock?

    /// All signals but those that our own code may raise with somebody else's cut files (GuardedMapping).
    static let whileModelRuns = SignalSet(bits: .max).subtracting(.only(SIGBUS))

    /// Puts our handler in the place of the program's.
    static func install() {
        guard unsafe !isInstalled else { return }
        unsafe lock = Lock()
        withLock {
            unsafe action = RealSignals.set(SIGSEGV, nil) ?? SignalAction()
            unsafe isInstalled = true
            place()
        }
    }

    /// Runs `body` where neither another thread nor a handler of this one can come between.
    private static func withLock<R>(_ body: () -> R) -> R {
        let mask = RealSignals.setMask(SignalSet(bits: .max))
        unsafe lock?.lock()
        let result = body()
        unsafe lock?.unlock()
        RealSignals.setMask(mask)
        return result
    }

    /// Tells the kernel of our handler. It runs on the stack that the program's would run on, so that the program's can
    /// be called from it; whether a system call that it interrupts goes on is the program's choice as well.
    private static func place() {
        let kept = clinux_sa_onstack() | clinux_sa_restart()
        let handler: @convention(c) (Int32, UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) -> Void = {
            unsafe TrapHandler.handle($0, $1, $2)
        }
        // SAFETY: a function's address.
        let address = unsafe unsafeBitCast(handler, to: UInt.self)
        let ours = SignalAction(
            handler: address, mask: whileModelRuns, flags: unsafe action.flags & kept | clinux_sa_siginfo())
        RealSignals.set(SIGSEGV, ours)
        RealSignals.set(SignalSet.standInNumber, ours)
    }

    /// sigaction(2) for SIGSEGV.
    /// - Returns: what the program had asked for before.
    static func exchange(_ new: SignalAction?) -> SignalAction {
        withLock {
            let old = unsafe action
            if let new {
                unsafe action = new
                place()
            }
            return old
        }
    }

    /// What is to be done for a signal that comes now; what is done once only is done with it.
    private static func take() -> SignalAction {
        withLock {
            let taken = unsafe action
            if taken.isFunction && taken.has(clinux_sa_resethand()) {
                unsafe action.handler = SignalAction.none
            }
            return taken
        }
    }

    /// Does what the kernel would do with a SIGSEGV that isn't ours.
    static func deliver(
        isFault: Bool, _ info: UnsafeMutableRawPointer, _ context: UnsafeMutableRawPointer, _ error: Int32
    ) {
        let blocked = unsafe SignalSet(bits: clinux_frame_mask(context))
        let isBlocked = blocked.contains(.standIn)
        if isBlocked && !isFault {
            // Sent by somebody: it waits, as the signal that stands for it.
            _ = unsafe clinux_signal_again(SignalSet.standInNumber, info)
            return
        }
        let taken = take()
        if !isFault && taken.handler == SignalAction.ignore { return }
        if isBlocked || !taken.isFunction {
            // The kernel ends a program that faults where it can't be told. The instruction does it again.
            RealSignals.set(SIGSEGV, SignalAction())
            if !isFault { _ = unsafe clinux_signal_again(SIGSEGV, info) }
            return
        }
        var mask = blocked.union(taken.mask.real)
        if !taken.has(clinux_sa_nodefer()) { mask = mask.union(.standIn) }
        let before = RealSignals.setMask(mask)
        clinux_set_errno(error)
        unsafe clinux_call_handler(
            taken.handler, SIGSEGV, info, context, taken.has(clinux_sa_siginfo()) ? 1 : 0)
        let after = clinux_errno()
        RealSignals.setMask(before)
        // The program's handler may have changed what is blocked behind it.
        let wanted = unsafe SignalSet(bits: clinux_frame_mask(context))
        if wanted.contains(.fault) { unsafe clinux_frame_set_mask(context, wanted.real.bits) }
        clinux_set_errno(after)
    }

    /// The child of a fork has one thread, which holds no lock.
    static func beginInChild() { if unsafe lock != nil { unsafe lock = Lock() } }
}
