import CLinux
import LinuxSystem
import VFIOHost

// open(2) and its relatives: a node of VFIO's is opened in the kernel here, a path that tells of devices in the
// run's folder, all else as ever. The C functions take their third argument only with O_CREAT or O_TMPFILE; a
// register that holds nothing of worth is handed on unread otherwise.

/// Opens a node, as its handle's number.
private func openNode(_ node: Node, _ flags: Int32) -> Int32 {
    Answer.int { () throws(Errno) -> Int32 in
        if flags & O_DIRECTORY != 0 { throw .notDirectory }
        let kernel = try Run.kernel()
        let number = try kernel.open(node)
        if flags & O_CLOEXEC == 0 { _ = clinux_set_close_on_exec(number, 0) }
        return number
    }
}

private func openAnywhere(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32, _ mode: UInt32
) -> Int32 {
    if let node = unsafe PrivatePaths.node(path) { return openNode(node, flags) }
    return unsafe PrivatePaths.using(path) { path in
        unsafe RealCalls.call(.openat, as: RealCalls.OpenAt.self)(folder, path, flags, mode)
    }
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

/// Stands in front of `close`.
@c(close) public func hookedClose(_ number: Int32) -> Int32 {
    guard Handles.contains(number), Run.isOwnProcess else {
        // What the library holds for itself is nothing to the program, which may close all there is.
        if Handles.isProtected(number) { return Int32(Answer.fail(.badDescriptor)) }
        return RealCalls.call(.close, as: RealCalls.Close.self)(number)
    }
    Run.present.close(number)
    return 0
}
