import LinuxSystem

/// Where the blocks of a namespace are kept.
///
/// A store knows bytes, not blocks: whoever uses it sees to it that every range lies inside. Calls come one at
/// a time, on the thread that touched the controller's registers.
public protocol BlockStore: AnyObject {
    /// How many bytes there are; doesn't change.
    var byteCount: UInt64 { get }
    /// Whether writing is out of the question.
    var isReadOnly: Bool { get }

    /// Fills a window with the bytes at an offset, all of it.
    /// - Throws: what the system says; `EIO` if the bytes aren't there any more.
    func read(at offset: UInt64, into window: MemoryWindow) throws(Errno)

    /// Writes all of a window at an offset. The bytes can be read at once; they are safe after
    /// ``synchronize()``.
    func write(at offset: UInt64, from window: MemoryWindow) throws(Errno)

    /// Puts everything written so far on stable storage.
    func synchronize() throws(Errno)

    /// Makes a range read as zeros.
    /// - Parameter deallocating: whether the room behind it may be given back.
    func zero(at offset: UInt64, byteCount: UInt64, deallocating: Bool) throws(Errno)

    /// Gives the room of a range back: it reads as zeros afterwards, or as before where that can't be done.
    func deallocate(at offset: UInt64, byteCount: UInt64) throws(Errno)
}

/// Why a store can't be the contents of a namespace.
public enum BlockStoreError: Error, Sendable {
    /// There is no such file.
    case missing(path: String)
    /// The file can't be opened, or not be looked at.
    case cannotOpen(path: String, Errno)
    /// The path leads to something that isn't a regular file.
    case notAFile(path: String)
    /// There are no bytes in it.
    case empty(path: String)
    /// The last block would be incomplete.
    case notAMultiple(path: String, byteCount: UInt64, blockSize: Int)
    /// Blocks have 512, 1024, 2048 or 4096 bytes.
    case invalidBlockSize(Int)
    /// There is no memory for a store of this length.
    case noMemory(byteCount: UInt64)
}

extension BlockStoreError: CustomStringConvertible {
    /// What is wrong, and what would be right.
    public var description: String {
        switch self {
        case .missing(let path): path + ": no such file"
        case .cannotOpen(let path, let errno): "\(path): \(errno.meaning) (\(errno.name))"
        case .notAFile(let path): path + ": not a regular file, so it can't be a disk image"
        case .empty(let path): path + ": empty; a disk image has at least one block"
        case .notAMultiple(let path, let byteCount, let blockSize):
            path + ": \(byteCount) bytes aren't a multiple of the block size \(blockSize); "
                + "\(byteCount % UInt64(max(blockSize, 1))) bytes are left over"
        case .invalidBlockSize(let size): "a block can't have \(size) bytes: 512, 1024, 2048 or 4096"
        case .noMemory(let byteCount): "no memory for a disk of \(byteCount) bytes"
        }
    }
}

/// Checks what every store has to be: whole blocks, and at least one.
func checkLength(_ byteCount: UInt64, blockSize: Int, path: String) throws(BlockStoreError) {
    guard blockSize >= 512, blockSize <= 4096, blockSize.nonzeroBitCount == 1 else {
        throw .invalidBlockSize(blockSize)
    }
    guard byteCount > 0 else { throw .empty(path: path) }
    guard byteCount % UInt64(blockSize) == 0 else {
        throw .notAMultiple(path: path, byteCount: byteCount, blockSize: blockSize)
    }
}

// Comparing texts needs Unicode's tables, which Embedded Swift would have to carry along.
#if !hasFeature(Embedded)
    extension BlockStoreError: Equatable {}
#endif
