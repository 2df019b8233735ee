import CLinux

/// A bounded window on memory that a device or another process may change at any time: a mapped region, DMA
/// memory, a shared file.
///
/// Every access is checked against the window's length and made exactly once, with the width asked for, in
/// program order (volatile). Order between memory and device registers needs a ``Fence``.
///
/// A window doesn't own its memory. Whoever hands one out says how long it stays valid.
@safe public struct MemoryWindow: @unchecked Sendable {
    /// Where the window begins in this process.
    public let address: HostAddress
    /// Its length in bytes.
    public let byteCount: Int

    /// A window on memory that the caller keeps mapped, readable and (where it stores) writable for as long as
    /// the window is used.
    @unsafe public init(unsafeAddress address: HostAddress, byteCount: Int) {
        precondition(byteCount >= 0, "a negative length")
        self.address = address
        self.byteCount = byteCount
    }

    @inlinable @inline(__always)
    func place(_ offset: Int, _ width: Int) -> UInt {
        precondition(
            offset >= 0 && width >= 0 && offset <= byteCount && width <= byteCount - offset,
            "outside the window")
        return address.rawValue &+ UInt(bitPattern: offset)
    }

    /// The part of the window that begins at `offset`.
    public func window(at offset: Int, byteCount: Int) -> MemoryWindow {
        let start = place(offset, byteCount)
        // SAFETY: a part of a valid window is valid as long as the whole.
        return unsafe MemoryWindow(unsafeAddress: HostAddress(rawValue: start), byteCount: byteCount)
    }

    /// Loads 8 bits.
    @inlinable @inline(__always) public func load8(_ offset: Int) -> UInt8 { clinux_load8(place(offset, 1)) }
    /// Loads 16 bits.
    @inlinable @inline(__always) public func load16(_ offset: Int) -> UInt16 {
        clinux_load16(place(offset, 2))
    }
    /// Loads 32 bits.
    @inlinable @inline(__always) public func load32(_ offset: Int) -> UInt32 {
        clinux_load32(place(offset, 4))
    }
    /// Loads 64 bits in one access.
    @inlinable @inline(__always) public func load64(_ offset: Int) -> UInt64 {
        clinux_load64(place(offset, 8))
    }
    /// Loads 64 bits as two accesses of 32, the low half first.
    @inlinable @inline(__always) public func load64LowHigh(_ offset: Int) -> UInt64 {
        let low = load32(offset)
        return UInt64(low) | UInt64(load32(offset + 4)) << 32
    }

    /// Stores 8 bits.
    @inlinable @inline(__always) public func store8(_ offset: Int, _ value: UInt8) {
        clinux_store8(place(offset, 1), value)
    }
    /// Stores 16 bits.
    @inlinable @inline(__always) public func store16(_ offset: Int, _ value: UInt16) {
        clinux_store16(place(offset, 2), value)
    }
    /// Stores 32 bits.
    @inlinable @inline(__always) public func store32(_ offset: Int, _ value: UInt32) {
        clinux_store32(place(offset, 4), value)
    }
    /// Stores 64 bits in one access.
    @inlinable @inline(__always) public func store64(_ offset: Int, _ value: UInt64) {
        clinux_store64(place(offset, 8), value)
    }
    /// An aligned 64-bit word whose bits other threads may be setting and clearing, without any order to other accesses.
    @inlinable @inline(__always) public func bits64(_ offset: Int) -> UInt64 {
        clinux_relaxed_load(place(offset, 8))
    }
    /// Sets bits of an aligned 64-bit word that other threads may be changing too.
    @inlinable @inline(__always) public func setBits64(_ offset: Int, _ bits: UInt64) {
        clinux_atomic_or(place(offset, 8), bits)
    }
    /// Clears bits of an aligned 64-bit word that other threads may be changing too.
    /// - Returns: the word as it was.
    @inlinable @inline(__always) public func clearBits64(_ offset: Int, _ bits: UInt64) -> UInt64 {
        clinux_atomic_clear(place(offset, 8), bits)
    }
    /// Stores 64 bits as two accesses of 32, the low half first.
    @inlinable @inline(__always) public func store64LowHigh(_ offset: Int, _ value: UInt64) {
        store32(offset, UInt32(truncatingIfNeeded: value))
        store32(offset + 4, UInt32(truncatingIfNeeded: value >> 32))
    }

    /// Copies bytes out of the window, as plain memory (no promise of width or order within the copy).
    public func read(at offset: Int, into bytes: inout MutableRawSpan) {
        let count = bytes.byteCount
        let from = place(offset, count)
        // SAFETY: both sides hold `count` bytes: the span by its type, the window by the check in `place`.
        unsafe bytes.withUnsafeMutableBytes { buffer in
            if let base = buffer.baseAddress { clinux_copy(UInt(bitPattern: base), from, count) }
        }
    }

    /// Copies bytes into the window, as plain memory.
    public func write(_ bytes: RawSpan, at offset: Int) {
        let count = bytes.byteCount
        let to = place(offset, count)
        // SAFETY: as in `read`.
        unsafe bytes.withUnsafeBytes { buffer in
            if let base = buffer.baseAddress { clinux_copy(to, UInt(bitPattern: base), count) }
        }
    }

    /// Copies between two windows, which may overlap.
    public func copy(from other: MemoryWindow, at source: Int, to offset: Int, byteCount: Int) {
        clinux_copy(place(offset, byteCount), other.place(source, byteCount), byteCount)
    }

    /// Fills a range with zeros.
    public func zero(at offset: Int, byteCount: Int) {
        clinux_zero(place(offset, byteCount), byteCount)
    }

    /// Loads a whole value of a plain type, as plain memory.
    @inlinable public func load<T: BitwiseCopyable>(_ type: T.Type, at offset: Int) -> T {
        let start = place(offset, MemoryLayout<T>.size)
        // SAFETY: checked to lie inside the window; any bit pattern is a value of a BitwiseCopyable struct of
        // plain integers.
        return unsafe UnsafeRawPointer(bitPattern: start).unsafelyUnwrapped.loadUnaligned(as: T.self)
    }

    /// Stores a whole value of a plain type, as plain memory.
    @inlinable public func store<T: BitwiseCopyable>(_ value: T, at offset: Int) {
        let start = place(offset, MemoryLayout<T>.size)
        // SAFETY: checked to lie inside the window.
        unsafe UnsafeMutableRawPointer(bitPattern: start).unsafelyUnwrapped
            .storeBytes(of: value, as: T.self)
    }

    /// Lends the window as a raw buffer, for calls that need one (file reads into DMA memory, a hash).
    @unsafe public var unsafeBytes: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(bitPattern: address.rawValue), count: byteCount)
    }
}

/// Order between memory that a device reads or writes and the accesses before and after.
public enum Fence {
    /// Everything stored before is visible to the device before anything stored after: between filling a ring
    /// entry and ringing its doorbell.
    @inlinable @inline(__always) public static func beforeDoorbell() { clinux_device_write_fence() }
    /// Nothing after is loaded before what was loaded before: between seeing a completion's phase bit and
    /// reading the rest of it.
    @inlinable @inline(__always) public static func afterCompletion() { clinux_device_read_fence() }
    /// Stores before are visible before loads after: between publishing a shadow doorbell and reading the
    /// event index.
    @inlinable @inline(__always) public static func full() { clinux_full_fence() }
}

/// Tells the processor that this thread polls.
@inlinable @inline(__always) public func spinHint() { clinux_spin_hint() }

extension MemoryWindow {
    /// Lends the bytes of a span as a window, for the time of `body` and no longer.
    @inlinable @inline(__always)
    public static func withWindow<R, E: Error>(
        on bytes: inout MutableRawSpan, _ body: (MemoryWindow) throws(E) -> R
    ) throws(E) -> R {
        // SAFETY: the span's own memory, which stays where it is for the time of the call.
        try unsafe bytes.withUnsafeMutableBytes { (buffer) throws(E) -> R in
            let address = HostAddress(rawValue: UInt(bitPattern: buffer.baseAddress))
            return try body(unsafe MemoryWindow(unsafeAddress: address, byteCount: buffer.count))
        }
    }

    /// Lends the bytes of a span that can't be changed as a window, for the time of `body`, which only reads.
    @inlinable @inline(__always)
    public static func withReadOnlyWindow<R, E: Error>(
        on bytes: RawSpan, _ body: (MemoryWindow) throws(E) -> R
    ) throws(E) -> R {
        // SAFETY: as above; that nothing is stored is the caller's promise.
        try unsafe bytes.withUnsafeBytes { (buffer) throws(E) -> R in
            let address = HostAddress(rawValue: UInt(bitPattern: buffer.baseAddress))
            return try body(unsafe MemoryWindow(unsafeAddress: address, byteCount: buffer.count))
        }
    }
}
