import IOVASpace

/// A range of I/O virtual addresses that the host's IOMMU translates, and in which page sizes.
public struct HostWindow: Hashable, Sendable, CustomStringConvertible {
    /// The addresses.
    public var range: IOVARange
    /// The page sizes in bytes, one bit each.
    public var pageSizes: UInt64

    /// Describes a window.
    public init(_ range: IOVARange, pageSizes: UInt64) {
        self.range = range
        self.pageSizes = pageSizes
    }

    /// The smallest page in bytes, the unit of every mapping.
    public var smallestPage: UInt64 { pageSizes & (~pageSizes &+ 1) }

    /// "0x…...0x…"
    public var description: String { "\(range)" }
}
