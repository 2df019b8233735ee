import CLinux

/// The C library's own functions, behind the ones of the same names here.
///
/// Found once, by the library's constructor. Constructors of other libraries may run before it and call the names
/// here already; then they are found at that moment. Called through pointers rather than as system calls, so that
/// what the C library promises of them (points of cancellation, for one) stays.
enum RealCalls {
    typealias Open = @convention(c) (UnsafePointer<CChar>?, Int32, UInt32) -> Int32
    typealias OpenAt = @convention(c) (Int32, UnsafePointer<CChar>?, Int32, UInt32) -> Int32
    typealias Close = @convention(c) (Int32) -> Int32
    typealias Control = @convention(c) (Int32, UInt, UInt) -> Int32
    typealias Transfer = @convention(c) (Int32, UnsafeMutableRawPointer?, Int) -> Int
    typealias TransferAt = @convention(c) (Int32, UnsafeMutableRawPointer?, Int, Int) -> Int
    typealias Map = @convention(c) (UInt, Int, Int32, Int32, Int32, Int) -> UInt
    typealias Unmap = @convention(c) (UInt, Int) -> Int32
    typealias PathStatus = @convention(c) (UnsafePointer<CChar>?, UnsafeMutablePointer<stat>?) -> Int32
    typealias FileStatus = @convention(c) (Int32, UnsafeMutablePointer<stat>?) -> Int32
    typealias StatusAt =
        @convention(c) (
            Int32, UnsafePointer<CChar>?, UnsafeMutablePointer<stat>?, Int32
        ) -> Int32
    typealias Access = @convention(c) (UnsafePointer<CChar>?, Int32) -> Int32
    typealias AccessAt = @convention(c) (Int32, UnsafePointer<CChar>?, Int32, Int32) -> Int32
    typealias ReadLink = @convention(c) (UnsafePointer<CChar>?, UnsafeMutablePointer<CChar>?, Int) -> Int
    typealias ReadLinkAt =
        @convention(c) (
            Int32, UnsafePointer<CChar>?, UnsafeMutablePointer<CChar>?, Int
        ) -> Int
    typealias RealPath =
        @convention(c) (
            UnsafePointer<CChar>?, UnsafeMutablePointer<CChar>?
        ) -> UnsafeMutablePointer<CChar>?
    typealias ReceiveMessage = @convention(c) (Int32, UnsafeMutablePointer<msghdr>?, Int32) -> Int
    typealias ReceiveMessages =
        @convention(c) (
            Int32, UnsafeMutableRawPointer?, UInt32, Int32, UnsafeMutableRawPointer?
        ) -> Int32
    typealias OpenFolder = @convention(c) (UnsafePointer<CChar>?) -> UnsafeMutableRawPointer?
    typealias OpenStream =
        @convention(c) (
            UnsafePointer<CChar>?, UnsafePointer<CChar>?
        ) -> UnsafeMutableRawPointer?

    // SAFETY: each of these is written with one and the same value, by whoever needs it first.
    nonisolated(unsafe) private static var places = Places()

    /// Room for the addresses; zero until found.
    private struct Places {
        var found = InlineArray<128, UInt>(repeating: 0)
    }

    /// The functions that are stood in front of.
    enum Name: Int, CaseIterable {
        case open, openat, close, ioctl, read, write, pread, pwrite, mmap, munmap
        case stat, lstat, fstat, fstatat, access, faccessat, readlink, readlinkat, realpath, opendir, fopen
        case recvmsg, recvmmsg

        var text: StaticString {
            switch self {
            case .open: "open"
            case .openat: "openat"
            case .close: "close"
            case .ioctl: "ioctl"
            case .read: "read"
            case .write: "write"
            case .pread: "pread"
            case .pwrite: "pwrite"
            case .mmap: "mmap"
            case .munmap: "munmap"
            case .stat: "stat"
            case .lstat: "lstat"
            case .fstat: "fstat"
            case .fstatat: "fstatat"
            case .access: "access"
            case .faccessat: "faccessat"
            case .readlink: "readlink"
            case .readlinkat: "readlinkat"
            case .realpath: "realpath"
            case .opendir: "opendir"
            case .fopen: "fopen"
            case .recvmsg: "recvmsg"
            case .recvmmsg: "recvmmsg"
            }
        }
    }

    /// Finds all of them.
    static func findAll() { for name in Name.allCases { _ = find(name) } }

    @inline(never)
    private static func find(_ name: Name) -> UInt {
        // SAFETY: a StaticString's text ends with a NUL; a name the C library doesn't have is answered with nil.
        let address = unsafe UInt(
            bitPattern: clinux_next_function(
                UnsafeRawPointer(name.text.utf8Start).assumingMemoryBound(to: CChar.self)))
        unsafe places.found[name.rawValue] = address
        return address
    }

    /// A function, as what it is.
    @inline(__always)
    static func call<T>(_ name: Name, as type: T.Type) -> T {
        var address = unsafe places.found[name.rawValue]
        if address == 0 { address = find(name) }
        // SAFETY: the C library's function of that name has that type; without it nothing could go on.
        return unsafe unsafeBitCast(address, to: type)
    }
}
