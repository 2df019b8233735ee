import CLinux
import LinuxSystem
import VFIOHost

// open(2) and its relatives: a node of VFIO's is opened in the kernel here, a path that tells of devices in the
// run's folder, all else as ever. The C functions take their third argument only with O_CREAT or O_TMPFILE; a
// register that holds nothing of worth is handed on unread otherwise.

/// Opens a node, as its handle's number.
func openNode(_ node: Node, _ flags: Int32) -> Int32 {
    Answer.int { () throws(Errno) -> Int32 in
        let number = try Run.kernel().open(node)
        Handles.setAccess(number, flags)
        if flags & O_CLOEXEC == 0 { _ = clinux_set_close_on_exec(number, 0) }
        if flags & (O_NONBLOCK | O_APPEND) != 0 {
            _ = RealCalls.call(.fcntl, as: RealCalls.DescriptorControl.self)(
                number, F_SETFL, UInt(flags & (O_NONBLOCK | O_APPEND)))
        }
        return number
    }
}

/// The system can't open the nodes in the run's folder, so all others lose no time.
private func openAnywhere(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32, _ mode: UInt32
) -> Int32 {
    let number = unsafe PrivatePaths.using(path) { path in
        unsafe RealCalls.call(.openat, as: RealCalls.OpenAt.self)(folder, path, flags, mode)
    }
    if number < 0, let node = unsafe TreeNodes.node(folder, path) { return openNode(node, flags) }
    // Closed by means that don't come by here, and given out again.
    if number >= 0 && Handles.isKnown(number) { forgetHandle(number) }
    if number >= 0 && flags & O_ACCMODE != O_RDONLY { unsafe ControlFiles.note(number, path) }
    return number
}

/// A number of ours isn't one any more: it was closed by other means, or another file was put there. Whether it was the
/// last of its file, the kernel learns by itself.
func forgetHandle(_ number: Int32) {
    let isOurs = Handles.contains(number)
    Handles.remove(number)
    if isOurs { TrapHolders.forget(number) }
}

/// Stands in front of `open`.
@c(open) public func hookedOpen(_ path: UnsafePointer<CChar>?, _ flags: Int32, _ mode: UInt32) -> Int32 {
    unsafe openAnywhere(clinux_at_current_folder(), path, flags, mode)
}

/// Stands in front of `open64`.
@c(open64) public func hookedOpen64(_ path: UnsafePointer<CChar>?, _ flags: Int32, _ mode: UInt32) -> Int32 {
    unsafe openAnywhere(clinux_at_current_folder(), path, flags, mode)
}

/// Stands in front of `__open_2`.
@c(__open_2) public func hookedOpen2(_ path: UnsafePointer<CChar>?, _ flags: Int32) -> Int32 {
    unsafe openAnywhere(clinux_at_current_folder(), path, flags, 0)
}

/// Stands in front of `__open64_2`.
@c(__open64_2) public func hookedOpen642(_ path: UnsafePointer<CChar>?, _ flags: Int32) -> Int32 {
    unsafe openAnywhere(clinux_at_current_folder(), path, flags, 0)
}

/// Stands in front of `openat`.
@c(openat) public func hookedOpenAt(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32, _ mode: UInt32
) -> Int32 {
    unsafe openAnywhere(folder, path, flags, mode)
}

/// Stands in front of `openat64`.
@c(openat64) public func hookedOpenAt64(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32, _ mode: UInt32
) -> Int32 {
    unsafe openAnywhere(folder, path, flags, mode)
}

/// Stands in front of `__openat_2`.
@c(__openat_2) public func hookedOpenAt2(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32
) -> Int32 {
    unsafe openAnywhere(folder, path, flags, 0)
}

/// Stands in front of `__openat64_2`.
@c(__openat64_2) public func hookedOpenAt642(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32
) -> Int32 {
    unsafe openAnywhere(folder, path, flags, 0)
}

/// Stands in front of `creat`.
@c(creat) public func hookedCreate(_ path: UnsafePointer<CChar>?, _ mode: UInt32) -> Int32 {
    unsafe openAnywhere(clinux_at_current_folder(), path, O_CREAT | O_WRONLY | O_TRUNC, mode)
}

/// Stands in front of `creat64`.
@c(creat64) public func hookedCreate64(_ path: UnsafePointer<CChar>?, _ mode: UInt32) -> Int32 {
    unsafe openAnywhere(clinux_at_current_folder(), path, O_CREAT | O_WRONLY | O_TRUNC, mode)
}
