import CLinux
import LinuxSystem
import VFIOHost

// readlink(2), realpath(3), getcwd(3) and their relatives. Nothing that they answer shows the run's folder.

/// The number of a handle of ours that a path in /proc or /dev stands for.
private func handle(namedBy path: UnsafePointer<CChar>) -> Int32? {
    guard Handles.isInUse else { return nil }
    for prefix: StaticString in ["/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/"] {
        let count = prefix.utf8CodeUnitCount
        // SAFETY: a NUL in the path ends the comparison.
        guard
            unsafe strncmp(
                path, UnsafeRawPointer(prefix.utf8Start).assumingMemoryBound(to: CChar.self), count) == 0
        else { continue }
        var number: Int32 = 0
        var at = count
        while unsafe path[at] != 0 {
            let digit = unsafe Int32(path[at]) - Int32(UInt8(ascii: "0"))
            guard digit >= 0 && digit <= 9 && number < 1_000_000 else { return nil }
            number = number * 10 + digit
            at += 1
        }
        return at > count && Handles.contains(number) ? number : nil
    }
    return nil
}

/// Copies a text without a NUL, as readlink(2) does.
private func answer(_ text: String, _ target: UnsafeMutablePointer<CChar>, _ room: Int) -> Int {
    var count = 0
    for byte in text.utf8 where count < room {
        unsafe target[count] = CChar(bitPattern: byte)
        count += 1
    }
    return count
}

private func readLink(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ target: UnsafeMutablePointer<CChar>?, _ room: Int
) -> Int {
    let result = unsafe PrivatePaths.using(path) {
        unsafe RealCalls.call(.readlinkat, as: RealCalls.ReadLinkAt.self)(folder, $0, target, room)
    }
    guard Run.isActive, result > 0, let target = unsafe target, let path = unsafe path else { return result }
    if let number = unsafe handle(namedBy: path) {
        let text = Handles.node(number).map { "/dev/" + $0.path } ?? "anon_inode:[vfio-device]"
        return unsafe answer(text, target, room)
    }
    let count = unsafe Run.root.count
    guard unsafe target[0] == CChar(UInt8(ascii: "/")), result > min(count, room - 1) else { return result }
    // Once more with all the room there may be needed.
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: PrivatePaths.most + count) {
        whole in
        let length = unsafe RealCalls.call(.readlinkat, as: RealCalls.ReadLinkAt.self)(
            folder, path, whole.baseAddress, PrivatePaths.most + count - 1)
        guard length > count, let start = whole.baseAddress else { return result }
        unsafe whole[length] = 0
        guard unsafe PrivatePaths.beginsWithRoot(start) else { return result }
        let rest = min(length - count, room)
        unsafe memcpy(target, start + count, rest)
        return rest
    }
}

/// Stands in front of `readlink`.
@c(readlink) public func hookedReadLink(
    _ path: UnsafePointer<CChar>?, _ target: UnsafeMutablePointer<CChar>?, _ room: Int
) -> Int { unsafe readLink(clinux_at_current_folder(), path, target, room) }

/// Stands in front of `__readlink_chk`.
@c(__readlink_chk) public func hookedCheckedReadLink(
    _ path: UnsafePointer<CChar>?, _ target: UnsafeMutablePointer<CChar>?, _ count: Int, _ room: Int
) -> Int {
    guard room < 0 || count <= room else { abort() }
    return unsafe hookedReadLink(path, target, count)
}

/// Stands in front of `readlinkat`.
@c(readlinkat) public func hookedReadLinkAt(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ target: UnsafeMutablePointer<CChar>?, _ room: Int
) -> Int { unsafe readLink(folder, path, target, room) }

/// Stands in front of `__readlinkat_chk`.
@c(__readlinkat_chk) public func hookedCheckedReadLinkAt(
    _ folder: Int32, _ path: UnsafePointer<CChar>?, _ target: UnsafeMutablePointer<CChar>?, _ count: Int,
    _ room: Int
) -> Int {
    guard room < 0 || count <= room else { abort() }
    return unsafe readLink(folder, path, target, count)
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

/// Stands in front of `canonicalize_file_name`.
@c(canonicalize_file_name) public func hookedCanonicalName(
    _ path: UnsafePointer<CChar>?
) -> UnsafeMutablePointer<CChar>? { unsafe hookedRealPath(path, nil) }

/// Stands in front of `chdir`.
@c(chdir) public func hookedChangeFolder(_ path: UnsafePointer<CChar>?) -> Int32 {
    unsafe PrivatePaths.using(path) { unsafe RealCalls.call(.chdir, as: RealCalls.PathOnly.self)($0) }
}

/// Stands in front of `getcwd`.
@c(getcwd) public func hookedCurrentFolder(
    _ text: UnsafeMutablePointer<CChar>?, _ room: Int
) -> UnsafeMutablePointer<CChar>? {
    let real = unsafe RealCalls.call(.getcwd, as: RealCalls.CurrentFolder.self)
    let result = unsafe real(text, room)
    if let result = unsafe result {
        if Run.isActive { unsafe PrivatePaths.takeRootOff(result) }
        return unsafe result
    }
    // What is left without the run's folder may have room.
    guard Run.isActive, clinux_errno() == ERANGE, room > 0 else { return nil }
    guard let whole = unsafe real(nil, 0) else { return nil }
    defer { unsafe free(whole) }
    unsafe PrivatePaths.takeRootOff(whole)
    guard unsafe strlen(whole) < room else {
        _ = Answer.fail(.outOfRange)
        return nil
    }
    guard let text = unsafe text else { return unsafe strdup(whole) }
    unsafe memcpy(text, whole, strlen(whole) + 1)
    return unsafe text
}

/// Stands in front of `__getcwd_chk`.
@c(__getcwd_chk) public func hookedCheckedCurrentFolder(
    _ text: UnsafeMutablePointer<CChar>?, _ count: Int, _ room: Int
) -> UnsafeMutablePointer<CChar>? {
    guard room < 0 || count <= room else { abort() }
    return unsafe hookedCurrentFolder(text, count)
}

/// Stands in front of `getwd`.
@c(getwd) public func hookedOldCurrentFolder(
    _ text: UnsafeMutablePointer<CChar>?
) -> UnsafeMutablePointer<CChar>? { unsafe hookedCurrentFolder(text, PrivatePaths.most) }

/// Stands in front of `get_current_dir_name`.
@c(get_current_dir_name) public func hookedCurrentFolderName() -> UnsafeMutablePointer<CChar>? {
    // The C library's own believes the variable PWD if that is the same folder.
    unsafe hookedCurrentFolder(nil, 0)
}
