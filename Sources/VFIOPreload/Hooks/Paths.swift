import CLinux
import LinuxSystem
import VFIOHost

// What tells about files: paths that tell of devices are answered from the run's folder, where nodes are plain
// files that are made to look like nodes here. All structures for stat(2) are the same with and without "64" on
// 64-bit machines.

/// Makes what stat(2) told of a file look like a node.
private func shape(_ status: UnsafeMutablePointer<stat>?, as node: Node) {
    guard let status = unsafe status else { return }
    let number = node.deviceNumber
    // SAFETY: the C library has just filled the structure.
    unsafe clinux_make_node(status, number.major, number.minor)
}

private func pathStatus(
    _ name: RealCalls.Name, _ path: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<stat>?
) -> Int32 {
    let result = unsafe PrivatePaths.using(path) { place in
        unsafe RealCalls.call(name, as: RealCalls.PathStatus.self)(place, status)
    }
    if result == 0, let node = unsafe PrivatePaths.node(path) { unsafe shape(status, as: node) }
    return result
}

private func fileStatus(_ number: Int32, _ status: UnsafeMutablePointer<stat>?) -> Int32 {
    let result = unsafe RealCalls.call(.fstat, as: RealCalls.FileStatus.self)(number, status)
    if result == 0, let place = Handles.deviceNumber(number), let status = unsafe status {
        // SAFETY: the C library has just filled the structure.
        unsafe clinux_make_node(status, place.major, place.minor)
    }
    return result
}

private func statusAt(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<stat>?, _ flags: Int32
) -> Int32 {
    // AT_EMPTY_PATH: the descriptor itself.
    if flags & 0x1000 != 0, let path = unsafe path, unsafe path[0] == 0 {
        return unsafe fileStatus(folder, status)
    }
    let result = unsafe PrivatePaths.using(path) { place in
        unsafe RealCalls.call(.fstatat, as: RealCalls.StatusAt.self)(folder, place, status, flags)
    }
    if result == 0, let node = unsafe PrivatePaths.node(path) { unsafe shape(status, as: node) }
    return result
}

/// Stands in front of `stat`.
@c(stat) public func hookedStatus(
    _ path: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<stat>?
) -> Int32 { unsafe pathStatus(.stat, path, status) }

/// Stands in front of `stat64`.
@c(stat64) public func hookedStatus64(
    _ path: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<stat>?
) -> Int32 { unsafe pathStatus(.stat, path, status) }

/// Stands in front of `lstat`.
@c(lstat) public func hookedLinkStatus(
    _ path: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<stat>?
) -> Int32 { unsafe pathStatus(.lstat, path, status) }

/// Stands in front of `lstat64`.
@c(lstat64) public func hookedLinkStatus64(
    _ path: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<stat>?
) -> Int32 { unsafe pathStatus(.lstat, path, status) }

/// Stands in front of `fstat`.
@c(fstat) public func hookedFileStatus(
    _ number: Int32, _ status: UnsafeMutablePointer<stat>?
) -> Int32 { unsafe fileStatus(number, status) }

/// Stands in front of `fstat64`.
@c(fstat64) public func hookedFileStatus64(
    _ number: Int32, _ status: UnsafeMutablePointer<stat>?
) -> Int32 { unsafe fileStatus(number, status) }

/// Stands in front of `fstatat`.
@c(fstatat) public func hookedStatusAt(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<stat>?, _ flags: Int32
) -> Int32 { unsafe statusAt(folder, path, status, flags) }

/// Stands in front of `fstatat64`.
@c(fstatat64) public func hookedStatusAt64(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<stat>?, _ flags: Int32
) -> Int32 { unsafe statusAt(folder, path, status, flags) }

/// Stands in front of `access`.
@c(access) public func hookedAccess(_ path: UnsafePointer<CChar>?, _ mode: Int32) -> Int32 {
    unsafe PrivatePaths.using(path) { unsafe RealCalls.call(.access, as: RealCalls.Access.self)($0, mode) }
}

/// Stands in front of `faccessat`.
@c(faccessat) public func hookedAccessAt(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ mode: Int32, _ flags: Int32
) -> Int32 {
    unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.faccessat, as: RealCalls.AccessAt.self)(folder, $0, mode, flags)
    }
}

/// Stands in front of `readlink`.
@c(readlink) public func hookedReadLink(
    _ path: UnsafePointer<CChar>?, _ target: UnsafeMutablePointer<CChar>?, _ room: Int
) -> Int {
    unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.readlink, as: RealCalls.ReadLink.self)($0, target, room)
    }
}

/// Stands in front of `__readlink_chk`.
@c(__readlink_chk) public func hookedCheckedReadLink(
    _ path: UnsafePointer<CChar>?, _ target: UnsafeMutablePointer<CChar>?, _ count: Int, _ room: Int
) -> Int {
    guard count <= room else { abort() }
    return unsafe hookedReadLink(path, target, count)
}

/// Stands in front of `readlinkat`.
@c(readlinkat) public func hookedReadLinkAt(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ target: UnsafeMutablePointer<CChar>?, _ room: Int
) -> Int {
    unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.readlinkat, as: RealCalls.ReadLinkAt.self)(folder, $0, target, room)
    }
}

/// Stands in front of `realpath`.
@c(realpath) public func hookedRealPath(
    _ path: UnsafePointer<CChar>?, _ resolved: UnsafeMutablePointer<CChar>?
) -> UnsafeMutablePointer<CChar>? {
    let result = unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.realpath, as: RealCalls.RealPath.self)($0, resolved)
    }
    if let result = unsafe result { unsafe PrivatePaths.takeRootOff(result) }
    return unsafe result
}

/// Stands in front of `__realpath_chk`.
@c(__realpath_chk) public func hookedCheckedRealPath(
    _ path: UnsafePointer<CChar>?, _ resolved: UnsafeMutablePointer<CChar>?, _ room: Int
) -> UnsafeMutablePointer<CChar>? {
    unsafe hookedRealPath(path, resolved)
}

/// Stands in front of `opendir`.
@c(opendir) public func hookedOpenFolder(_ path: UnsafePointer<CChar>?) -> UnsafeMutableRawPointer? {
    unsafe PrivatePaths.using(path) { unsafe RealCalls.call(.opendir, as: RealCalls.OpenFolder.self)($0) }
}

/// Stands in front of `fopen`.
@c(fopen) public func hookedOpenStream(
    _ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?
) -> UnsafeMutableRawPointer? {
    unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.fopen, as: RealCalls.OpenStream.self)($0, mode)
    }
}

/// Stands in front of `fopen64`.
@c(fopen64) public func hookedOpenStream64(
    _ path: UnsafePointer<CChar>?, _ mode: UnsafePointer<CChar>?
) -> UnsafeMutableRawPointer? {
    unsafe hookedOpenStream(path, mode)
}
