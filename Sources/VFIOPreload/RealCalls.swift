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

    typealias Pointer = UnsafeMutableRawPointer
    typealias Duplicate = @convention(c) (Int32) -> Int32
    typealias DuplicateTo = @convention(c) (Int32, Int32) -> Int32
    typealias DuplicateWith = @convention(c) (Int32, Int32, Int32) -> Int32
    typealias DescriptorControl = @convention(c) (Int32, Int32, UInt) -> Int32
    typealias CloseRange = @convention(c) (UInt32, UInt32, Int32) -> Int32
    typealias Vectors = @convention(c) (Int32, UInt, Int32) -> Int
    typealias VectorsAt = @convention(c) (Int32, UInt, Int32, Int) -> Int
    typealias VectorsWith = @convention(c) (Int32, UInt, Int32, Int, Int32) -> Int
    typealias Seek = @convention(c) (Int32, Int, Int32) -> Int
    typealias CutFile = @convention(c) (Int32, Int) -> Int32
    typealias Poll = @convention(c) (UnsafeMutablePointer<pollfd>?, UInt, Int32) -> Int32
    typealias PollUntil = @convention(c) (UnsafeMutablePointer<pollfd>?, UInt, Pointer?, Pointer?) -> Int32
    typealias Bits = UnsafeMutablePointer<UInt64>
    typealias Select = @convention(c) (Int32, Bits?, Bits?, Bits?, Pointer?) -> Int32
    typealias SelectUntil = @convention(c) (Int32, Bits?, Bits?, Bits?, Pointer?, Pointer?) -> Int32
    typealias EventControl = @convention(c) (Int32, Int32, Int32, Pointer?) -> Int32
    typealias ExtendedStatus =
        @convention(c) (Int32, UnsafePointer<CChar>?, Int32, UInt32, Pointer?) -> Int32
    typealias ReadFolder = @convention(c) (Pointer?) -> UnsafeMutablePointer<dirent>?
    typealias Entries = UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<dirent>?>?>
    typealias ScanFolder = @convention(c) (UnsafePointer<CChar>?, Entries?, Pointer?, Pointer?) -> Int32
    typealias ScanFolderAt =
        @convention(c) (Int32, UnsafePointer<CChar>?, Entries?, Pointer?, Pointer?) -> Int32
    typealias Glob =
        @convention(c) (UnsafePointer<CChar>?, Int32, Pointer?, UnsafeMutablePointer<glob_t>?) -> Int32
    typealias PathOnly = @convention(c) (UnsafePointer<CChar>?) -> Int32
    typealias CurrentFolder =
        @convention(c) (UnsafeMutablePointer<CChar>?, Int) -> UnsafeMutablePointer<CChar>?
    typealias CutPath = @convention(c) (UnsafePointer<CChar>?, Int) -> Int32
    typealias Owner = @convention(c) (UnsafePointer<CChar>?, UInt32, UInt32) -> Int32
    typealias OwnerAt = @convention(c) (Int32, UnsafePointer<CChar>?, UInt32, UInt32, Int32) -> Int32
    typealias ModeAt = @convention(c) (Int32, UnsafePointer<CChar>?, UInt32, Int32) -> Int32
    typealias Times = @convention(c) (Int32, UnsafePointer<CChar>?, Pointer?, Int32) -> Int32
    typealias Attribute =
        @convention(c) (UnsafePointer<CChar>?, UnsafePointer<CChar>?, Pointer?, Int) -> Int
    typealias Attributes = @convention(c) (UnsafePointer<CChar>?, UnsafeMutablePointer<CChar>?, Int) -> Int
    typealias StreamOf = @convention(c) (Int32, UnsafePointer<CChar>?) -> Pointer?
    typealias CloseStream = @convention(c) (Pointer?) -> Int32
    typealias ReopenStream =
        @convention(c) (UnsafePointer<CChar>?, UnsafePointer<CChar>?, Pointer?) -> Pointer?

    // SAFETY: each of these is written with one and the same value, by whoever needs it first.
    nonisolated(unsafe) private static var places = Places()

    /// Room for the addresses; zero until found.
    private struct Places {
        var found = InlineArray<128, UInt>(repeating: 0)
    }

    /// The functions that are stood in front of.
    enum Name: Int, CaseIterable {
        case open, openat, close, ioctl, read, write, pread, pwrite, mmap, munmap
        case stat, lstat, fstat, fstatat, statx, access, faccessat, euidaccess, readlink, readlinkat,
            realpath, opendir, fopen
        case dup, dup2, dup3, fcntl, closeRange, readv, writev, preadv, pwritev, preadv2, pwritev2, lseek,
            ftruncate
        case poll, ppoll, select, pselect, epollControl, readdir, scandir, scandirat, glob, ftw, nftw, chdir,
            getcwd
        case fdopen, fclose, freopen, truncate, chmod, chown, lchown, fchmodat, fchownat
        case getxattr, lgetxattr, listxattr, llistxattr
        case sigaction, pthread_sigmask, sigprocmask, sigsuspend, mprotect, mremap
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
            case .statx: "statx"
            case .access: "access"
            case .faccessat: "faccessat"
            case .euidaccess: "euidaccess"
            case .readlink: "readlink"
            case .readlinkat: "readlinkat"
            case .realpath: "realpath"
            case .opendir: "opendir"
            case .fopen: "fopen"
            case .recvmsg: "recvmsg"
            case .recvmmsg: "recvmmsg"
            case .sigaction: "sigaction"
            case .pthread_sigmask: "pthread_sigmask"
            case .sigprocmask: "sigprocmask"
            case .sigsuspend: "sigsuspend"
            case .mprotect: "mprotect"
            case .mremap: "mremap"
            case .dup: "dup"
            case .dup2: "dup2"
            case .dup3: "dup3"
            case .fcntl: "fcntl"
            case .closeRange: "close_range"
            case .readv: "readv"
            case .writev: "writev"
            case .preadv: "preadv"
            case .pwritev: "pwritev"
            case .preadv2: "preadv2"
            case .pwritev2: "pwritev2"
            case .lseek: "lseek"
            case .ftruncate: "ftruncate"
            case .poll: "poll"
            case .ppoll: "ppoll"
            case .select: "select"
            case .pselect: "pselect"
            case .epollControl: "epoll_ctl"
            case .readdir: "readdir"
            case .scandir: "scandir"
            case .scandirat: "scandirat"
            case .glob: "glob"
            case .ftw: "ftw"
            case .nftw: "nftw"
            case .chdir: "chdir"
            case .getcwd: "getcwd"
            case .fdopen: "fdopen"
            case .fclose: "fclose"
            case .freopen: "freopen"
            case .truncate: "truncate"
            case .chmod: "chmod"
            case .chown: "chown"
            case .lchown: "lchown"
            case .fchmodat: "fchmodat"
            case .fchownat: "fchownat"
            case .getxattr: "getxattr"
            case .lgetxattr: "lgetxattr"
            case .listxattr: "listxattr"
            case .llistxattr: "llistxattr"
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

    /// A function as an address; 0 if the C library doesn't have it.
    static func address(_ name: Name) -> UInt {
        let address = unsafe places.found[name.rawValue]
        return address == 0 ? find(name) : address
    }
}
