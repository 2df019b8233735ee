/// One or more consecutive I/O virtual addresses, given by the first and the last one.
///
/// The last address belongs to the range: only so can a range end with the last page of the 64-bit space,
/// or be all of it. An empty range can't be expressed.
@frozen
public struct IOVARange: Hashable, Sendable, BitwiseCopyable {
    /// The lowest address of the range.
    public let first: IOVA

    /// The highest address of the range; never lower than ``first``.
    public let last: IOVA

    @inlinable
    init(unchecked first: UInt64, _ last: UInt64) {
        self.first = IOVA(first)
        self.last = IOVA(last)
    }

    /// The addresses from `first` up to and including `last`; nil if `last` is the lower one.
    @inlinable
    public init?(first: IOVA, last: IOVA) {
        guard first <= last else { return nil }
        self.first = first
        self.last = last
    }

    /// The `byteCount` addresses from `first` upwards.
    ///
    /// Nil if `byteCount` is 0 or the range would go beyond the end of the space.
    @inlinable
    public init?(_ first: IOVA, byteCount: UInt64) {
        guard byteCount > 0 else { return nil }
        let (end, overflow) = first.rawValue.addingReportingOverflow(byteCount &- 1)
        guard !overflow else { return nil }
        self.first = first
        self.last = IOVA(end)
    }

    /// Every address of the 64-bit space.
    @inlinable
    public static var all: IOVARange { IOVARange(unchecked: 0, .max) }

    /// The distance from the first to the last address: the number of bytes less one, exact for every range.
    @inlinable
    public var lastOffset: UInt64 {
        last.rawValue &- first.rawValue
    }

    /// The number of bytes in the range.
    ///
    /// The whole space has 2^64 bytes, one more than fits: it counts as `UInt64.max` here (``lastOffset`` is
    /// exact).
    @inlinable
    public var byteCount: UInt64 {
        let (count, overflow) = lastOffset.addingReportingOverflow(1)
        return overflow ? .max : count
    }

    /// Whether the address lies in the range.
    @inlinable
    public func contains(_ iova: IOVA) -> Bool {
        iova.rawValue &- first.rawValue <= lastOffset
    }

    /// Whether all of the other range lies in this one.
    @inlinable
    public func contains(_ other: IOVARange) -> Bool {
        first <= other.first && other.last <= last
    }

    /// Whether the ranges have an address in common.
    @inlinable
    public func overlaps(_ other: IOVARange) -> Bool {
        first <= other.last && other.first <= last
    }

    /// The addresses that both ranges have, or nil if there are none.
    @inlinable
    public func intersection(_ other: IOVARange) -> IOVARange? {
        IOVARange(first: Swift.max(first, other.first), last: Swift.min(last, other.last))
    }

    /// Whether the range starts and ends on multiples of `alignment`, a power of two in bytes.
    ///
    /// False for an alignment that is no power of two.
    @inlinable
    public func isAligned(to alignment: UInt64) -> Bool {
        first.isAligned(to: alignment) && (last.rawValue &+ 1) & (alignment &- 1) == 0
    }
}

extension IOVARange: CustomStringConvertible {
    /// The first and the last address in hexadecimal, such as `0x1000...0x1fff`.
    public var description: String {
        first.description + "..." + last.description
    }
}
