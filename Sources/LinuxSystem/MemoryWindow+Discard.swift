import CLinux

extension MemoryWindow {
    /// What is behind a window, which decides how its pages are given back.
    public enum Backing: Sendable, Equatable {
        /// Memory of this process alone: `MADV_DONTNEED`.
        case privateMemory
        /// A file in memory that is mapped shared: `MADV_REMOVE`, which makes a hole in the file, for everybody who
        /// maps it.
        case sharedFile
    }

    /// Gives the pages of a range back to the machine. The range reads as zeros afterwards, and gets pages again
    /// when it is touched.
    ///
    /// Pages that a device or another process holds are freed only when they let go.
    /// - Parameters:
    ///   - offset: where the range begins; a multiple of the size of the pages behind the window.
    ///   - byteCount: its length, a whole number of those pages.
    /// - Throws: `EINVAL` for a range that is outside or isn't whole pages, for locked memory, and for a file's
    ///   memory that has no file; `EACCES` for a file that may not be written; `EPERM` for one that is sealed.
    public func discard(at offset: Int, byteCount: Int, _ backing: Backing) throws(Errno) {
        guard offset >= 0, byteCount >= 0, offset <= self.byteCount, byteCount <= self.byteCount - offset
        else { throw .invalid }
        let start = address + offset
        // madvise(2) would round the length up, and so take what lies behind the range.
        guard byteCount % pageSize == 0 else { throw .invalid }
        if byteCount == 0 { return }
        let advice = backing == .privateMemory ? MADV_DONTNEED : MADV_REMOVE
        _ = try checked { clinux_madvise(start.rawValue, byteCount, advice) }
    }
}
