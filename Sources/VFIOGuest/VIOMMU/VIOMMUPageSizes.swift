/// Sizes of pages, as a mask: bit n stands for pages of 2^n bytes (the way `iova_pgsizes` of
/// `VFIO_IOMMU_GET_INFO` tells them).
public struct VIOMMUPageSizes: OptionSet, Hashable, Sendable, CustomStringConvertible {
    /// The mask.
    public let rawValue: UInt64
    /// Wraps a mask.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// 4 KiB
    public static let kib4 = VIOMMUPageSizes(rawValue: 1 << 12)
    /// 2 MiB
    public static let mib2 = VIOMMUPageSizes(rawValue: 1 << 21)
    /// 1 GiB
    public static let gib1 = VIOMMUPageSizes(rawValue: 1 << 30)

    /// The smallest of the sizes in bytes; nil if there is none.
    public var smallest: UInt64? { isEmpty ? nil : 1 << UInt64(rawValue.trailingZeroBitCount) }

    /// The sizes of this mask that are whole pages of `byteCount` bytes: those from there on.
    public func atLeast(_ byteCount: UInt64) -> VIOMMUPageSizes {
        guard byteCount > 1 else { return self }
        return VIOMMUPageSizes(
            rawValue: rawValue & ~((1 << UInt64(64 - (byteCount - 1).leadingZeroBitCount)) &- 1))
    }

    /// The mask in hexadecimal.
    public var description: String { "0x" + String(rawValue, radix: 16) }
}
