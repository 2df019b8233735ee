import CLinux
import LinuxSystem
import VFIOHost

// poll(2), select(2) and their relatives. VFIO's files don't tell when there is something to do: Linux says of each that
// it can be read and written at any time, and refuses to add it to an epoll.

/// What Linux says of such a file: `DEFAULT_POLLMASK`.
private let always = Int16(POLLIN) | Int16(POLLOUT) | 0x40 | 0x100

/// Polls, with ours taken out.
/// - Parameter wait: polls others; without waiting, if told so.
private func pollAround(
    _ list: UnsafeMutablePointer<pollfd>?, _ count: UInt,
    _ wait: (UnsafeMutablePointer<pollfd>?, Bool) -> Int32
) -> Int32 {
    guard Handles.isInUse, let list = unsafe list, count <= UInt(Handles.most) else {
        return unsafe wait(list, false)
    }
    let count = Int(count)
    var hasOurs = false
    for index in 0..<count where Handles.contains(unsafe list[index].fd) { hasOurs = true }
    guard hasOurs else { return unsafe wait(list, false) }
    // A copy: other threads may look at the list meanwhile.
    return unsafe withUnsafeTemporaryAllocation(of: pollfd.self, capacity: count) { copy in
        var ready: Int32 = 0
        for index in 0..<count {
            unsafe copy.initializeElement(at: index, to: list[index])
            guard Handles.contains(unsafe list[index].fd) else { continue }
            // The system passes over numbers below 0.
            unsafe copy[index].fd = -1
            if unsafe list[index].events & always != 0 { ready += 1 }
        }
        let others = unsafe wait(copy.baseAddress, ready > 0)
        guard others >= 0 else { return others }
        for index in 0..<count {
            if unsafe copy[index].fd == -1 && list[index].fd >= 0 {
                unsafe list[index].revents = list[index].events & always
            } else {
                unsafe list[index].revents = copy[index].revents
            }
        }
        return others + ready
    }
}

/// Stands in front of `poll`.
@c(poll) public func hookedPoll(
    _ list: UnsafeMutablePointer<pollfd>?, _ count: UInt, _ milliseconds: Int32
) -> Int32 {
    unsafe pollAround(list, count) { list, isReady in
        unsafe RealCalls.call(.poll, as: RealCalls.Poll.self)(list, count, isReady ? 0 : milliseconds)
    }
}

/// Stands in front of `__poll_chk`.
@c(__poll_chk) public func hookedCheckedPoll(
    _ list: UnsafeMutablePointer<pollfd>?, _ count: UInt, _ milliseconds: Int32, _ room: Int
) -> Int32 {
    guard room < 0 || count <= UInt(room / MemoryLayout<pollfd>.size) else { abort() }
    return unsafe hookedPoll(list, count, milliseconds)
}

/// Stands in front of `ppoll`.
@c(ppoll) public func hookedPollUntil(
    _ list: UnsafeMutablePointer<pollfd>?, _ count: UInt, _ time: UnsafeMutableRawPointer?,
    _ signals: UnsafeMutableRawPointer?
) -> Int32 {
    unsafe pollAround(list, count) { list, isReady in
        var none = timespec()
        return unsafe withUnsafeMutablePointer(to: &none) { none in
            unsafe RealCalls.call(.ppoll, as: RealCalls.PollUntil.self)(
                list, count, isReady ? UnsafeMutableRawPointer(none) : time, signals)
        }
    }
}

/// Stands in front of `__ppoll_chk`.
@c(__ppoll_chk) public func hookedCheckedPollUntil(
    _ list: UnsafeMutablePointer<pollfd>?, _ count: UInt, _ time: UnsafeMutableRawPointer?,
    _ signals: UnsafeMutableRawPointer?, _ room: Int
) -> Int32 {
    guard room < 0 || count <= UInt(room / MemoryLayout<pollfd>.size) else { abort() }
    return unsafe hookedPollUntil(list, count, time, signals)
}

/// Which of a set's numbers in one word are ours.
private func ours(in bits: UInt64, _ word: Int) -> UInt64 {
    var rest = bits
    var ours: UInt64 = 0
    while rest != 0 {
        let bit = rest.trailingZeroBitCount
        rest &= rest - 1
        if Handles.contains(Int32(word * 64 + bit)) { ours |= 1 << UInt64(bit) }
    }
    return ours
}

/// Selects, with ours taken out of the sets.
private func selectAround(
    _ count: Int32, _ reading: RealCalls.Bits?, _ writing: RealCalls.Bits?, _ failing: RealCalls.Bits?,
    _ wait: (Bool) -> Int32
) -> Int32 {
    guard Handles.isInUse, count > 0 else { return wait(false) }
    let words = (min(Int(count), Handles.most) + 63) / 64
    var hasOurs = false
    for word in 0..<words {
        let bits = unsafe (reading?[word] ?? 0) | (writing?[word] ?? 0) | (failing?[word] ?? 0)
        if bits != 0 && ours(in: bits, word) != 0 { hasOurs = true }
    }
    guard hasOurs else { return wait(false) }
    return unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 3 * words) { taken in
        var ready = 0
        for place in 0..<3 {
            let set = unsafe place == 0 ? reading : place == 1 ? writing : failing
            for word in 0..<words {
                let found = unsafe ours(in: set?[word] ?? 0, word)
                unsafe taken.initializeElement(at: place * words + word, to: found)
                unsafe set?[word] &= ~found
                if place < 2 { ready += found.nonzeroBitCount }
            }
        }
        let others = wait(ready > 0)
        for word in 0..<words {
            unsafe reading?[word] |= taken[word]
            unsafe writing?[word] |= taken[words + word]
            // They have failed never; but a call that fails changes no set.
            if others < 0 { unsafe failing?[word] |= taken[2 * words + word] }
        }
        return others < 0 ? others : others + Int32(ready)
    }
}

/// Stands in front of `select`.
@c(select) public func hookedSelect(
    _ count: Int32, _ reading: UnsafeMutablePointer<UInt64>?, _ writing: UnsafeMutablePointer<UInt64>?,
    _ failing: UnsafeMutablePointer<UInt64>?, _ time: UnsafeMutableRawPointer?
) -> Int32 {
    unsafe selectAround(count, reading, writing, failing) { isReady in
        var none = timeval()
        return unsafe withUnsafeMutablePointer(to: &none) { none in
            unsafe RealCalls.call(.select, as: RealCalls.Select.self)(
                count, reading, writing, failing, isReady ? UnsafeMutableRawPointer(none) : time)
        }
    }
}

/// Stands in front of `pselect`.
@c(pselect) public func hookedSelectUntil(
    _ count: Int32, _ reading: UnsafeMutablePointer<UInt64>?, _ writing: UnsafeMutablePointer<UInt64>?,
    _ failing: UnsafeMutablePointer<UInt64>?, _ time: UnsafeMutableRawPointer?,
    _ signals: UnsafeMutableRawPointer?
) -> Int32 {
    unsafe selectAround(count, reading, writing, failing) { isReady in
        var none = timespec()
        return unsafe withUnsafeMutablePointer(to: &none) { none in
            unsafe RealCalls.call(.pselect, as: RealCalls.SelectUntil.self)(
                count, reading, writing, failing, isReady ? UnsafeMutableRawPointer(none) : time, signals)
        }
    }
}

/// Stands in front of `epoll_ctl`.
@c(epoll_ctl) public func hookedEventControl(
    _ epoll: Int32, _ operation: Int32, _ number: Int32, _ event: UnsafeMutableRawPointer?
) -> Int32 {
    guard Handles.contains(number) else {
        return unsafe RealCalls.call(.epollControl, as: RealCalls.EventControl.self)(
            epoll, operation, number, event)
    }
    let flags = RealCalls.call(.fcntl, as: RealCalls.DescriptorControl.self)(epoll, F_GETFD, 0)
    return flags < 0 ? flags : Int32(Answer.fail(.notPermitted))
}
