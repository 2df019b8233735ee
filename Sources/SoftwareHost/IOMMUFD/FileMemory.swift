import LinuxSystem
import Synchronization

/// A part of a file that address spaces map (IOMMU_IOAS_MAP_FILE): the process's own mapping of it, which lives as
/// long as it is mapped anywhere.
///
/// Whether the memory can be locked is only looked at when it is to be, as in Linux. From then on nobody may
/// shorten the file: a kernel would keep the pages, a process can't.
final class FileMemory: Sendable {
    private let mapping: Mapping
    private let start: UInt64
    /// Whether it is memory of a file that consists of memory; no other can be locked.
    let isLockable: Bool
    /// The address in this process of the part's first byte.
    let address: UInt64
    private let byteCount: UInt64
    /// The exported memory of a device that it is a part of; nil for a file.
    let export: DMABuf?
    /// Whether a device took its memory back: it doesn't come again.
    private let lost = Atomic<Bool>(false)

    /// Maps a part of the exported memory of a device for the host's own use.
    /// - Parameters:
    ///   - start: where the part begins, in bytes; need not be whole pages.
    ///   - byteCount: not 0, and such that the end doesn't overflow.
    /// - Throws: `EINVAL` beyond the end; `EOPNOTSUPP` for memory of more than one part; `ENODEV` while it is taken
    ///   back; `ENOMEM`
    init(_ export: DMABuf, from start: UInt64, byteCount: UInt64) throws(Errno) {
        guard start < export.byteCount, byteCount <= export.byteCount - start else { throw .invalid }
        guard export.parts.count == 1, let part = export.parts.first else { throw .notSupported }
        if export.isRevoked { throw .noDevice }
        let skipped = start % UInt64(pageSize)
        guard let length = Int(exactly: byteCount + skipped) else { throw .noMemory }
        mapping = try Mapping(
            sharing: part.descriptor, at: part.offset + start - skipped, byteCount: length)
        isLockable = true
        self.start = start
        self.byteCount = byteCount
        self.export = export
        address = UInt64(mapping.window.address.rawValue) + skipped
        export.hold()
    }

    deinit { export?.letGo() }

    /// Whether nobody reaches it any more.
    var isLost: Bool { lost.load(ordering: .acquiring) }

    /// The device has taken its memory back.
    func lose() { lost.store(true, ordering: .releasing) }

    /// Maps a part of a file for the host's own use.
    /// - Parameters:
    ///   - start: where the part begins, in bytes; need not be whole pages.
    ///   - byteCount: not 0, and such that the end doesn't overflow.
    /// - Throws: `EBADF`, `ENOMEM`
    init(_ file: Int32, from start: UInt64, byteCount: UInt64) throws(Errno) {
        guard Descriptor.isOpen(file) else { throw .badDescriptor }
        self.start = start
        self.byteCount = byteCount
        export = nil
        let skipped = start % UInt64(pageSize)
        let (length, overflow) = byteCount.addingReportingOverflow(skipped)
        guard !overflow, let length = Int(exactly: length) else { throw .noMemory }
        var mapped = try? Mapping(sharing: file, at: start - skipped, byteCount: length)
        if mapped == nil {
            mapped = try? Mapping(sharing: file, at: start - skipped, byteCount: length, protection: .read)
        }
        if let mapped = mapped.take() {
            mapping = mapped
            isLockable = Descriptor.isInMemory(file)
        } else {
            // Addresses that are nobody else's, and never touched.
            mapping = try Mapping(anonymous: length)
            isLockable = false
            try mapping.protect([])
        }
        address = UInt64(mapping.window.address.rawValue) + skipped
    }

    /// Whether an address lies in it.
    func contains(_ backing: UInt64) -> Bool { backing >= address && backing - address < byteCount }

    /// The place in the file of what is at an address of the part.
    func placement(of backing: UInt64) -> UInt64 { start + (backing - address) }
}

/// The files that an address space maps parts of. Guarded by its lock.
struct FileMemories {
    private var entries: [(file: FileMemory, useCount: Int)] = []

    /// The file behind an address; nil for memory of the process.
    func file(at backing: UInt64) -> FileMemory? { entries.first { $0.file.contains(backing) }?.file }

    /// A mapping of a part of it comes.
    mutating func hold(_ file: FileMemory, in space: IOAS) {
        if let index = entries.firstIndex(where: { $0.file === file }) {
            entries[index].useCount += 1
        } else {
            entries.append((file, 1))
            if let export = file.export, !export.tell(space, of: file) { file.lose() }
        }
    }

    /// A mapping of a part of it has gone.
    mutating func letGo(_ file: FileMemory, in space: IOAS) {
        guard let index = entries.firstIndex(where: { $0.file === file }) else { return }
        entries[index].useCount -= 1
        if entries[index].useCount > 0 { return }
        entries.remove(at: index)
        file.export?.forget(space, file)
    }

    /// All mappings have gone.
    mutating func removeAll(in space: IOAS) {
        for entry in entries { entry.file.export?.forget(space, entry.file) }
        entries = []
    }
}
