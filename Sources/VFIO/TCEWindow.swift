import IOVASpace

/// A DMA window of an sPAPR IOMMU: I/O virtual addresses that can be mapped, in pages of one size.
public struct TCEWindow: Sendable, Hashable {
    /// The addresses.
    public let range: IOVARange
    /// The unit of mappings in it, in bytes; a power of two.
    public let pageSize: UInt64

    /// Describes a window.
    public init(_ range: IOVARange, pageSize: UInt64) {
        self.range = range
        self.pageSize = pageSize
    }
}

extension IOMMUInfo {
    /// Where memory can be mapped that lies at an address, and the unit that its place must be a multiple of.
    func places(for address: UInt64, _ byteCount: UInt64) -> (ranges: [IOVARange], unit: UInt64) {
        if windows.isEmpty { return (usableRanges, smallestPage) }
        let fitting = windows.filter { (address | byteCount) % $0.pageSize == 0 }
        return (
            fitting.map { $0.range }.sorted { $0.first < $1.first },
            fitting.map { $0.pageSize }.max() ?? smallestPage
        )
    }

    /// The unit of mappings in a range, in bytes; nil if not all of the range can be mapped.
    package func unit(in range: IOVARange) -> UInt64? {
        if windows.isEmpty {
            return usableRanges.contains { $0.contains(range) } ? smallestPage : nil
        }
        return windows.first { $0.range.contains(range) }?.pageSize
    }

    /// The unit of mappings at an address, in bytes.
    func unit(at iova: IOVA) -> UInt64 {
        windows.first { $0.range.contains(iova) }?.pageSize ?? smallestPage
    }
}
