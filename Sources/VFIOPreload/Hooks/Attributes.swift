import CLinux
import LinuxSystem

// What changes or tells smaller things of files: rights, owners, times, extended attributes (`ls -l` asks for these).
// It is done to the file in the run's folder.

/// Stands in front of `truncate`.
@c(truncate) public func hookedCutPath(_ path: UnsafePointer<CChar>?, _ length: Int) -> Int32 {
    unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.truncate, as: RealCalls.CutPath.self)($0, length)
    }
}

/// Stands in front of `truncate64`.
@c(truncate64) public func hookedCutPath64(_ path: UnsafePointer<CChar>?, _ length: Int) -> Int32 {
    unsafe hookedCutPath(path, length)
}

/// Stands in front of `chmod`.
@c(chmod) public func hookedChangeMode(_ path: UnsafePointer<CChar>?, _ mode: UInt32) -> Int32 {
    unsafe hookedChangeModeAt(clinux_at_current_folder(), path, mode, 0)
}

/// Stands in front of `fchmodat`.
@c(fchmodat) public func hookedChangeModeAt(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ mode: UInt32, _ flags: Int32
) -> Int32 {
    unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.fchmodat, as: RealCalls.ModeAt.self)(folder, $0, mode, flags)
    }
}

/// Stands in front of `chown`.
@c(chown) public func hookedChangeOwner(
    _ path: UnsafePointer<CChar>?, _ user: UInt32, _ group: UInt32
) -> Int32 {
    unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.chown, as: RealCalls.Owner.self)($0, user, group)
    }
}

/// Stands in front of `lchown`.
@c(lchown) public func hookedChangeLinkOwner(
    _ path: UnsafePointer<CChar>?, _ user: UInt32, _ group: UInt32
) -> Int32 {
    unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.lchown, as: RealCalls.Owner.self)($0, user, group)
    }
}

/// Stands in front of `fchownat`.
@c(fchownat) public func hookedChangeOwnerAt(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ user: UInt32, _ group: UInt32, _ flags: Int32
) -> Int32 {
    unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.fchownat, as: RealCalls.OwnerAt.self)(folder, $0, user, group, flags)
    }
}

/// Stands in front of `getxattr`.
@c(getxattr) public func hookedAttribute(
    _ path: UnsafePointer<CChar>?, _ name: UnsafePointer<CChar>?, _ value: UnsafeMutableRawPointer?,
    _ room: Int
) -> Int {
    unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.getxattr, as: RealCalls.Attribute.self)($0, name, value, room)
    }
}

/// Stands in front of `lgetxattr`.
@c(lgetxattr) public func hookedLinkAttribute(
    _ path: UnsafePointer<CChar>?, _ name: UnsafePointer<CChar>?, _ value: UnsafeMutableRawPointer?,
    _ room: Int
) -> Int {
    unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.lgetxattr, as: RealCalls.Attribute.self)($0, name, value, room)
    }
}

/// Stands in front of `listxattr`.
@c(listxattr) public func hookedAttributes(
    _ path: UnsafePointer<CChar>?, _ list: UnsafeMutablePointer<CChar>?, _ room: Int
) -> Int {
    unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.listxattr, as: RealCalls.Attributes.self)($0, list, room)
    }
}

/// Stands in front of `llistxattr`.
@c(llistxattr) public func hookedLinkAttributes(
    _ path: UnsafePointer<CChar>?, _ list: UnsafeMutablePointer<CChar>?, _ room: Int
) -> Int {
    unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.llistxattr, as: RealCalls.Attributes.self)($0, list, room)
    }
}
