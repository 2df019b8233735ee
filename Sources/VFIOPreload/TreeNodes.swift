import CLinux
import LinuxSystem
import VFIOHost

/// The nodes in the run's folder: names of sockets with a mark (`SysfsTree`). They are known by what stat(2) tells of
/// them, so by whatever way a program comes to them: a path, a name below a folder's descriptor, a link.
enum TreeNodes {
    // SAFETY: written with one and the same value, by whoever needs it first.
    nonisolated(unsafe) private static var device: UInt64 = 0

    /// The number of the file system that the run's folder is in.
    private static var ownDevice: UInt64 {
        if unsafe device == 0 {
            var status = stat()
            var path = unsafe Run.root
            path.append(0)
            // SAFETY: the text ends with a NUL and lives through the call.
            let result = unsafe path.withUnsafeBytes { bytes in
                unsafe RealCalls.call(.stat, as: RealCalls.PathStatus.self)(
                    bytes.assumingMemoryBound(to: CChar.self).baseAddress, &status)
            }
            if result == 0 { unsafe device = UInt64(status.st_dev) }
        }
        return unsafe device
    }

    /// The node of which stat(2) told this; nil for any other file. `errno` may change.
    @inline(__always)
    static func node(_ status: UnsafePointer<stat>) -> Node? {
        guard unsafe status.pointee.st_mode & UInt32(S_IFMT) == UInt32(S_IFSOCK) else { return nil }
        return unsafe marked(
            UInt64(status.pointee.st_dev), Int64(status.pointee.st_mtim.tv_sec),
            Int(status.pointee.st_mtim.tv_nsec))
    }

    /// The node among the sockets.
    /// - Parameters:
    ///   - device: the number of its file system.
    ///   - seconds: when it was changed, with the next.
    static func marked(_ device: UInt64, _ seconds: Int64, _ nanoseconds: Int) -> Node? {
        guard Run.isActive, device == ownDevice else { return nil }
        return Node(mark: (seconds, nanoseconds))
    }

    /// The node that a name leads to which can't be opened; nil if that has another reason. `errno` stays.
    static func node(_ folder: Int32, _ path: UnsafePointer<CChar>?) -> Node? {
        guard Run.isActive, clinux_errno() == ENXIO else { return nil }
        defer { clinux_set_errno(ENXIO) }
        var status = stat()
        let result = unsafe PrivatePaths.using(path) { place in
            unsafe RealCalls.call(.fstatat, as: RealCalls.StatusAt.self)(folder, place, &status, 0)
        }
        return result == 0 ? unsafe node(&status) : nil
    }

    /// Makes what stat(2) told look as it does of a node on Linux, if it is one.
    @inline(__always)
    static func shape(_ status: UnsafeMutablePointer<stat>?) {
        guard let status = unsafe status, let node = unsafe node(status) else { return }
        let number = node.deviceNumber
        // SAFETY: the C library has just filled the structure.
        unsafe clinux_shape_node(status, number.major, number.minor)
    }

    /// Makes what stat(2) told of one of our descriptors look as it does on Linux.
    static func shape(_ status: UnsafeMutablePointer<stat>, handle number: Int32) {
        // SAFETY: the C library has just filled the structure.
        if let number = Handles.node(number)?.deviceNumber {
            unsafe clinux_shape_node(status, number.major, number.minor)
        } else {
            unsafe clinux_shape_nameless(status)
        }
    }
}
