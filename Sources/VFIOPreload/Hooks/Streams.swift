import CLinux
import LinuxSystem
import VFIOHost

// fopen(3) and its relatives. A stream on one of our handles can be opened and closed; what the C library reads and
// writes through it by itself doesn't come by here, and fails or finds nothing. (Linux's answers to that aren't of use
// to anybody either: a stream reads more than is asked for, at a position that can't be chosen.)

/// The flags of open(2) for a stream's mode.
private func openFlags(_ mode: UnsafePointer<CChar>) -> Int32 {
    var flags: Int32 = unsafe mode[0] == CChar(UInt8(ascii: "r")) ? O_RDONLY : O_WRONLY
    var at = 1
    // SAFETY: the text ends with a NUL.
    while unsafe mode[at] != 0 {
        if unsafe mode[at] == CChar(UInt8(ascii: "+")) { flags = flags & ~O_ACCMODE | O_RDWR }
        if unsafe mode[at] == CChar(UInt8(ascii: "e")) { flags |= O_CLOEXEC }
        at += 1
    }
    return flags
}

/// Stands in front of `fopen`.
@c(fopen) public func hookedOpenStream(
    _ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?
) -> UnsafeMutableRawPointer? {
    let stream = unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.fopen, as: RealCalls.OpenStream.self)($0, mode)
    }
    guard unsafe stream == nil, let mode = unsafe mode,
        let node = unsafe TreeNodes.node(clinux_at_current_folder(), path)
    else { return unsafe stream }
    let number = unsafe openNode(node, openFlags(mode))
    guard number >= 0 else { return nil }
    let made = unsafe RealCalls.call(.fdopen, as: RealCalls.StreamOf.self)(number, mode)
    if unsafe made == nil { _ = hookedClose(number) }
    return unsafe made
}

/// Stands in front of `fopen64`.
@c(fopen64) public func hookedOpenStream64(
    _ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?
) -> UnsafeMutableRawPointer? {
    unsafe hookedOpenStream(path, mode)
}

/// The C library is about to close a stream's number by itself.
private func forgetHandle(of stream: UnsafeMutableRawPointer?) {
    guard Handles.isInUse, unsafe stream != nil else { return }
    let number = unsafe clinux_number_of(stream)
    if Handles.contains(number) && Handles.isOwnProcess { forgetHandle(number) }
}

/// Stands in front of `fclose`.
@c(fclose) public func hookedCloseStream(_ stream: UnsafeMutableRawPointer?) -> Int32 {
    unsafe forgetHandle(of: stream)
    return unsafe RealCalls.call(.fclose, as: RealCalls.CloseStream.self)(stream)
}

/// Stands in front of `freopen`.
@c(freopen) public func hookedReopenStream(
    _ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?, _ stream: UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    if unsafe path != nil { unsafe forgetHandle(of: stream) }
    return unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.freopen, as: RealCalls.ReopenStream.self)($0, mode, stream)
    }
}

/// Stands in front of `freopen64`.
@c(freopen64) public func hookedReopenStream64(
    _ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?, _ stream: UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? { unsafe hookedReopenStream(path, mode, stream) }
