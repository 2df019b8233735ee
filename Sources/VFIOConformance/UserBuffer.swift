import LinuxSystem

/// Memory of this process that requests point to, as a C program would lay it out.
final class UserBuffer {
    /// Where the bytes begin.
    let address: HostAddress
    /// How many there are.
    let byteCount: Int
    private let mapping: Mapping
    /// Where the bytes begin in the mapping.
    private let start: Int
    private var window: MemoryWindow { mapping.window }

    /// Zeros.
    /// - Parameter atEndOfPage: whether an inaccessible page follows right behind the last byte.
    init(byteCount: Int, atEndOfPage: Bool) throws(Errno) {
        let pages = max(1, (byteCount + pageSize - 1) / pageSize)
        mapping = try Mapping(anonymous: (pages + 1) * pageSize)
        self.byteCount = byteCount
        start = atEndOfPage ? pages * pageSize - byteCount : 0
        let begin = mapping.window.address
        address = begin + start
        // SAFETY: the last page of the mapping above, of which nothing is used.
        let last = unsafe MemoryWindow(unsafeAddress: begin + pages * pageSize, byteCount: pageSize)
        let guardPage = unsafe Mapping(owning: last)
        try guardPage.protect([])
        // The page stays a part of the whole mapping, which unmaps it.
        _ = guardPage.release()
    }

    // The bytes are this process's own and always there, so plain accesses do: a kernel built without
    // CONFIG_CROSS_MEMORY_ATTACH has no others.

    /// Reads a value.
    func load<T: BitwiseCopyable>(_ initial: T, at offset: Int = 0) -> T {
        var value = initial
        // SAFETY: any bit pattern is a value of a uAPI structure.
        unsafe withUnsafeMutableBytes(of: &value) { bytes in
            precondition(offset >= 0 && bytes.count <= byteCount - offset, "beyond the buffer")
            for index in 0..<bytes.count {
                unsafe bytes[index] = window.load8(start + offset + index)
            }
        }
        return value
    }

    /// Writes a value.
    func store<T: BitwiseCopyable>(_ value: T, at offset: Int = 0) {
        // SAFETY: only the value's own bytes are read.
        unsafe withUnsafeBytes(of: value) { bytes in
            precondition(offset >= 0 && bytes.count <= byteCount - offset, "beyond the buffer")
            for index in 0..<bytes.count {
                window.store8(start + offset + index, unsafe bytes[index])
            }
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
