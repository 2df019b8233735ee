import LinuxSystem

/// Bytes of a fixed number with exactly one owner; zero at first. Pages that are never touched cost nothing.
struct ByteStore: ~Copyable {
    private let mapping: Mapping
    /// How many bytes there are.
    let byteCount: Int

    /// - Throws: `ENOMEM`.
    init(byteCount: Int) throws(Errno) {
        mapping = try Mapping(anonymous: byteCount)
        self.byteCount = byteCount
    }

    /// All bytes.
    var bytes: RawSpan {
        @_lifetime(borrow self)
        @inline(__always)
        get {
            // SAFETY: mapped and zeroed as long as this owner lives, which the borrowed span can't outlive; nobody
            // else has the address.
            let span = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(mapping.window.unsafeBytes))
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// All bytes, to be written.
    var mutableBytes: MutableRawSpan {
        @_lifetime(&self)
        @inline(__always)
        mutating get {
            // SAFETY: as above, and the owner is borrowed exclusively.
            let span = unsafe MutableRawSpan(_unsafeBytes: mapping.window.unsafeBytes)
            return unsafe _overrideLifetime(span, mutating: &self)
        }
    }

    /// Some of the bytes.
    ///
    /// Unsafe: they must not be used longer than the store lives, nor while it is changed.
    @_lifetime(immortal)
    @inline(__always)
    @unsafe func unsafeBytes(at offset: Int, _ count: Int) -> RawSpan {
        let bytes = unsafe mapping.window.window(at: offset, byteCount: count).unsafeBytes
        let span = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(bytes))
        return unsafe _overrideLifetime(span, copying: ())
    }

    /// Moves bytes within the store; the ranges may overlap.
    mutating func move(_ count: Int, from source: Int, to offset: Int) {
        mapping.window.copy(from: mapping.window, at: source, to: offset, byteCount: count)
    }
}

extension MutableRawSpan {
    /// Copies all of `bytes` to `offset`; they must fit.
    mutating func copy(_ bytes: RawSpan, to offset: Int) {
        precondition(
            offset >= 0 && offset <= byteCount && bytes.byteCount <= byteCount - offset, "no room")
        // SAFETY: checked to fit; two spans of which one is mutable never overlap.
        unsafe bytes.withUnsafeBytes { source in
            unsafe withUnsafeMutableBytes { target in
                guard let from = source.baseAddress, let to = target.baseAddress else { return }
                unsafe to.advanced(by: offset).copyMemory(from: from, byteCount: source.count)
            }
        }
    }
}
