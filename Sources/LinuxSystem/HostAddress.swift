import CLinux

/// An address in the caller's own memory, as the uAPI carries it (`vaddr`, `user_va`, an ioctl's argument).
///
/// A number, not a pointer: it may be wrong. ``UserMemory`` reads and writes through it without trapping.
public struct HostAddress: RawRepresentable, Equatable, Hashable, Comparable, Sendable {
    /// The address.
    public let rawValue: UInt

    /// Wraps an address.
    @inlinable public init(rawValue: UInt) { self.rawValue = rawValue }

    /// The address as the uAPI's 64-bit fields hold it.
    @inlinable public init(_ value: UInt64) { rawValue = UInt(truncatingIfNeeded: value) }

    /// Address 0, which no mapping has.
    public static let null = HostAddress(rawValue: 0)

    /// Orders by address.
    @inlinable public static func < (a: HostAddress, b: HostAddress) -> Bool { a.rawValue < b.rawValue }

    /// The address `n` bytes further on, wrapping at the end of the address space.
    @inlinable public static func + (a: HostAddress, n: Int) -> HostAddress {
        HostAddress(rawValue: a.rawValue &+ UInt(bitPattern: n))
    }
}

/// The size of a page of memory on this machine, in bytes.
public let pageSize: Int = Int(clinux_page_size())

/// Reads and writes memory of the caller at addresses that may be wrong, as a kernel's copy-from-user and
/// copy-to-user do: a bad address is an error, never a trap.
///
/// The caller is this process, or another one on a thread that serves it (``RemoteCaller``).
public enum UserMemory {
    @usableFromInline @inline(__always)
    static func move(from address: HostAddress, to room: UnsafeMutableRawPointer?, _ count: Int) -> Int {
        // SAFETY: the caller vouches for its own side; the other is looked at by the kernel.
        if unsafe RemoteMemory.exists { return unsafe RemoteMemory.read(address, room, count) }
        return unsafe clinux_own_memory_read(address.rawValue, room, count)
    }

    @usableFromInline @inline(__always)
    static func move(from bytes: UnsafeRawPointer?, to address: HostAddress, _ count: Int) -> Int {
        // SAFETY: as above.
        if unsafe RemoteMemory.exists { return unsafe RemoteMemory.write(bytes, address, count) }
        return unsafe clinux_own_memory_write(address.rawValue, bytes, count)
    }

    /// Copies `bytes.count` bytes from `address`.
    /// - Throws: `EFAULT` if not all of the range can be read. `bytes` may then be partly overwritten.
    public static func read(from address: HostAddress, into bytes: inout MutableRawSpan) throws(Errno) {
        let count = bytes.byteCount
        if count == 0 { return }
        // SAFETY: the kernel writes at most `count` bytes into the span's own memory.
        let result = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe move(from: address, to: buffer.baseAddress, count)
        }
        if result != count { throw .badAddress }
    }

    /// Copies all of `bytes` to `address`.
    /// - Throws: `EFAULT` if not all of the range can be written. Its first part may then be overwritten.
    public static func write(_ bytes: RawSpan, to address: HostAddress) throws(Errno) {
        let count = bytes.byteCount
        if count == 0 { return }
        // SAFETY: the kernel reads `count` bytes of the span's own memory.
        let result = unsafe bytes.withUnsafeBytes { buffer in
            unsafe move(from: buffer.baseAddress, to: address, count)
        }
        if result != count { throw .badAddress }
    }

    /// Reads one value of a plain type.
    /// - Throws: `EFAULT` if the address can't be read.
    @inlinable public static func load<T: BitwiseCopyable>(
        _ initial: T, from address: HostAddress, count: Int = MemoryLayout<T>.size
    ) throws(Errno) -> T {
        var value = initial
        precondition(count <= MemoryLayout<T>.size, "more bytes than the value has")
        // SAFETY: `count` bytes fit into `value`; any bit pattern is a value of a BitwiseCopyable uAPI struct.
        let result = unsafe withUnsafeMutableBytes(of: &value) { buffer in
            unsafe move(from: address, to: buffer.baseAddress, count)
        }
        if result != count { throw .badAddress }
        return value
    }

    /// Writes the first `count` bytes of a value of a plain type.
    /// - Throws: `EFAULT` if the address can't be written.
    @inlinable public static func store<T: BitwiseCopyable>(
        _ value: T, to address: HostAddress, count: Int = MemoryLayout<T>.size
    ) throws(Errno) {
        precondition(count <= MemoryLayout<T>.size, "more bytes than the value has")
        // SAFETY: only the value's own bytes are read.
        let result = unsafe withUnsafeBytes(of: value) { buffer in
            unsafe move(from: buffer.baseAddress, to: address, count)
        }
        if result != count { throw .badAddress }
    }

    /// Writes zeros.
    /// - Throws: `EFAULT` if an address can't be written; those before it have been.
    public static func clear(_ address: HostAddress, byteCount: Int) throws(Errno) {
        let zeros = InlineArray<512, UInt64>(repeating: 0)
        var offset = 0
        while offset < byteCount {
            // Page by page, however long it is said to be: the first that isn't there ends it.
            let count = min(byteCount - offset, MemoryLayout.size(ofValue: zeros))
            try store(zeros, to: address + offset, count: count)
            offset += count
        }
    }

    /// Makes sure that every page of a range is there and can be read, or read and written: what a kernel
    /// does before it pins user memory for DMA.
    /// - Throws: `EFAULT` if a page isn't mapped or doesn't allow the access; `ENOMEM` if memory ran out.
    public static func populate(_ address: HostAddress, byteCount: Int, writable: Bool) throws(Errno) {
        if unsafe RemoteMemory.exists, let place = RemoteMemory.place(of: address) {
            return try place.populate(byteCount: byteCount, writable: writable)
        }
        try populateOwn(address, byteCount: byteCount, writable: writable)
    }

    /// The same for memory of this process, whoever asks.
    public static func populateOwn(
        _ address: HostAddress, byteCount: Int, writable: Bool
    ) throws(Errno) {
        let advice = writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ
        do throws(Errno) {
            _ = try checked { clinux_madvise(address.rawValue, byteCount, advice) }
        } catch {
            switch error {
            case .invalid where !isPopulateKnown: try touch(address, byteCount: byteCount, writable: writable)
            case .again: throw .noMemory
            default: throw .badAddress
            }
        }
    }

    /// Whether the running kernel knows `MADV_POPULATE_*` (5.14 and later).
    private static let isPopulateKnown: Bool = clinux_madvise(0, 0, MADV_POPULATE_READ) == 0

    /// The slow way for old kernels: read, and write back, one byte of every page.
    private static func touch(_ address: HostAddress, byteCount: Int, writable: Bool) throws(Errno) {
        var offset = 0
        while offset < byteCount {
            let byte = try load(UInt8(0), from: address + offset)
            if writable { try store(byte, to: address + offset) }
            offset += pageSize
        }
    }
}
