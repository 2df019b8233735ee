import LinuxSystem

/// The form of a trace: what ``TracingHost`` writes and ``TraceReader`` reads. All numbers are little-endian.
///
/// A file begins with a header: `magic`, the version (32 bit), the header's length (32 bit), and the moment on the
/// machine's monotonic clock, in nanoseconds, from which times count (64 bit).
///
/// Records follow, each written whole by one write(2) to a file that is open for appending. So several processes may
/// write one file, a program may end at any moment, and nothing has to be flushed; a record stands where the call
/// *ended*. A record is:
///
/// | bytes | what |
/// |---|---|
/// | 4 | `recordMark` |
/// | 4 | length of the record, header and parts |
/// | 4 | checksum (32-bit FNV-1a) of all that follows |
/// | 1, 1, 2 | kind; 0; length of the record's header |
/// | 8, 8 | when the call began, and how long it took, in nanoseconds |
/// | 4, 4 | process, thread |
/// | 4, 4 | handle, errno (0 for none) |
/// | 8 | result |
/// | 4, 4 | request, 0 |
/// | 8, 8, 8 | argument or address; offset; number of bytes |
///
/// Parts follow the header: a tag (16 bit), 0 (16 bit), a length (32 bit) and that many bytes each. Readers pass over
/// kinds and tags that they don't know, and over a longer header's end. After damage the next record is found by its
/// mark and its checksum.
public enum TraceFormat {
    /// What a file begins with: "VFIOTRC" and a line's end.
    static var magic: UInt64 { 0x0a43_5254_4f49_4656 }
    /// The version that is written, and the only one that is read.
    public static var version: UInt32 { 1 }
    /// The length of a file's header in bytes.
    static var headerByteCount: Int { 24 }
    /// What a record begins with.
    static var recordMark: UInt32 { 0xf7c3_9ea5 }
    /// The bytes of a record before those that the checksum covers.
    static var markByteCount: Int { 12 }
    /// The length of a record's header in bytes.
    static var recordHeaderByteCount: Int { 88 }
    /// The longest record, in bytes.
    static var maximumRecordByteCount: Int { 65_536 }
    /// The most bytes of one structure, one access or one text that are kept.
    public static var maximumPartByteCount: Int { 4096 }

    /// What a part holds.
    enum Tag {
        /// A structure of the caller before the request.
        static var before: UInt16 { 1 }
        /// The same afterwards, where it changed.
        static var after: UInt16 { 2 }
        /// What was read or written.
        static var data: UInt16 { 3 }
        /// A path or a name.
        static var text: UInt16 { 4 }
        /// Where in the structure there is an address of further bytes (32 bit), and those bytes before the request.
        static var nestedBefore: UInt16 { 5 }
        /// The same afterwards, where they changed.
        static var nestedAfter: UInt16 { 6 }
        /// A device's identity: vendor, device (16 bit each), class (32 bit), group, node (32 bit each, -1 for none).
        static var identity: UInt16 { 7 }
    }

    /// 32-bit FNV-1a.
    static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var sum: UInt32 = 0x811c_9dc5
        for byte in bytes { sum = (sum ^ UInt32(byte)) &* 0x0100_0193 }
        return sum
    }
}

/// Why something isn't a trace, or can't be written or read.
public enum TraceError: Error, Sendable {
    /// The file can't be opened, read or written.
    case file(Errno)
    /// It doesn't begin as a trace does.
    case noTrace
    /// It is a trace of a version that isn't known here.
    case version(UInt32)
}

extension TraceError: CustomStringConvertible {
    /// The reason in plain words.
    public var description: String {
        switch self {
        case .file(let errno): "\(errno.meaning) (\(errno.name))"
        case .noTrace: "it isn't a trace: its beginning is wrong"
        case .version(let version):
            "it is a trace of version \(version), and only version \(TraceFormat.version) is known here"
        }
    }
}
