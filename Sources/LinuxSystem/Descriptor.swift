import CLinux

/// An open file descriptor with exactly one owner; closed when the owner goes.
@frozen public struct Descriptor: ~Copyable, Sendable {
    /// The descriptor's number, e.g. for a uAPI structure. Valid as long as this owner lives.
    public let number: Int32

    /// Takes over an open descriptor that nobody else will close.
    public init(owning number: Int32) { self.number = number }

    deinit { _ = clinux_close(number) }

    /// How a file is opened.
    public struct OpenOptions: OptionSet, Sendable {
        /// The flags of open(2).
        public let rawValue: Int32
        /// Wraps flags of open(2).
        public init(rawValue: Int32) { self.rawValue = rawValue }
        /// `O_RDONLY`
        public static let readOnly = OpenOptions(rawValue: O_RDONLY)
        /// `O_WRONLY`
        public static let writeOnly = OpenOptions(rawValue: O_WRONLY)
        /// `O_RDWR`
        public static let readWrite = OpenOptions(rawValue: O_RDWR)
        /// `O_CREAT`, with mode 0666 less the umask.
        public static let create = OpenOptions(rawValue: O_CREAT)
        /// `O_EXCL`
        public static let exclusive = OpenOptions(rawValue: O_EXCL)
        /// `O_TRUNC`
        public static let truncate = OpenOptions(rawValue: O_TRUNC)
        /// `O_APPEND`: each write goes to the end, also where several processes write.
        public static let append = OpenOptions(rawValue: O_APPEND)
        /// `O_NONBLOCK`
        public static let nonBlocking = OpenOptions(rawValue: O_NONBLOCK)
        /// `O_DIRECTORY`
        public static let directory = OpenOptions(rawValue: O_DIRECTORY)
        /// `O_CLOEXEC`
        public static let closedOnExec = OpenOptions(rawValue: O_CLOEXEC)
    }

    /// Opens a file; `O_CLOEXEC` is always set.
    /// - Throws: the errno of open(2).
    public init(opening path: String, _ options: OpenOptions = .readOnly) throws(Errno) {
        let flags = options.rawValue | O_CLOEXEC
        let result = try checked {
            // SAFETY: the C string lives through the call.
            unsafe path.withCString { unsafe clinux_openat(AT_FDCWD, $0, flags, 0o666) }
        }
        number = Int32(result)
    }

    /// A second descriptor for the same open file.
    /// - Parameter lowest: its number is this or a higher one.
    /// - Throws: `EMFILE` where no such number is free, `EINVAL` where none is allowed (`RLIMIT_NOFILE`), `EBADF` if
    ///   `number` isn't open.
    public init(duplicating number: Int32, from lowest: Int32 = 0) throws(Errno) {
        self.number = Int32(try checked { clinux_dup_above(number, lowest) })
    }

    /// Gives the number away; the caller closes it.
    public consuming func release() -> Int32 {
        let number = self.number
        discard self
        return number
    }

    /// Closes now and reports what close(2) says. The descriptor is gone either way.
    public consuming func close() throws(Errno) {
        let number = self.number
        discard self
        _ = try checked(retrying: false) { clinux_close(number) }
    }

    /// Waits for the file's lock, which goes with the last descriptor for the same open file: flock(2).
    public func lockFile() throws(Errno) { _ = try checked { clinux_lock_file(number) } }

    /// Whether a number stands for an open descriptor.
    public static func isOpen(_ number: Int32) -> Bool { clinux_get_flags(number) >= 0 }

    /// An ioctl with a raw third argument (an integer, or an address that must stay valid through the call).
    /// - Returns: the non-negative result.
    @discardableResult
    public func control(_ request: UInt, _ argument: UInt) throws(Errno) -> Int32 {
        try Self.control(number, request, argument)
    }

    /// An ioctl on a number that somebody else owns.
    @discardableResult
    public static func control(_ number: Int32, _ request: UInt, _ argument: UInt) throws(Errno) -> Int32 {
        Int32(truncatingIfNeeded: try checked { clinux_ioctl(number, request, argument) })
    }

    /// Reads at an offset; may read less than asked for.
    /// - Returns: how many bytes were read; 0 at the end.
    public static func read(_ number: Int32, at offset: UInt64, into bytes: inout MutableRawSpan)
        throws(Errno) -> Int
    {
        let count = bytes.byteCount
        // SAFETY: the kernel writes at most `count` bytes into the span's memory.
        let result = unsafe bytes.withUnsafeMutableBytes { buffer in
            uninterrupted { unsafe clinux_pread(number, buffer.baseAddress, count, offset) }
        }
        return try checked { result }
    }

    /// Writes at an offset; may write less than asked for.
    /// - Returns: how many bytes were written.
    public static func write(_ number: Int32, at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let count = bytes.byteCount
        // SAFETY: the kernel reads at most `count` bytes of the span's memory.
        let result = unsafe bytes.withUnsafeBytes { buffer in
            uninterrupted { unsafe clinux_pwrite(number, buffer.baseAddress, count, offset) }
        }
        return try checked { result }
    }

    /// Reads what comes next from a file without offsets, as read(2); may read less than asked for.
    /// - Returns: how many bytes were read; 0 at the end.
    public static func read(_ number: Int32, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        let count = bytes.byteCount
        // SAFETY: the kernel writes at most `count` bytes into the span's memory.
        let result = unsafe bytes.withUnsafeMutableBytes { buffer in
            uninterrupted { unsafe clinux_read(number, buffer.baseAddress, count) }
        }
        return try checked { result }
    }

    /// Writes what comes next to a file without offsets, as write(2); may write less than asked for.
    /// - Returns: how many bytes were written.
    public static func write(_ number: Int32, _ bytes: RawSpan) throws(Errno) -> Int {
        let count = bytes.byteCount
        // SAFETY: the kernel reads at most `count` bytes of the span's memory.
        let result = unsafe bytes.withUnsafeBytes { buffer in
            uninterrupted { unsafe clinux_write(number, buffer.baseAddress, count) }
        }
        return try checked { result }
    }

    /// Reads at an offset of the file; may read less than asked for.
    public func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        try Self.read(number, at: offset, into: &bytes)
    }

    /// Writes at an offset of the file; may write less than asked for.
    public func write(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        try Self.write(number, at: offset, bytes)
    }

    /// Fills a window from the file, whole.
    /// - Returns: how many bytes were read: less than the window holds only at the end of the file.
    public func read(at offset: UInt64, into window: MemoryWindow) throws(Errno) -> Int {
        var done = 0
        while done < window.byteCount {
            let at = window.address + done
            let left = window.byteCount - done
            let place = offset + UInt64(done)
            let result = try checked {
                // SAFETY: `left` bytes from `at` lie inside the window.
                unsafe clinux_pread(number, UnsafeMutableRawPointer(bitPattern: at.rawValue), left, place)
            }
            if result == 0 { break }
            done += result
        }
        return done
    }

    /// Writes all of a window to the file.
    public func write(at offset: UInt64, from window: MemoryWindow) throws(Errno) {
        var done = 0
        while done < window.byteCount {
            let at = window.address + done
            let left = window.byteCount - done
            let place = offset + UInt64(done)
            let result = try checked {
                // SAFETY: `left` bytes from `at` lie inside the window.
                unsafe clinux_pwrite(number, UnsafeRawPointer(bitPattern: at.rawValue), left, place)
            }
            if result == 0 { throw .inputOutput }
            done += result
        }
    }

    /// Puts written data (not necessarily times and other metadata) on stable storage: fdatasync(2).
    public func synchronizeData() throws(Errno) { _ = try checked { clinux_fdatasync(number) } }

    /// Sets the file's length: ftruncate(2).
    public func resize(to byteCount: UInt64) throws(Errno) {
        _ = try checked { clinux_ftruncate(number, byteCount) }
    }

    /// How a range of a file is given back to the file system.
    public enum Hole: Sendable {
        /// Reads as zeros afterwards, storage freed: `FALLOC_FL_PUNCH_HOLE`.
        case punched
        /// Reads as zeros afterwards, storage kept: `FALLOC_FL_ZERO_RANGE`.
        case zeroed
    }

    /// Makes a range read as zeros without writing it; the file's length stays.
    /// - Throws: `EOPNOTSUPP` where the file system can't.
    public func makeHole(_ hole: Hole, at offset: UInt64, byteCount: UInt64) throws(Errno) {
        let mode: Int32
        switch hole {
        case .punched: mode = 0x02 | 0x01  // FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
        case .zeroed: mode = 0x10 | 0x01  // FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE
        }
        _ = try checked { clinux_fallocate(number, mode, offset, byteCount) }
    }

    /// What a file is.
    public struct Status: Sendable, Equatable {
        /// The kind of file, as far as it matters here.
        public enum Kind: Sendable, Equatable {
            /// A regular file.
            case regular
            /// A directory.
            case directory
            /// A block device.
            case blockDevice
            /// A socket.
            case socket
            /// Anything else.
            case other
        }
        /// The kind of file.
        public let kind: Kind
        /// Its length in bytes (0 for devices).
        public let byteCount: UInt64
        /// When its contents were last changed, in nanoseconds since 1970; 0 for times before.
        public let changed: UInt64

        init(_ raw: stat) {
            var raw = raw
            // SAFETY: the helper only reads the structure.
            let type = unsafe clinux_mode_type(&raw)
            if type == clinux_type_regular() {
                kind = .regular
            } else if type == clinux_type_directory() {
                kind = .directory
            } else if type == clinux_type_block() {
                kind = .blockDevice
            } else if type == clinux_type_socket() {
                kind = .socket
            } else {
                kind = .other
            }
            byteCount = UInt64(max(0, raw.st_size))
            changed =
                UInt64(max(0, raw.st_mtim.tv_sec)) &* 1_000_000_000 &+ UInt64(max(0, raw.st_mtim.tv_nsec))
        }
    }

    /// What this descriptor's file is: fstat(2).
    public func status() throws(Errno) -> Status {
        var raw = stat()
        // SAFETY: the kernel fills the structure.
        _ = try checked { unsafe clinux_fstat(number, &raw) }
        return Status(raw)
    }

    /// Whether a file's contents are memory: a memory file, or one in a tmpfs or hugetlbfs. What else there is has
    /// contents that the kernel may write elsewhere.
    public static func isInMemory(_ number: Int32) -> Bool {
        var type: UInt64 = 0
        // SAFETY: the helper fills the number.
        guard (try? checked { unsafe clinux_file_system(number, &type) }) != nil else { return false }
        // TMPFS_MAGIC and HUGETLBFS_MAGIC of linux/magic.h.
        return type == 0x0102_1994 || type == 0x9584_58f6
    }
}
