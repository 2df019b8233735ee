import CLinux
import LinuxSystem
import VFIOHost

// close(2), dup(2) and their relatives: which numbers stand for a file of ours. In a child of vfork(2) the numbers are
// the child's own, but all that is known of them here is the parent's: there only the system is told.

private var realClose: RealCalls.Close { RealCalls.call(.close, as: RealCalls.Close.self) }
private var realControl: RealCalls.DescriptorControl {
    RealCalls.call(.fcntl, as: RealCalls.DescriptorControl.self)
}

/// Stands in front of `close`.
@c(close) public func hookedClose(_ number: Int32) -> Int32 {
    guard Handles.isKnown(number) else { return realClose(number) }
    return closeHandle(number)
}

private func closeHandle(_ number: Int32) -> Int32 {
    guard Handles.isOwnProcess else { return realClose(number) }
    if Handles.isProtected(number) { return Int32(Answer.fail(.badDescriptor)) }
    if let control = Handles.control(number) {
        ControlFiles.takeContents(control)
        Handles.remove(number)
        return realClose(number)
    }
    TrapHolders.forget(number)
    Run.present.close(number)
    return 0
}

/// Closes the numbers of ours in a range, each as it must be, and lets the system close those between them.
private func closeRange(_ first: UInt32, _ last: UInt32, _ close: (UInt32, UInt32) -> Int32) -> Int32 {
    guard Handles.isInUse, Handles.isOwnProcess, let highest = UInt32(exactly: unsafe Handles.highest),
        first <= min(last, highest)
    else { return close(first, last) }
    var next = first
    for number in first...min(last, highest) where Handles.isKnown(Int32(number)) {
        if number > next { _ = close(next, number - 1) }
        _ = closeHandle(Int32(number))
        next = number + 1
    }
    return next <= last ? close(next, last) : 0
}

/// Stands in front of `close_range`.
@c(close_range) public func hookedCloseRange(_ first: UInt32, _ last: UInt32, _ flags: Int32) -> Int32 {
    guard RealCalls.address(.closeRange) != 0 else { return Int32(Answer.fail(Errno(rawValue: ENOSYS))) }
    let real = RealCalls.call(.closeRange, as: RealCalls.CloseRange.self)
    // CLOSE_RANGE_CLOEXEC only marks them, and what can't be is refused.
    guard flags & ~2 == 0, first <= last else { return real(first, last, flags) }
    return closeRange(first, last) { real($0, $1, flags) }
}

/// Stands in front of `closefrom`.
@c(closefrom) public func hookedCloseFrom(_ lowest: Int32) {
    _ = hookedCloseRange(UInt32(max(lowest, 0)), .max, 0)
}

/// The system has put something at a number.
private func put(_ number: Int32, at other: Int32) -> Int32 {
    guard other >= 0, Handles.isKnown(number) || Handles.isKnown(other), Handles.isOwnProcess else {
        return other
    }
    if let control = Handles.control(other) {
        ControlFiles.takeContents(control)
        Handles.remove(other)
    }
    if Handles.isKnown(other) { forgetHandle(other) }
    guard Handles.contains(number) || Handles.control(number) != nil else { return other }
    guard Handles.canHold(other) else {
        _ = realClose(other)
        return Int32(Answer.fail(.tooManyDescriptors))
    }
    Handles.copy(number, to: other)
    return other
}

/// Stands in front of `dup`.
@c(dup) public func hookedDuplicate(_ number: Int32) -> Int32 {
    put(number, at: RealCalls.call(.dup, as: RealCalls.Duplicate.self)(number))
}

/// Stands in front of `dup2`.
@c(dup2) public func hookedDuplicateTo(_ number: Int32, _ other: Int32) -> Int32 {
    let result = RealCalls.call(.dup2, as: RealCalls.DuplicateTo.self)(number, other)
    return number == other ? result : put(number, at: result)
}

/// Stands in front of `dup3`.
@c(dup3) public func hookedDuplicateWith(_ number: Int32, _ other: Int32, _ flags: Int32) -> Int32 {
    put(number, at: RealCalls.call(.dup3, as: RealCalls.DuplicateWith.self)(number, other, flags))
}

/// Stands in front of `fcntl`.
@c(fcntl) public func hookedDescriptorControl(
    _ number: Int32, _ command: Int32, _ argument: UInt
) -> Int32 {
    let result = realControl(number, command, argument)
    if command == F_DUPFD || command == F_DUPFD_CLOEXEC { return put(number, at: result) }
    guard Handles.contains(number) else { return result }
    switch command {
    case F_GETFL where result >= 0:
        // What stands in the number's place was opened in its own way.
        return result & (O_NONBLOCK | O_APPEND | O_ASYNC) | Handles.openFlags(number)
    case 1031, 1032:
        // F_SETPIPE_SZ, F_GETPIPE_SZ: it is no pipe.
        return Int32(Answer.fail(.badDescriptor))
    case 1033, 1034:
        // F_ADD_SEALS, F_GET_SEALS: nor a memory file.
        return Int32(Answer.fail(.invalid))
    default: return result
    }
}

/// Stands in front of `fcntl64`.
@c(fcntl64) public func hookedDescriptorControl64(
    _ number: Int32, _ command: Int32, _ argument: UInt
) -> Int32 { hookedDescriptorControl(number, command, argument) }
