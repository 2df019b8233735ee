/// The bytes of a data structure that fills a page or a good part of one, with little-endian fields.
///
/// The large structures of the specification (Identify, log pages) are seldom looked at and mostly empty.
/// They are kept as bytes, and their fields are read and written where they lie. A place outside of the
/// bytes reads as zero and is not written: no length from a peer can end the process.
public struct PageBytes: Equatable, Sendable {
    /// The bytes.
    public private(set) var array: [UInt8]

    /// This many zero bytes; none for a negative count.
    public init(count: Int) { array = [UInt8](repeating: 0, count: max(count, 0)) }

    /// These bytes.
    public init(_ array: [UInt8]) { self.array = array }

    /// A copy of the first `count` bytes of a span; nil when it is shorter.
    public init?(copying span: RawSpan, count: Int) {
        guard count >= 0, span.byteCount >= count else { return nil }
        var array = [UInt8](repeating: 0, count: count)
        for index in 0..<count {
            // SAFETY: the span checks the offset, and any byte is a valid UInt8.
            array[index] = unsafe span.unsafeLoad(fromByteOffset: index, as: UInt8.self)
        }
        self.array = array
    }

    /// The number of bytes.
    public var count: Int { array.count }

    /// The little-endian integer at an offset; 0 when it doesn't lie inside.
    public func load<Integer: FixedWidthInteger & UnsignedInteger>(
        _ offset: Int, as type: Integer.Type = Integer.self
    ) -> Integer {
        let width = Integer.bitWidth / 8
        guard holds(offset, width) else { return 0 }
        var value: Integer = 0
        for index in 0..<width {
            value |= Integer(truncatingIfNeeded: array[offset + index]) << Integer(index * 8)
        }
        return value
    }

    /// Puts a little-endian integer at an offset; does nothing when it doesn't lie inside.
    public mutating func store<Integer: FixedWidthInteger & UnsignedInteger>(
        _ value: Integer, _ offset: Int
    ) {
        let width = Integer.bitWidth / 8
        guard holds(offset, width) else { return }
        for index in 0..<width {
            array[offset + index] = UInt8(truncatingIfNeeded: value >> Integer(index * 8))
        }
    }

    /// Copies bytes to an offset; does nothing when they don't fit.
    public mutating func store(_ source: [UInt8], at offset: Int) {
        guard holds(offset, source.count) else { return }
        for index in source.indices { array[offset + index] = source[index] }
    }

    /// The bytes of a range; empty when it doesn't lie inside.
    public func bytes(at offset: Int, count: Int) -> [UInt8] {
        guard holds(offset, count) else { return [] }
        return [UInt8](array[offset..<offset + count])
    }

    /// The text of a range without the spaces and zero bytes at its end. Bytes that aren't printable ASCII
    /// come out as "?": the text is a device's word and may end up on a terminal.
    public func text(at offset: Int, count: Int) -> String {
        guard holds(offset, count) else { return "" }
        var end = offset + count
        while end > offset, array[end - 1] == 0x20 || array[end - 1] == 0 { end -= 1 }
        var text = ""
        for index in offset..<end {
            let byte = array[index]
            text.unicodeScalars.append(Unicode.Scalar((0x20..<0x7f).contains(byte) ? byte : 0x3f))
        }
        return text
    }

    /// Writes ASCII text to a range, cut to its length and filled with `fill` (a space where the
    /// specification speaks of ASCII strings, zero for names that end with a zero byte).
    public mutating func storeText(_ text: String, at offset: Int, count: Int, fill: UInt8 = 0x20) {
        guard holds(offset, count) else { return }
        for index in offset..<offset + count { array[index] = fill }
        var place = offset
        for byte in text.utf8 {
            guard place < offset + count else { break }
            array[place] = (0x20..<0x7f).contains(byte) ? byte : 0x3f
            place += 1
        }
    }

    private func holds(_ offset: Int, _ width: Int) -> Bool {
        offset >= 0 && width >= 0 && width <= array.count && offset <= array.count - width
    }
}

/// A data structure that is kept as its bytes.
public protocol BytePage: Equatable, Sendable {
    /// The number of bytes of the structure.
    static var byteCount: Int { get }
    /// The bytes, as they go over DMA.
    var bytes: PageBytes { get set }
    /// A structure with these bytes, which the caller knows to be `byteCount` many.
    init(unchecked bytes: PageBytes)
}

extension BytePage {
    /// A structure whose bytes are all zero.
    public init() { self.init(unchecked: PageBytes(count: Self.byteCount)) }

    /// A structure copied from memory; nil when there are less than `byteCount` bytes.
    public init?(copying span: RawSpan) {
        guard let bytes = PageBytes(copying: span, count: Self.byteCount) else { return nil }
        self.init(unchecked: bytes)
    }

    /// A structure from its bytes; nil unless there are exactly `byteCount`.
    public init?(_ array: [UInt8]) {
        guard array.count == Self.byteCount else { return nil }
        self.init(unchecked: PageBytes(array))
    }
}
