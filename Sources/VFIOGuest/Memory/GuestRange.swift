/// An address in one of a guest's address spaces: a guest-physical address, or one that a device of the guest uses.
@frozen public struct GuestAddress: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible
{
    /// The address.
    public let rawValue: UInt64

    /// Wraps an address.
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Wraps an address.
    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// Orders by address.
    @inlinable public static func < (a: GuestAddress, b: GuestAddress) -> Bool { a.rawValue < b.rawValue }

    /// "0x…"
    public var description: String { "0x" + String(rawValue, radix: 16) }
}

/// One or more consecutive guest addresses, given by the first and the last one, so that a range can end with the
/// last address of the 64-bit space, or be all of it. An empty range can't be expressed.
@frozen public struct GuestRange: Hashable, Sendable, CustomStringConvertible {
    /// The lowest address.
    public let first: GuestAddress
    /// The highest address; never lower than ``first``.
    public let last: GuestAddress

    @inlinable init(unchecked first: UInt64, _ last: UInt64) {
        self.first = GuestAddress(first)
        self.last = GuestAddress(last)
    }

    /// The addresses from `first` up to and including `last`; nil if `last` is the lower one.
    @inlinable public init?(first: GuestAddress, last: GuestAddress) {
        guard first <= last else { return nil }
        self.first = first
        self.last = last
    }

    /// The `byteCount` addresses from `first` on; nil if that is none, or goes beyond the end of the space.
    @inlinable public init?(_ first: GuestAddress, byteCount: UInt64) {
        guard byteCount > 0 else { return nil }
        let (last, overflow) = first.rawValue.addingReportingOverflow(byteCount - 1)
        guard !overflow else { return nil }
        self.init(unchecked: first.rawValue, last)
    }

    /// Every address of the 64-bit space.
    @inlinable public static var all: GuestRange { GuestRange(unchecked: 0, .max) }

    /// The number of bytes less one, exact for every range.
    @inlinable public var lastOffset: UInt64 { last.rawValue - first.rawValue }

    /// The number of bytes: up to 2^64.
    @inlinable public var byteCount: UInt128 { UInt128(lastOffset) + 1 }

    /// Whether an address lies in the range.
    @inlinable public func contains(_ address: GuestAddress) -> Bool { first <= address && address <= last }

    /// Whether all of another range lies in this one.
    @inlinable public func contains(_ other: GuestRange) -> Bool {
        first <= other.first && other.last <= last
    }

    /// Whether the ranges have an address in common.
    @inlinable public func overlaps(_ other: GuestRange) -> Bool {
        first <= other.last && other.first <= last
    }

    /// What both ranges have in common; nil if nothing.
    @inlinable public func intersection(_ other: GuestRange) -> GuestRange? {
        GuestRange(first: max(first, other.first), last: min(last, other.last))
    }

    /// "0x…...0x…"
    public var description: String { "\(first)...\(last)" }
}
