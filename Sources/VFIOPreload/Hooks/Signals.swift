import CLinux
import LinuxSystem

// The program's actions and masks for signals. That it blocks SIGSEGV is kept in a way that still lets us see faults
// (SignalSet.real); what it wants to happen on SIGSEGV is kept while our handler stands there (ProgramSignals).

private typealias Suspend = @convention(c) (UnsafeRawPointer?) -> Int32

/// Whether masks and actions are looked at: only under `vfio run`.
private var isWatching: Bool { Run.isActive }

private func exchangeAction(
    _ number: Int32, _ new: UnsafeRawPointer?, _ old: UnsafeMutableRawPointer?
) -> Int32 {
    let real = unsafe RealCalls.call(.sigaction, as: RealSignals.Action.self)
    guard isWatching else { return unsafe real(number, new, old) }
    var action: SignalAction?
    if let new = unsafe new {
        // SAFETY: the program's structure, which the C library would read as well.
        action = unsafe SignalAction(new)
    }
    if number == SIGSEGV, unsafe ProgramSignals.isInstalled {
        let former = ProgramSignals.exchange(action)
        if let old = unsafe old { unsafe former.write(to: old) }
        return 0
    }
    // With our handler installed the signal that stands for SIGSEGV is taken, though nobody sees that.
    if number == SignalSet.standInNumber, unsafe ProgramSignals.isInstalled {
        if let old = unsafe old { unsafe SignalAction().write(to: old) }
        return 0
    }
    guard let asked = action else {
        let result = unsafe real(number, nil, old)
        if result == 0 { unsafe showMask(ofAction: old) }
        return result
    }
    // A handler that blocks SIGSEGV may touch registers all the same.
    var changed = asked
    changed.mask = asked.mask.real
    var room = InlineArray<32, UInt64>(repeating: 0)
    // SAFETY: room for the structure (152 bytes).
    let result = unsafe withUnsafeMutableBytes(of: &room) { bytes -> Int32 in
        guard let place = bytes.baseAddress else { return -1 }
        unsafe changed.write(to: place)
        return unsafe real(number, UnsafeRawPointer(place), old)
    }
    if result == 0 { unsafe showMask(ofAction: old) }
    return result
}

private func showMask(ofAction place: UnsafeMutableRawPointer?) {
    guard let place = unsafe place else { return }
    // SAFETY: the C library has just filled the structure.
    var action = unsafe SignalAction(UnsafeRawPointer(place))
    let shown = action.mask.shown
    guard shown != action.mask else { return }
    action.mask = shown
    unsafe action.write(to: place)
}

/// Stands in front of `sigaction`.
@c(sigaction) public func hookedAction(
    _ number: Int32, _ new: UnsafeRawPointer?, _ old: UnsafeMutableRawPointer?
) -> Int32 {
    unsafe exchangeAction(number, new, old)
}

/// Stands in front of `__sigaction`.
@c(__sigaction) public func hookedInnerAction(
    _ number: Int32, _ new: UnsafeRawPointer?, _ old: UnsafeMutableRawPointer?
) -> Int32 {
    unsafe exchangeAction(number, new, old)
}

/// signal(2) by way of sigaction(2).
private func exchangeHandler(_ number: Int32, _ handler: UInt, _ flags: Int32, blocksItself: Bool) -> UInt {
    guard number > 0, number <= 64 else {
        _ = Answer.fail(.invalid)
        return .max
    }
    let mask = blocksItself ? SignalSet.only(number) : SignalSet(bits: 0)
    let action = SignalAction(handler: handler, mask: mask, flags: flags)
    var new = InlineArray<32, UInt64>(repeating: 0)
    var old = InlineArray<32, UInt64>(repeating: 0)
    // SAFETY: both have room for the structure (152 bytes).
    return unsafe withUnsafeMutableBytes(of: &new) { new -> UInt in
        unsafe withUnsafeMutableBytes(of: &old) { old -> UInt in
            guard let newPlace = new.baseAddress, let oldPlace = old.baseAddress else { return .max }
            unsafe action.write(to: newPlace)
            guard unsafe exchangeAction(number, UnsafeRawPointer(newPlace), oldPlace) == 0 else {
                return .max
            }
            return unsafe SignalAction(UnsafeRawPointer(oldPlace)).handler
        }
    }
}

/// Stands in front of `signal`.
@c(signal) public func hookedSignal(_ number: Int32, _ handler: UInt) -> UInt {
    exchangeHandler(number, handler, clinux_sa_restart(), blocksItself: true)
}

/// Stands in front of `bsd_signal`.
@c(bsd_signal) public func hookedBSDSignal(_ number: Int32, _ handler: UInt) -> UInt {
    hookedSignal(number, handler)
}

/// Stands in front of `ssignal`.
@c(ssignal) public func hookedSoftwareSignal(_ number: Int32, _ handler: UInt) -> UInt {
    hookedSignal(number, handler)
}

/// Stands in front of `sysv_signal`.
@c(sysv_signal) public func hookedSystemVSignal(_ number: Int32, _ handler: UInt) -> UInt {
    exchangeHandler(
        number, handler, clinux_sa_resethand() | clinux_sa_nodefer(), blocksItself: false)
}

/// Stands in front of `__sysv_signal`.
@c(__sysv_signal) public func hookedInnerSystemVSignal(_ number: Int32, _ handler: UInt) -> UInt {
    hookedSystemVSignal(number, handler)
}

/// Changes the thread's mask by one of the C library's two functions for that.
private func changeMask(
    _ name: RealCalls.Name, _ how: Int32, _ new: UnsafeRawPointer?, _ old: UnsafeMutableRawPointer?
) -> Int32 {
    let real = unsafe RealCalls.call(name, as: RealSignals.Mask.self)
    guard isWatching else { return unsafe real(how, new, old) }
    var result: Int32 = 0
    if let new = unsafe new {
        // SAFETY: a set of the program's; the C library reads 8 bytes of it as well.
        var set = unsafe SignalSet(bits: new.loadUnaligned(as: UInt64.self)).real
        // Who unblocks it may have inherited it blocked for good.
        if how == SIG_UNBLOCK, set.contains(.standIn) { set = set.union(.fault) }
        var room = InlineArray<16, UInt64>(repeating: 0)
        room[0] = set.bits
        // SAFETY: a `sigset_t` has 128 bytes.
        result = unsafe withUnsafeBytes(of: room) { unsafe real(how, $0.baseAddress, old) }
    } else {
        result = unsafe real(how, nil, old)
    }
    if result == 0, let old = unsafe old {
        let shown = unsafe SignalSet(bits: old.loadUnaligned(as: UInt64.self)).shown
        unsafe old.storeBytes(of: shown.bits, as: UInt64.self)
    }
    return result
}

/// Stands in front of `sigprocmask`.
@c(sigprocmask) public func hookedProcessMask(
    _ how: Int32, _ new: UnsafeRawPointer?, _ old: UnsafeMutableRawPointer?
) -> Int32 {
    unsafe changeMask(.sigprocmask, how, new, old)
}

/// Stands in front of `pthread_sigmask`.
@c(pthread_sigmask) public func hookedThreadMask(
    _ how: Int32, _ new: UnsafeRawPointer?, _ old: UnsafeMutableRawPointer?
) -> Int32 {
    unsafe changeMask(.pthread_sigmask, how, new, old)
}

/// Stands in front of `sigsuspend`: a handler that runs meanwhile has that mask too.
@c(sigsuspend) public func hookedSuspend(_ mask: UnsafeRawPointer?) -> Int32 {
    let real = unsafe RealCalls.call(.sigsuspend, as: Suspend.self)
    guard isWatching, let mask = unsafe mask else { return unsafe real(mask) }
    var room = InlineArray<16, UInt64>(repeating: 0)
    // SAFETY: a set of the program's; the C library reads 8 bytes of it as well.
    room[0] = unsafe SignalSet(bits: mask.loadUnaligned(as: UInt64.self)).real.bits
    return unsafe withUnsafeBytes(of: room) { unsafe real($0.baseAddress) }
}
