import LinuxSystem

/// Memory of this process that requests point to, as a C program would lay it out.
final class UserBuffer {
    /// Where the bytes begin.
    let address: HostAddress
    /// How many there are.
    let byteCount: Int
    private let mapping: Mapping
    /// Where in the mapping the bytes begin.
    private let first: Int

    /// Zeros.
    /// - Parameter atEndOfPage: whether an inaccessible page follows right behind the last byte.
    init(byteCount: Int, atEndOfPage: Bool) throws(Errno) {
        let pages = max(1, (byteCount + pageSize - 1) / pageSize)
        mapping = try Mapping(anonymous: (pages + 1) * pageSize)
        let start = mapping.window.address
        self.byteCount = byteCount
        first = atEndOfPage ? pages * pageSize - byteCount : 0
        address = start + first
        // SAFETY: the last page of the mapping above, of which nothing is used.
        let last = unsafe MemoryWindow(unsafeAddress: start + pages * pageSize, byteCount: pageSize)
        let guardPage = unsafe Mapping(owning: last)
        try guardPage.protect([])
        // The page stays a part of the whole mapping, which unmaps it.
        _ = guardPage.release()
    }

    /// Reads a value. (Not through `UserMemory`, which some kernels are built without: this memory is ours.)
    func load<T: BitwiseCopyable>(_ initial: T, at offset: Int = 0) -> T {
        var value = initial
        let size = MemoryLayout<T>.size
        precondition(offset >= 0 && size <= byteCount && offset <= byteCount - size, "beyond the buffer")
        // SAFETY: the value's own bytes; any bytes are a value of a BitwiseCopyable type of the uAPI.
        unsafe withUnsafeMutableBytes(of: &value) { bytes in
            for index in 0..<size { unsafe bytes[index] = mapping.window.load8(first + offset + index) }
        }
        return value
    }

    /// Writes a value.
    func store<T: BitwiseCopyable>(_ value: T, at offset: Int = 0) {
        let size = MemoryLayout<T>.size
        precondition(offset >= 0 && size <= byteCount && offset <= byteCount - size, "beyond the buffer")
        // SAFETY: the value's own bytes.
        unsafe withUnsafeBytes(of: value) { bytes in
            for index in 0..<size { mapping.window.store8(first + offset + index, unsafe bytes[index]) }
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
