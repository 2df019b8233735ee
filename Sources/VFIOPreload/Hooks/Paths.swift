import CLinux
import LinuxSystem
import VFIOHost

// stat(2) and access(2): paths that tell of devices are answered from the run's folder; what nodes are there is made to
// look as it does on Linux (`TreeNodes`). All structures for stat(2) are the same with and without "64" on 64-bit
// machines.

private func pathStatus(
    _ name: RealCalls.Name, _ path: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<stat>?
) -> Int32 {
    let result = unsafe PrivatePaths.using(path) { place in
        unsafe RealCalls.call(name, as: RealCalls.PathStatus.self)(place, status)
    }
    if result == 0 { unsafe TreeNodes.shape(status) }
    return result
}

private func fileStatus(_ number: Int32, _ status: UnsafeMutablePointer<stat>?) -> Int32 {
    let result = unsafe RealCalls.call(.fstat, as: RealCalls.FileStatus.self)(number, status)
    guard result == 0, let status = unsafe status else { return result }
    if Handles.contains(number) {
        unsafe TreeNodes.shape(status, handle: number)
    } else {
        // Opened with O_PATH.
        unsafe TreeNodes.shape(status)
    }
    return result
}

private func statusAt(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<stat>?, _ flags: Int32
) -> Int32 {
    // AT_EMPTY_PATH: the descriptor itself.
    if flags & 0x1000 != 0, folder >= 0, let path = unsafe path, unsafe path[0] == 0 {
        return unsafe fileStatus(folder, status)
    }
    let result = unsafe PrivatePaths.using(path) { place in
        unsafe RealCalls.call(.fstatat, as: RealCalls.StatusAt.self)(folder, place, status, flags)
    }
    if result == 0 { unsafe TreeNodes.shape(status) }
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

/// Stands in front of `euidaccess`.
@c(euidaccess) public func hookedEffectiveAccess(_ path: UnsafePointer<CChar>?, _ mode: Int32) -> Int32 {
    unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.euidaccess, as: RealCalls.Access.self)($0, mode)
    }
}

/// Stands in front of `eaccess`.
@c(eaccess) public func hookedEffectiveAccessToo(_ path: UnsafePointer<CChar>?, _ mode: Int32) -> Int32 {
    unsafe hookedEffectiveAccess(path, mode)
}

// Programs that were built with an old C library's headers call these; the number tells the structure's form, of which
// there is one.

/// Stands in front of `__xstat`.
@c(__xstat) public func hookedOldStatus(
    _ form: Int32, _ path: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<stat>?
) -> Int32 { unsafe pathStatus(.stat, path, status) }

/// Stands in front of `__xstat64`.
@c(__xstat64) public func hookedOldStatus64(
    _ form: Int32, _ path: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<stat>?
) -> Int32 { unsafe pathStatus(.stat, path, status) }

/// Stands in front of `__lxstat`.
@c(__lxstat) public func hookedOldLinkStatus(
    _ form: Int32, _ path: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<stat>?
) -> Int32 { unsafe pathStatus(.lstat, path, status) }

/// Stands in front of `__lxstat64`.
@c(__lxstat64) public func hookedOldLinkStatus64(
    _ form: Int32, _ path: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<stat>?
) -> Int32 { unsafe pathStatus(.lstat, path, status) }

/// Stands in front of `__fxstat`.
@c(__fxstat) public func hookedOldFileStatus(
    _ form: Int32, _ number: Int32, _ status: UnsafeMutablePointer<stat>?
) -> Int32 { unsafe fileStatus(number, status) }

/// Stands in front of `__fxstat64`.
@c(__fxstat64) public func hookedOldFileStatus64(
    _ form: Int32, _ number: Int32, _ status: UnsafeMutablePointer<stat>?
) -> Int32 { unsafe fileStatus(number, status) }

/// Stands in front of `__fxstatat`.
@c(__fxstatat) public func hookedOldStatusAt(
    _ form: Int32, _ folder: Int32, _ path: UnsafePointer<CChar>?,
    _ status: UnsafeMutablePointer<stat>?, _ flags: Int32
) -> Int32 { unsafe statusAt(folder, path, status, flags) }

/// Stands in front of `__fxstatat64`.
@c(__fxstatat64) public func hookedOldStatusAt64(
    _ form: Int32, _ folder: Int32, _ path: UnsafePointer<CChar>?,
    _ status: UnsafeMutablePointer<stat>?, _ flags: Int32
) -> Int32 { unsafe statusAt(folder, path, status, flags) }

// Where a structure for statx(2) has what is told and changed here, in bytes.
private let modeOffset = 28
private let sizeOffset = 40
private let blocksOffset = 48
private let accessedOffset = 64
private let nodeChangedOffset = 96
private let changedOffset = 112
private let deviceNumberOffset = 128
private let fileSystemOffset = 136

/// Makes what statx(2) told look as it does on Linux.
private func shapeExtended(_ status: UnsafeMutableRawPointer, _ handle: Int32?) {
    let mode = unsafe status.load(fromByteOffset: modeOffset, as: UInt16.self)
    var node: Node?
    if let handle {
        node = Handles.node(handle)
    } else {
        guard mode & UInt16(S_IFMT) == UInt16(S_IFSOCK) else { return }
        let (major, minor) = unsafe status.load(
            fromByteOffset: fileSystemOffset, as: (UInt32, UInt32).self)
        node = unsafe TreeNodes.marked(
            clinux_device_number(major, minor),
            status.load(fromByteOffset: changedOffset, as: Int64.self),
            Int(status.load(fromByteOffset: changedOffset + 8, as: UInt32.self)))
        if node == nil { return }
    }
    let number = node?.deviceNumber ?? (major: 0, minor: 0)
    if node != nil {
        // The time of change says which node it is; that is nobody else's concern.
        let time = unsafe status.load(fromByteOffset: nodeChangedOffset, as: (UInt64, UInt32).self)
        for offset in [accessedOffset, changedOffset] {
            unsafe status.storeBytes(of: time.0, toByteOffset: offset, as: UInt64.self)
            unsafe status.storeBytes(of: time.1, toByteOffset: offset + 8, as: UInt32.self)
        }
    }
    let kind = node == nil ? 0o600 : UInt16(S_IFCHR) | mode & 0o777
    unsafe status.storeBytes(of: kind, toByteOffset: modeOffset, as: UInt16.self)
    unsafe status.storeBytes(of: 0, toByteOffset: sizeOffset, as: UInt64.self)
    unsafe status.storeBytes(of: 0, toByteOffset: blocksOffset, as: UInt64.self)
    unsafe status.storeBytes(of: number.major, toByteOffset: deviceNumberOffset, as: UInt32.self)
    unsafe status.storeBytes(of: number.minor, toByteOffset: deviceNumberOffset + 4, as: UInt32.self)
}

/// Stands in front of `statx`.
@c(statx) public func hookedExtendedStatus(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ flags: Int32, _ wanted: UInt32,
    _ status: UnsafeMutableRawPointer?
) -> Int32 {
    // The time of change tells which node it is: STATX_MTIME, STATX_CTIME.
    let wanted = Run.isActive ? wanted | 0xc0 : wanted
    let result = unsafe PrivatePaths.using(path) { place in
        unsafe RealCalls.call(.statx, as: RealCalls.ExtendedStatus.self)(folder, place, flags, wanted, status)
    }
    guard result == 0, let status = unsafe status else { return result }
    // AT_EMPTY_PATH: the descriptor itself; Linux takes no path at all for an empty one.
    let isDescriptor = unsafe flags & 0x1000 != 0 && (path.map { unsafe $0[0] == 0 } ?? true)
    unsafe shapeExtended(status, isDescriptor && Handles.contains(folder) ? folder : nil)
    return result
}
