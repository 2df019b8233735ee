/// A value whose memory is exactly what the uAPI says: plain fixed-width integers, C layout, no implicit padding,
/// and every bit pattern is a valid value.
///
/// That makes it safe to be read out of bytes that a stranger wrote, and to be copied out byte by byte. All
/// integers are little-endian, as on the machines that this package is for.
///
/// Conform only structures for which all of this holds; at most 128 bytes for `init(prefixOf:minimumSize:)`.
public protocol ABIValue: BitwiseCopyable, Sendable {}

/// A structure whose first field tells its size (`argsz` in vfio.h, `size` in iommufd.h).
public protocol SizePrefixed: ABIValue {
    /// The smallest size, in bytes, that the kernel accepts in the first field.
    static var minimumSize: Int { get }
}

extension UInt8: ABIValue {}
extension UInt16: ABIValue {}
extension UInt32: ABIValue {}
extension UInt64: ABIValue {}
extension Int32: ABIValue {}

extension ABIValue {
    /// The size in bytes, as C's `sizeof` gives it.
    @inlinable public static var byteCount: Int { MemoryLayout<Self>.size }

    /// Reads a value out of bytes; they need not be aligned.
    ///
    /// - Parameters:
    ///   - bytes: Where to read.
    ///   - offset: Where the value starts, in bytes.
    /// - Returns: nil where the value is not wholly inside `bytes`.
    @inlinable
    public init?(_ bytes: RawSpan, at offset: Int = 0) {
        guard offset >= 0, offset <= bytes.byteCount, bytes.byteCount - offset >= Self.byteCount else {
            return nil
        }
        // SAFETY: wholly inside (checked above), and every bit pattern is a value of an `ABIValue`.
        self = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: Self.self)
    }

    /// Reads a value of which only the beginning is there; what is missing is zero.
    ///
    /// This is how iommufd reads a structure from a caller that knows an older, shorter one.
    ///
    /// - Parameters:
    ///   - bytes: What the caller gave. Bytes beyond the value are not looked at.
    ///   - minimumSize: How many bytes must be there.
    /// - Returns: nil where fewer than `minimumSize` bytes are there.
    @inlinable
    public init?(prefixOf bytes: RawSpan, minimumSize: Int) {
        guard bytes.byteCount >= minimumSize, Self.byteCount <= 128 else { return nil }
        var whole = InlineArray<128, UInt8>(repeating: 0)
        for index in 0..<min(bytes.byteCount, Self.byteCount) {
            // SAFETY: the index is below `bytes.byteCount`; any byte is a UInt8.
            whole[index] = unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
        }
        // SAFETY: an array of bytes has no padding.
        unsafe self.init(whole.span.bytes)
    }

    /// Writes the value's bytes; the place need not be aligned.
    ///
    /// - Parameters:
    ///   - bytes: Where to write.
    ///   - offset: Where the value starts, in bytes.
    /// - Returns: Whether it fitted; if not, nothing was written.
    @inlinable
    public func write(to bytes: inout MutableRawSpan, at offset: Int = 0) -> Bool {
        guard offset >= 0, offset <= bytes.byteCount, bytes.byteCount - offset >= Self.byteCount else {
            return false
        }
        bytes.storeBytes(of: self, toByteOffset: offset, as: Self.self)
        return true
    }

    /// Lends the value's bytes to `body`.
    @inlinable
    public func withBytes<Result: ~Copyable, Failure: Error>(
        _ body: (RawSpan) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let one = InlineArray<1, Self>(repeating: self)
        // SAFETY: an `ABIValue` has no padding, so all of its bytes are initialised.
        return try unsafe body(one.span.bytes)
    }
}

/// Whether two inline arrays hold the same elements.
@inlinable
func sameElements<let count: Int, Element: Equatable>(
    _ left: InlineArray<count, Element>, _ right: InlineArray<count, Element>
) -> Bool {
    for index in 0..<count where left[index] != right[index] { return false }
    return true
}
