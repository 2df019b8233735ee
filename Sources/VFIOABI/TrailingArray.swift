/// Records that follow a structure, as C's flexible array members hold them: read in place, without a copy.
///
/// The count was checked against the bytes when it was made, so every element is wholly inside them.
public struct TrailingArray<Element: ABIValue>: ~Escapable {
    @usableFromInline let bytes: RawSpan

    /// How many records there are.
    public let count: Int

    /// Takes `count` records from the bytes that start at `offset`.
    ///
    /// - Parameters:
    ///   - bytes: What the records are in; need not be aligned.
    ///   - offset: Where the first record starts, in bytes.
    ///   - count: How many there are meant to be: a number that a stranger wrote.
    /// - Returns: nil where so many are not wholly inside `bytes`.
    @inlinable
    @_lifetime(copy bytes)
    public init?(_ bytes: RawSpan, at offset: Int, count: UInt32) {
        guard offset >= 0, offset <= bytes.byteCount else { return nil }
        let room = bytes.byteCount - offset
        let stride = MemoryLayout<Element>.stride
        // A division instead of a product: nothing to overflow on any machine.
        guard UInt64(count) <= UInt64(room / stride) else { return nil }
        self.count = Int(count)
        self.bytes = bytes.extracting(offset..<offset + Int(count) * stride)
    }

    /// The record at a position; the position must be below `count`.
    @inlinable
    public subscript(position: Int) -> Element {
        precondition(position >= 0 && position < count, "position beyond the records")
        // SAFETY: `init` made sure that `count` records are inside, and every bit pattern is an `ABIValue`.
        return unsafe bytes.unsafeLoadUnaligned(
            fromByteOffset: position * MemoryLayout<Element>.stride, as: Element.self)
    }
}
