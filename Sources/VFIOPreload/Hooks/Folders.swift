import CLinux
import LinuxSystem
import VFIOHost

// opendir(3), scandir(3), glob(3), nftw(3) and their relatives. The C library's calls inside these don't come by here, so
// it is they who get the path in the run's folder, and what they answer is made to look as it does on Linux. fts(3)
// keeps its paths to itself and isn't among them; programs that walk with it mostly bring their own.

/// What dirent's type says of sockets and of nodes.
private let socketType: UInt8 = 12
private let nodeType: UInt8 = 2

/// `AT_SYMLINK_NOFOLLOW`
private let noFollow: Int32 = 0x100

/// Stands in front of `opendir`.
@c(opendir) public func hookedOpenFolder(_ path: UnsafePointer<CChar>?) -> UnsafeMutableRawPointer? {
    unsafe PrivatePaths.using(path) { unsafe RealCalls.call(.opendir, as: RealCalls.OpenFolder.self)($0) }
}

/// Stands in front of `readdir`.
@c(readdir) public func hookedReadFolder(_ stream: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<dirent>?
{
    let entry = unsafe RealCalls.call(.readdir, as: RealCalls.ReadFolder.self)(stream)
    guard Run.isActive, let entry = unsafe entry, unsafe entry.pointee.d_type == socketType else {
        return unsafe entry
    }
    let error = clinux_errno()
    var status = stat()
    // SAFETY: the entry's name lies in it, behind its fixed parts, and ends with a NUL.
    let result = unsafe RealCalls.call(.fstatat, as: RealCalls.StatusAt.self)(
        clinux_folder_of(stream), clinux_name_of(entry), &status, noFollow)
    if result == 0, unsafe TreeNodes.node(&status) != nil { unsafe entry.pointee.d_type = nodeType }
    clinux_set_errno(error)
    return unsafe entry
}

/// Stands in front of `readdir64`.
@c(readdir64) public func hookedReadFolder64(
    _ stream: UnsafeMutableRawPointer?
) -> UnsafeMutablePointer<dirent>? { unsafe hookedReadFolder(stream) }

/// Makes nodes of what scandir(3) found in one of the run's folders: there are no other sockets in it.
private func shape(_ entries: RealCalls.Entries?, _ count: Int32, in path: UnsafePointer<CChar>?) {
    guard count > 0, Run.isActive, let path = unsafe path, unsafe PrivatePaths.contains(path),
        let list = unsafe entries?.pointee
    else { return }
    for index in 0..<Int(count) where unsafe list[index]?.pointee.d_type == socketType {
        unsafe list[index]?.pointee.d_type = nodeType
    }
}

/// Stands in front of `scandir`.
@c(scandir) public func hookedScanFolder(
    _ path: UnsafePointer<CChar>?,
    _ entries: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<dirent>?>?>?,
    _ choose: UnsafeMutableRawPointer?, _ order: UnsafeMutableRawPointer?
) -> Int32 {
    let count = unsafe PrivatePaths.using(path) { place in
        unsafe RealCalls.call(.scandir, as: RealCalls.ScanFolder.self)(place, entries, choose, order)
    }
    unsafe shape(entries, count, in: path)
    return count
}

/// Stands in front of `scandir64`.
@c(scandir64) public func hookedScanFolder64(
    _ path: UnsafePointer<CChar>?,
    _ entries: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<dirent>?>?>?,
    _ choose: UnsafeMutableRawPointer?, _ order: UnsafeMutableRawPointer?
) -> Int32 { unsafe hookedScanFolder(path, entries, choose, order) }

/// Stands in front of `scandirat`.
@c(scandirat) public func hookedScanFolderAt(
    _ folder: Int32, _ path: UnsafePointer<CChar>?,
    _ entries: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<dirent>?>?>?,
    _ choose: UnsafeMutableRawPointer?, _ order: UnsafeMutableRawPointer?
) -> Int32 {
    let count = unsafe PrivatePaths.using(path) { place in
        unsafe RealCalls.call(.scandirat, as: RealCalls.ScanFolderAt.self)(
            folder, place, entries, choose, order)
    }
    unsafe shape(entries, count, in: path)
    return count
}

/// Stands in front of `scandirat64`.
@c(scandirat64) public func hookedScanFolderAt64(
    _ folder: Int32, _ path: UnsafePointer<CChar>?,
    _ entries: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<dirent>?>?>?,
    _ choose: UnsafeMutableRawPointer?, _ order: UnsafeMutableRawPointer?
) -> Int32 { unsafe hookedScanFolderAt(folder, path, entries, choose, order) }

/// Stands in front of `glob`.
@c(glob) public func hookedGlob(
    _ pattern: UnsafePointer<CChar>?, _ flags: Int32, _ failed: UnsafeMutableRawPointer?,
    _ found: UnsafeMutablePointer<glob_t>?
) -> Int32 {
    let result = unsafe PrivatePaths.using(pattern) { pattern in
        unsafe RealCalls.call(.glob, as: RealCalls.Glob.self)(pattern, flags, failed, found)
    }
    guard Run.isActive, let pattern = unsafe pattern, unsafe PrivatePaths.contains(pattern),
        let found = unsafe found, let names = unsafe found.pointee.gl_pathv, result == 0
    else { return result }
    let start = flags & GLOB_DOOFFS != 0 ? unsafe Int(found.pointee.gl_offs) : 0
    let end = unsafe start + Int(found.pointee.gl_pathc)
    for index in start..<end {
        if let name = unsafe names[index] { unsafe PrivatePaths.takeRootOff(name) }
    }
    return result
}

/// Stands in front of `glob64`.
@c(glob64) public func hookedGlob64(
    _ pattern: UnsafePointer<CChar>?, _ flags: Int32, _ failed: UnsafeMutableRawPointer?,
    _ found: UnsafeMutablePointer<glob_t>?
) -> Int32 { unsafe hookedGlob(pattern, flags, failed, found) }

/// Walks over a tree of folders.
/// - Parameter flags: those of nftw(3); -1 for ftw(3).
private func walk(
    _ path: UnsafePointer<CChar>?, _ step: UnsafeMutableRawPointer?, _ most: Int32, _ flags: Int32
) -> Int32 {
    let real = unsafe UnsafeMutableRawPointer(bitPattern: RealCalls.address(flags < 0 ? .ftw : .nftw))
    let isOurs = unsafe Run.isActive && (path.map { unsafe PrivatePaths.contains($0) } ?? false)
    let cut = isOurs ? unsafe Run.root.count : 0
    return unsafe PrivatePaths.using(path) { place in
        unsafe clinux_walk_tree(real, place, cut, step, most, flags) {
            unsafe TreeNodes.shape($0)
            return 0
        }
    }
}

/// Stands in front of `ftw`.
@c(ftw) public func hookedWalk(
    _ path: UnsafePointer<CChar>?, _ step: UnsafeMutableRawPointer?, _ most: Int32
) -> Int32 { unsafe walk(path, step, most, -1) }

/// Stands in front of `ftw64`.
@c(ftw64) public func hookedWalk64(
    _ path: UnsafePointer<CChar>?, _ step: UnsafeMutableRawPointer?, _ most: Int32
) -> Int32 { unsafe walk(path, step, most, -1) }

/// Stands in front of `nftw`.
@c(nftw) public func hookedNewWalk(
    _ path: UnsafePointer<CChar>?, _ step: UnsafeMutableRawPointer?, _ most: Int32, _ flags: Int32
) -> Int32 { unsafe walk(path, step, most, flags & 0xffff) }

/// Stands in front of `nftw64`.
@c(nftw64) public func hookedNewWalk64(
    _ path: UnsafePointer<CChar>?, _ step: UnsafeMutableRawPointer?, _ most: Int32, _ flags: Int32
) -> Int32 { unsafe walk(path, step, most, flags & 0xffff) }
