import LinuxSystem

/// Memory of this process that requests point to, as a C program would lay it out.
final class UserBuffer {
    /// Where the bytes begin.
    let address: HostAddress
    /// How many there are.
    let byteCount: Int
    private let mapping: Mapping

    /// Zeros.
    /// - Parameter atEndOfPage: whether an inaccessible page follows right behind the last byte.
    init(byteCount: Int, atEndOfPage: Bool) throws(Errno) {
        let pages = max(1, (byteCount + pageSize - 1) / pageSize)
        mapping = try Mapping(anonymous: (pages + 1) * pageSize)
        let start = mapping.window.address
        self.byteCount = byteCount
        address = atEndOfPage ? start + (pages * pageSize - byteCount) : start
        // SAFETY: the last page of the mapping above, of which nothing is used.
        let last = unsafe MemoryWindow(unsafeAddress: start + pages * pageSize, byteCount: pageSize)
        let guardPage = unsafe Mapping(owning: last)
        try guardPage.protect([])
        // The page stays a part of the whole mapping, which unmaps it.
        _ = guardPage.release()
    }

    /// Reads a value.
    func load<T: BitwiseCopyable>(_ initial: T, at offset: Int = 0) -> T {
        do throws(Errno) {
            return try UserMemory.load(initial, from: address + offset)
        } catch {
            preconditionFailure("beyond the buffer")
        }
    }

    /// Writes a value.
    func store<T: BitwiseCopyable>(_ value: T, at offset: Int = 0) {
        do throws(Errno) {
            try UserMemory.store(value, to: address + offset)
        } catch {
            preconditionFailure("beyond the buffer")
        }
    }

    /// The bytes.
    var bytes: [UInt8] {
        get { (0..<byteCount).map { load(UInt8(0), at: $0) } }
        set { for (index, byte) in newValue.enumerated() { store(byte, at: index) } }
    }

    /// Fills all bytes.
    func fill(_ byte: UInt8) { for index in 0..<byteCount { store(byte, at: index) } }
}

/// Pages of this process that a device may be given.
final class UserPages {
    /// Where they are.
    let window: MemoryWindow
    private let mapping: Mapping

    /// Zeros, touched, so that they are really there.
    init(pages: Int) throws(Errno) {
        mapping = try Mapping(anonymous: pages * pageSize)
        window = mapping.window
        for page in 0..<pages { window.store8(page * pageSize, 0) }
    }

    /// The first address, as the uAPI's 64-bit fields hold it.
    var vaddr: UInt64 { UInt64(window.address.rawValue) }
    /// How many bytes there are.
    var size: UInt64 { UInt64(window.byteCount) }

    /// Changes what the process itself may do with the pages.
    func protect(_ protection: Mapping.Protection) throws(Errno) { try mapping.protect(protection) }
}
