import LinuxSystem

/// A piece of memory that a guest has as RAM or ROM, or the mapped part of a device's region.
///
/// Memory regions show it to the guest; one block may be seen at several places. Whoever maps it for DMA keeps a
/// reference, so that the memory lives until the last mapping is gone.
public final class RAMBlock: Sendable {
    /// What it is called in messages.
    public let name: String
    /// Where it lies in this process.
    public let window: MemoryWindow
    /// The file that it is a part of, for those who hand memory to another process; nil where there is none.
    public let file: File?
    /// Whether a hypervisor may let nobody else reach it (memory of confidential guests): never mapped for DMA.
    public let isProtected: Bool
    /// How long the pages are that back it, in bytes: a power of two.
    public let pageByteCount: UInt64
    /// Which of its pages were written, for each who wants to know.
    public let dirtyLog: DirtyLog
    private let keeper: AnyKeeper

    /// A place in a file.
    public struct File: Sendable, Equatable {
        /// The open file; it belongs to the block.
        public let descriptor: Int32
        /// Where the block begins in it, in bytes.
        public let offset: UInt64
    }

    /// What is given back when the block goes.
    private enum AnyKeeper: Sendable {
        case nothing
        case mapping(OwnedMemory)
        case object(any AnyObject & Sendable)
    }

    private final class OwnedMemory: Sendable {
        let mapping: Mapping
        let file: Descriptor?
        init(_ mapping: consuming Mapping, _ file: consuming Descriptor?) {
            self.mapping = mapping
            self.file = file
        }
    }

    /// The block's length in bytes.
    public var byteCount: UInt64 { UInt64(window.byteCount) }

    private init(
        _ name: String, _ window: MemoryWindow, _ file: File?, isProtected: Bool, _ keeper: AnyKeeper,
        _ pageByteCount: Int = pageSize
    ) throws(Errno) {
        self.name = name
        self.window = window
        self.file = file
        self.isProtected = isProtected
        self.keeper = keeper
        self.pageByteCount = UInt64(pageByteCount)
        dirtyLog = try DirtyLog(byteCount: UInt64(window.byteCount))
    }

    /// New memory, all zeroes; the machine gives pages as they are touched.
    /// - Parameters:
    ///   - byteCount: at least 1; rounded up to whole pages.
    ///   - isShared: whether it is a memory file, which other processes (a vfio-user server) can map.
    ///   - pages: what kind of pages back it, where it isn't shared.
    /// - Throws: `EINVAL` for a length that isn't positive; `ENOMEM`.
    public convenience init(
        _ name: String, byteCount: Int, isShared: Bool = false, pages: Mapping.PageKind = .ordinary,
        isProtected: Bool = false
    ) throws(Errno) {
        guard byteCount > 0, let rounded = byteCount.roundedUp(toMultipleOf: pageSize) else { throw .invalid }
        if isShared {
            let file = try MemoryFile.create("vfio-guest-ram", byteCount: UInt64(rounded))
            let mapping = try Mapping(sharing: file.number, at: 0, byteCount: rounded)
            let window = mapping.window
            let place = File(descriptor: file.number, offset: 0)
            try self.init(
                name, window, place, isProtected: isProtected, .mapping(OwnedMemory(mapping, file)))
        } else {
            let mapping = try Mapping(anonymous: rounded, pages: pages)
            let window = mapping.window
            try self.init(
                name, window, nil, isProtected: isProtected, .mapping(OwnedMemory(mapping, nil)),
                pages.byteCount)
        }
    }

    /// Memory that somebody else owns.
    /// - Parameters:
    ///   - window: the memory.
    ///   - file: where it lies in a file, if it does.
    ///   - pages: what kind of pages back it, as far as the caller knows.
    ///   - owner: what keeps it mapped; the block keeps this. Without one the caller keeps the memory mapped for
    ///     as long as the block exists.
    public convenience init(
        _ name: String, _ window: MemoryWindow, file: File? = nil, pages: Mapping.PageKind = .ordinary,
        keeping owner: (any AnyObject & Sendable)?
    ) throws(Errno) {
        try self.init(
            name, window, file, isProtected: false, owner.map { .object($0) } ?? .nothing, pages.byteCount)
    }
}
