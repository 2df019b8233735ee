/// An I/O virtual address: what a device puts on the bus before the IOMMU translates it.
///
/// A type of its own, so that it can't be mixed up with a host address, a guest-physical address or an
/// offset into a region. The full 64-bit space is usable, its last page included.
@frozen
public struct IOVA: RawRepresentable, Hashable, Comparable, Sendable, BitwiseCopyable {
    /// The address as a number, in bytes from the start of the space.
    public var rawValue: UInt64

    /// The address with the given number.
    @inlinable
    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// The address with the given number.
    @inlinable
    public init(_ value: UInt64) {
        rawValue = value
    }

    /// The lowest address, 0.
    @inlinable
    public static var min: IOVA { IOVA(0) }

    /// The highest address, 2^64 - 1.
    @inlinable
    public static var max: IOVA { IOVA(.max) }

    /// The order of the space.
    @inlinable
    public static func < (lhs: IOVA, rhs: IOVA) -> Bool {
        lhs.rawValue < rhs.rawValue
    }

    /// The address `byteCount` bytes further up, or nil if that is beyond the end of the space.
    @inlinable
    public func advanced(by byteCount: UInt64) -> IOVA? {
        let (sum, overflow) = rawValue.addingReportingOverflow(byteCount)
        return overflow ? nil : IOVA(sum)
    }

    /// Whether the address is a multiple of `alignment`, a power of two in bytes.
    ///
    /// False for an alignment that is no power of two.
    @inlinable
    public func isAligned(to alignment: UInt64) -> Bool {
        alignment.nonzeroBitCount == 1 && rawValue & (alignment &- 1) == 0
    }
}

extension IOVA: CustomStringConvertible {
    /// The address in hexadecimal, `0x` in front.
    public var description: String {
        "0x" + String(rawValue, radix: 16)
    }
}
