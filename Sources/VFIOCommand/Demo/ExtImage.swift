/// Writes a small ext4 file system into memory: what `vfio demo` reads where neither an image nor `mkfs.ext4`
/// is at hand.
///
/// One block group of 4 KiB blocks, extents, no journal: the least that Linux mounts as ext4 and `e2fsck`
/// finds clean (kernel.org, "ext4 Data Structures and Algorithms").
struct ExtImage {
    /// The finished image.
    private(set) var bytes: [UInt8]

    private static let blockSize = 4096
    private static let inodeSize = 256
    private static let inodeCount = 128
    private static let firstTableBlock = 4
    private static let tableBlocks = inodeCount * inodeSize / blockSize
    private static let rootInode: UInt32 = 2
    private static let lostInode: UInt32 = 11

    private let blockCount: Int
    private var nextBlock = firstTableBlock + tableBlocks
    private var nextInode: UInt32 = lostInode + 1
    private var rootEntries: [(inode: UInt32, kind: UInt8, name: String)] = []

    /// Why a file system can't be made.
    enum Failure: Error, Equatable {
        /// Fewer than 64 or more than 32768 blocks of 4 KiB.
        case size(Int)
        /// The files don't fit.
        case full
    }

    /// Makes a file system with the given files in its root directory.
    /// - Parameters:
    ///   - byteCount: the image's length, a multiple of 4096, from 256 KiB to 128 MiB.
    ///   - identifier: the file system's UUID, 16 bytes.
    init(byteCount: Int, identifier: [UInt8], files: [(name: String, contents: [UInt8])]) throws(Failure) {
        let blocks = byteCount / Self.blockSize
        guard byteCount % Self.blockSize == 0, blocks >= 64, blocks <= 32_768 else { throw .size(byteCount) }
        blockCount = blocks
        bytes = [UInt8](repeating: 0, count: byteCount)
        rootEntries = [(Self.rootInode, 2, "."), (Self.rootInode, 2, "..")]

        let rootBlock = try allocate(1)
        let lostBlock = try allocate(1)
        addInode(
            Self.lostInode, mode: 0o040700, links: 2, byteCount: Self.blockSize, block: lostBlock, blocks: 1)
        putDirectory(lostBlock, [(Self.lostInode, 2, "."), (Self.rootInode, 2, "..")])
        rootEntries.append((Self.lostInode, 2, "lost+found"))
        for file in files {
            let count = (file.contents.count + Self.blockSize - 1) / Self.blockSize
            let block = try allocate(count)
            guard nextInode <= UInt32(Self.inodeCount) else { throw .full }
            addInode(
                nextInode, mode: 0o100644, links: 1, byteCount: file.contents.count, block: block,
                blocks: count)
            bytes.replaceSubrange(
                block * Self.blockSize..<block * Self.blockSize + file.contents.count, with: file.contents)
            rootEntries.append((nextInode, 1, file.name))
            nextInode += 1
        }
        addInode(
            Self.rootInode, mode: 0o040755, links: 3, byteCount: Self.blockSize, block: rootBlock, blocks: 1)
        putDirectory(rootBlock, rootEntries)
        putBitmaps()
        putGroupDescriptor()
        putSuperblock(identifier)
    }

    private mutating func allocate(_ count: Int) throws(Failure) -> Int {
        guard count <= blockCount - nextBlock else { throw .full }
        defer { nextBlock += count }
        return nextBlock
    }

    /// Stores an integer, little-endian.
    private mutating func put<T: FixedWidthInteger>(_ offset: Int, _ value: T) {
        for index in 0..<T.bitWidth / 8 {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> T(8 * index))
        }
    }

    private mutating func addInode(
        _ number: UInt32, mode: UInt16, links: UInt16, byteCount: Int, block: Int, blocks: Int
    ) {
        let at = Self.firstTableBlock * Self.blockSize + (Int(number) - 1) * Self.inodeSize
        put(at, mode)
        put(at + 0x04, UInt32(truncatingIfNeeded: byteCount))
        put(at + 0x1a, links)
        put(at + 0x1c, UInt32(blocks * (Self.blockSize / 512)))
        put(at + 0x20, UInt32(0x8_0000))  // uses extents
        put(at + 0x28, UInt16(0xf30a))  // extent header
        put(at + 0x2a, UInt16(blocks > 0 ? 1 : 0))
        put(at + 0x2c, UInt16(4))
        if blocks > 0 {
            put(at + 0x38, UInt16(truncatingIfNeeded: blocks))
            put(at + 0x3c, UInt32(block))
        }
        put(at + 0x80, UInt16(32))
    }

    private mutating func putDirectory(_ block: Int, _ entries: [(inode: UInt32, kind: UInt8, name: String)])
    {
        var at = block * Self.blockSize
        let end = at + Self.blockSize
        for (index, entry) in entries.enumerated() {
            let name = Array(entry.name.utf8)
            let needed = (8 + name.count + 3) & ~3
            let length = index == entries.count - 1 ? end - at : needed
            put(at, entry.inode)
            put(at + 4, UInt16(length))
            put(at + 6, UInt8(name.count))
            put(at + 7, entry.kind)
            bytes.replaceSubrange(at + 8..<at + 8 + name.count, with: name)
            at += length
        }
    }

    private mutating func putBitmaps() {
        func set(_ block: Int, _ bit: Int) { bytes[block * Self.blockSize + bit / 8] |= 1 << UInt8(bit % 8) }
        for block in 0..<nextBlock { set(2, block) }
        for block in blockCount..<8 * Self.blockSize { set(2, block) }
        for inode in 0..<Int(nextInode - 1) { set(3, inode) }
        for inode in Self.inodeCount..<8 * Self.blockSize { set(3, inode) }
    }

    private var freeBlocks: Int { blockCount - nextBlock }
    private var freeInodes: Int { Self.inodeCount - Int(nextInode - 1) }

    private mutating func putGroupDescriptor() {
        let at = Self.blockSize
        put(at, UInt32(2))
        put(at + 4, UInt32(3))
        put(at + 8, UInt32(Self.firstTableBlock))
        put(at + 12, UInt16(truncatingIfNeeded: freeBlocks))
        put(at + 14, UInt16(freeInodes))
        put(at + 16, UInt16(2))  // directories: the root and lost+found
    }

    private mutating func putSuperblock(_ identifier: [UInt8]) {
        let at = 1024
        put(at, UInt32(Self.inodeCount))
        put(at + 0x04, UInt32(blockCount))
        put(at + 0x0c, UInt32(freeBlocks))
        put(at + 0x10, UInt32(freeInodes))
        put(at + 0x18, UInt32(2))  // blocks of 1024 << 2 bytes
        put(at + 0x1c, UInt32(2))
        put(at + 0x20, UInt32(32_768))
        put(at + 0x24, UInt32(32_768))
        put(at + 0x28, UInt32(Self.inodeCount))
        put(at + 0x36, UInt16(0xffff))
        put(at + 0x38, UInt16(0xef53))
        put(at + 0x3a, UInt16(1))  // clean
        put(at + 0x3c, UInt16(1))
        put(at + 0x4c, UInt32(1))
        put(at + 0x54, Self.lostInode)
        put(at + 0x58, UInt16(Self.inodeSize))
        put(at + 0x60, UInt32(0x42))  // file types in directories, extents
        put(at + 0x64, UInt32(0x43))  // sparse superblocks, large files, extra inode fields
        for index in 0..<16 {
            put(at + 0x68 + index, index < identifier.count ? identifier[index] : UInt8(0))
        }
        for (index, byte) in "swift-vfio".utf8.enumerated() { put(at + 0x78 + index, byte) }
        put(at + 0x15c, UInt16(32))
        put(at + 0x15e, UInt16(32))
    }
}
