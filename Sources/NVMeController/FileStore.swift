import LinuxSystem

/// Blocks in an image file.
///
/// Writes go to the kernel at once, so they outlive this process; ``synchronize()`` (fdatasync) makes them
/// outlive the machine. The file's length never changes.
public final class FileStore: BlockStore {
    private let file: Descriptor
    private let zeros: Mapping
    /// The path it was opened by.
    public let path: String
    /// How many bytes there are.
    public let byteCount: UInt64
    /// Whether writing is out of the question.
    public let isReadOnly: Bool

    private static let zeroChunk = 64 << 10

    /// Opens an image.
    /// - Parameters:
    ///   - path: a regular file.
    ///   - blockSize: what its length has to be a multiple of: 512, 1024, 2048 or 4096.
    ///   - readOnly: whether to open it for reading only.
    /// - Throws: a ``BlockStoreError`` that says what is wrong with the file.
    public init(path: String, blockSize: Int = 512, readOnly: Bool = false) throws(BlockStoreError) {
        let status: Descriptor.Status
        do throws(Errno) {
            // Looked at before it is opened: opening a FIFO would wait for its other end.
            let found = try FileSystem.status(path)
            guard found.kind == .regular else { throw Errno.isDirectory }
            file = try Descriptor(opening: path, readOnly ? .readOnly : .readWrite)
            status = try file.status()
            zeros = try Mapping(anonymous: FileStore.zeroChunk)
        } catch {
            switch error {
            case .noSuchEntry: throw .missing(path: path)
            case .isDirectory: throw .notAFile(path: path)
            default: throw .cannotOpen(path: path, error)
            }
        }
        guard status.kind == .regular else { throw .notAFile(path: path) }
        try checkLength(status.byteCount, blockSize: blockSize, path: path)
        self.path = path
        byteCount = status.byteCount
        isReadOnly = readOnly
    }

    /// Fills a window from the file. `EIO` if the file has become shorter.
    public func read(at offset: UInt64, into window: MemoryWindow) throws(Errno) {
        let count = try file.read(at: offset, into: window)
        if count != window.byteCount { throw .inputOutput }
    }

    /// Writes all of a window to the file.
    public func write(at offset: UInt64, from window: MemoryWindow) throws(Errno) {
        try file.write(at: offset, from: window)
    }

    /// fdatasync(2)
    public func synchronize() throws(Errno) { try file.synchronizeData() }

    /// Punches a hole or zeroes the range where the file system can; writes zeros where it can't.
    public func zero(at offset: UInt64, byteCount: UInt64, deallocating: Bool) throws(Errno) {
        if byteCount == 0 { return }
        do throws(Errno) {
            try file.makeHole(deallocating ? .punched : .zeroed, at: offset, byteCount: byteCount)
        } catch {
            // EOPNOTSUPP, and on some file systems others, say "not here": writing shows what is really wrong.
            var done: UInt64 = 0
            while done < byteCount {
                let count = Int(min(byteCount - done, UInt64(FileStore.zeroChunk)))
                try file.write(at: offset + done, from: zeros.window.window(at: 0, byteCount: count))
                done += UInt64(count)
            }
        }
    }

    /// Punches a hole where the file system can; leaves the range as it is where it can't.
    public func deallocate(at offset: UInt64, byteCount: UInt64) throws(Errno) {
        if byteCount == 0 { return }
        do throws(Errno) {
            try file.makeHole(.punched, at: offset, byteCount: byteCount)
        } catch {
            if error != .notSupported { throw error }
        }
    }
}
