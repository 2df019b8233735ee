import CLinux

/// A mapping of memory with exactly one owner; unmapped when the owner goes.
///
/// Windows taken from it must not be used afterwards.
@frozen public struct Mapping: ~Copyable, Sendable {
    /// The mapped memory.
    public let window: MemoryWindow

    /// What may be done with mapped memory.
    public struct Protection: OptionSet, Sendable {
        /// The bits of mmap(2).
        public let rawValue: Int32
        /// Wraps bits of mmap(2).
        public init(rawValue: Int32) { self.rawValue = rawValue }
        /// `PROT_READ`
        public static let read = Protection(rawValue: PROT_READ)
        /// `PROT_WRITE`
        public static let write = Protection(rawValue: PROT_WRITE)
    }

    /// The size of the pages that back anonymous memory.
    public enum PageKind: Sendable, Equatable {
        /// The machine's ordinary pages.
        case ordinary
        /// Ordinary pages that the kernel is asked to merge into huge ones (`MADV_HUGEPAGE`).
        case transparentHuge
        /// Pages of 2 MiB from the reserved pool (`MAP_HUGETLB`).
        case huge2MiB
        /// Pages of 1 GiB from the reserved pool.
        case huge1GiB

        /// The page's length in bytes.
        public var byteCount: Int {
            switch self {
            case .ordinary, .transparentHuge: pageSize
            case .huge2MiB: 2 << 20
            case .huge1GiB: 1 << 30
            }
        }
    }

    /// Maps a part of a file or device, shared.
    /// - Throws: the errno of mmap(2).
    public init(
        sharing descriptor: Int32, at offset: UInt64, byteCount: Int,
        protection: Protection = [.read, .write]
    ) throws(Errno) {
        try self.init(byteCount, protection, MAP_SHARED, descriptor, offset)
    }

    /// Zeroed memory of this process alone, rounded up to whole pages.
    /// - Throws: `EINVAL` for a length that isn't positive; `ENOMEM`.
    public init(anonymous byteCount: Int, pages: PageKind = .ordinary) throws(Errno) {
        guard byteCount > 0, let rounded = byteCount.roundedUp(toMultipleOf: pages.byteCount) else {
            throw .invalid
        }
        var flags = MAP_PRIVATE | MAP_ANONYMOUS
        switch pages {
        case .ordinary, .transparentHuge: break
        case .huge2MiB: flags |= MAP_HUGETLB | (21 << 26)  // MAP_HUGE_2MB
        case .huge1GiB: flags |= MAP_HUGETLB | (30 << 26)  // MAP_HUGE_1GB
        }
        try self.init(rounded, [.read, .write], flags, -1, 0)
        if pages == .transparentHuge {
            // Only a wish: a kernel without huge pages answers EINVAL and ordinary pages are as right.
            _ = clinux_madvise(window.address.rawValue, rounded, MADV_HUGEPAGE)
        }
    }

    private init(
        _ byteCount: Int, _ protection: Protection, _ flags: Int32, _ descriptor: Int32, _ offset: UInt64
    ) throws(Errno) {
        guard byteCount > 0 else { throw .invalid }
        var address: UInt = 0
        // SAFETY: a new mapping at a place that the kernel chooses touches nobody's memory.
        _ = try checked {
            unsafe clinux_mmap(0, byteCount, protection.rawValue, flags, descriptor, offset, &address)
        }
        // SAFETY: just mapped; this owner unmaps it in deinit.
        window = unsafe MemoryWindow(unsafeAddress: HostAddress(rawValue: address), byteCount: byteCount)
    }

    deinit { _ = clinux_munmap(window.address.rawValue, window.byteCount) }

    /// Puts a part of another file (or another part of the same) in place of what is mapped: at the same
    /// addresses, in one step, so that no access finds a gap.
    ///
    /// Where the file is too short, a touch raises SIGBUS, as with any mapping beyond the end of a file.
    /// - Throws: the errno of mmap(2); the mapping is then as it was.
    public func replaceContents(
        sharing descriptor: Int32, at offset: UInt64, protection: Protection
    ) throws(Errno) {
        var address: UInt = 0
        // SAFETY: MAP_FIXED replaces pages of exactly this mapping, which this owner alone unmaps.
        _ = try checked {
            unsafe clinux_mmap(
                window.address.rawValue, window.byteCount, protection.rawValue, MAP_SHARED | MAP_FIXED,
                descriptor, offset, &address)
        }
    }

    /// Takes over memory that was mapped by someone who gave it away with ``release()``.
    ///
    /// The window must be a whole mapping that nobody else will unmap.
    @unsafe public init(owning window: MemoryWindow) { self.window = window }

    /// Gives the mapping away; whoever takes it ends it.
    public consuming func release() -> MemoryWindow {
        let window = self.window
        discard self
        return window
    }

    /// Changes what may be done with the whole mapping: mprotect(2).
    public func protect(_ protection: Protection) throws(Errno) {
        _ = try checked { clinux_mprotect(window.address.rawValue, window.byteCount, protection.rawValue) }
    }
}

extension Int {
    /// The lowest multiple of a positive `unit` that isn't below this number, or nil where it doesn't exist.
    @inlinable public func roundedUp(toMultipleOf unit: Int) -> Int? {
        let rest = self % unit
        if rest == 0 { return self }
        let (sum, overflow) = addingReportingOverflow(unit - rest)
        return overflow ? nil : sum
    }
}

/// A file that lives in memory only: memfd_create(2).
public enum MemoryFile {
    /// Creates one of the given length, filled with zeros.
    /// - Parameter name: shown in /proc; need not be unique.
    public static func create(_ name: StaticString, byteCount: UInt64) throws(Errno) -> Descriptor {
        // SAFETY: a StaticString's text is a NUL-terminated constant.
        let number = try checked {
            unsafe clinux_memfd_create(
                UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self),
                UInt32(clinux_memfd_flags()))
        }
        let file = Descriptor(owning: Int32(number))
        try file.resize(to: byteCount)
        return file
    }

    /// Forbids changing the file's length from now on, so that nobody who maps it can be made to trap.
    public static func sealSize(_ file: borrowing Descriptor) throws(Errno) {
        let number = file.number
        _ = try checked { clinux_add_seals(number, CLINUX_F_SEAL_SHRINK | CLINUX_F_SEAL_GROW) }
    }
}
