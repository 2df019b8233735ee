/// Puts a device's state together as bytes: integers with their lowest byte first, nothing in between.
public struct StateWriter {
    /// What was written so far.
    public private(set) var bytes: [UInt8] = []

    /// Nothing yet.
    public init() {}

    /// Appends an integer with all of its bytes.
    public mutating func append<T: FixedWidthInteger & UnsignedInteger>(_ value: T) {
        var rest = value
        for _ in 0..<MemoryLayout<T>.size {
            bytes.append(UInt8(truncatingIfNeeded: rest))
            rest = T.bitWidth > 8 ? rest >> 8 : 0
        }
    }

    /// Appends a byte that is 0 or 1.
    public mutating func append(_ flag: Bool) { bytes.append(flag ? 1 : 0) }

    /// Appends bytes as they are; whoever reads them knows how many.
    public mutating func append(bytes more: [UInt8]) { bytes.append(contentsOf: more) }

    /// Appends how many bytes follow, 32 bits, and then the bytes.
    public mutating func append(counted more: [UInt8]) {
        append(UInt32(truncatingIfNeeded: more.count))
        append(bytes: more)
    }
}

/// Takes a device's state apart again. The bytes are a stranger's: what isn't there is an error.
public struct StateReader {
    private let bytes: [UInt8]
    private var position: Int
    private let end: Int

    /// Reads all of `bytes`.
    public init(_ bytes: [UInt8]) {
        self.bytes = bytes
        position = 0
        end = bytes.count
    }

    private init(_ bytes: [UInt8], _ range: Range<Int>) {
        self.bytes = bytes
        position = range.lowerBound
        end = range.upperBound
    }

    /// How many bytes are left.
    public var remainingCount: Int { end - position }

    /// Reads an integer.
    /// - Throws: `truncated`.
    public mutating func next<T: FixedWidthInteger & UnsignedInteger>(
        _ type: T.Type
    ) throws(MigrationError) -> T {
        let count = MemoryLayout<T>.size
        guard remainingCount >= count else { throw .truncated }
        var value: T = 0
        for index in 0..<count {
            value |= T(truncatingIfNeeded: bytes[position + index]) << T(truncatingIfNeeded: 8 * index)
        }
        position += count
        return value
    }

    /// Reads a byte that has to be 0 or 1.
    /// - Throws: `truncated`, `malformed`.
    public mutating func nextFlag() throws(MigrationError) -> Bool {
        let byte = try next(UInt8.self)
        guard byte <= 1 else { throw .malformed }
        return byte == 1
    }

    /// Reads an integer that has to lie in a range.
    /// - Throws: `truncated`, `malformed`.
    public mutating func next<T: FixedWidthInteger & UnsignedInteger>(
        in range: ClosedRange<T>
    ) throws(MigrationError) -> T {
        let value = try next(T.self)
        guard range.contains(value) else { throw .malformed }
        return value
    }

    /// Reads so many bytes.
    /// - Throws: `truncated`.
    public mutating func next(byteCount: Int) throws(MigrationError) -> [UInt8] {
        guard byteCount >= 0, remainingCount >= byteCount else { throw .truncated }
        defer { position += byteCount }
        return Array(bytes[position..<position + byteCount])
    }

    /// Reads how many bytes follow and then a reader of just those.
    /// - Throws: `truncated`.
    public mutating func nextPart() throws(MigrationError) -> StateReader {
        let count = Int(try next(UInt32.self))
        guard remainingCount >= count else { throw .truncated }
        defer { position += count }
        return StateReader(bytes, position..<position + count)
    }

    /// Says that nothing may be left.
    /// - Throws: `malformed` where something is.
    public func finish() throws(MigrationError) {
        guard remainingCount == 0 else { throw .malformed }
    }
}
