/// An I/O virtual address: an address as a device uses it, before an IOMMU translates it.
public struct IOVA: RawRepresentable, Equatable, Hashable, Comparable, Sendable {
    /// The address.
    public let rawValue: UInt64

    /// Wraps an address.
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Wraps an address.
    @inlinable public init(_ value: UInt64) { rawValue = value }

    /// Orders by address.
    @inlinable public static func < (a: IOVA, b: IOVA) -> Bool { a.rawValue < b.rawValue }

    /// The address `n` bytes further on, wrapping at 2^64.
    @inlinable public static func + (a: IOVA, n: UInt64) -> IOVA { IOVA(rawValue: a.rawValue &+ n) }
}
