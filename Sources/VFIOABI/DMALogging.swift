/// `vfio_device_feature_dma_logging_range`: a range of IOVAs whose writes the device logs.
public struct DMALoggingRange: ABIValue, Equatable {
    /// `iova`: the first IOVA.
    public var iova: UInt64
    /// `length`: bytes.
    public var length: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        iova: UInt64 = 0,
        length: UInt64 = 0
    ) {
        self.iova = iova
        self.length = length
    }
}

/// `vfio_device_feature_dma_logging_control`: payload of `Feature.dmaLoggingStart`.
public struct DMALoggingControl: ABIValue, Equatable {
    /// `page_size`: the bytes of a page, a hint; in the answer what the device uses.
    public var pageSize: UInt64
    /// `num_ranges`: the number of ranges.
    public var rangeCount: UInt32
    /// `__reserved`: zero.
    public var reserved: UInt32
    /// `ranges`: the process's address of an array of `DMALoggingRange`.
    public var ranges: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        pageSize: UInt64 = 0,
        rangeCount: UInt32 = 0,
        reserved: UInt32 = 0,
        ranges: UInt64 = 0
    ) {
        self.pageSize = pageSize
        self.rangeCount = rangeCount
        self.reserved = reserved
        self.ranges = ranges
    }
}

/// `vfio_device_feature_dma_logging_report`: payload of `Feature.dmaLoggingReport`. Bits are set, never
/// cleared.
public struct DMALoggingReport: ABIValue, Equatable {
    /// `iova`: the first IOVA.
    public var iova: UInt64
    /// `length`: bytes.
    public var length: UInt64
    /// `page_size`: the bytes that one bit stands for.
    public var pageSize: UInt64
    /// `bitmap`: the process's address of the bitmap, an array of 64-bit words.
    public var bitmap: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        iova: UInt64 = 0,
        length: UInt64 = 0,
        pageSize: UInt64 = 0,
        bitmap: UInt64 = 0
    ) {
        self.iova = iova
        self.length = length
        self.pageSize = pageSize
        self.bitmap = bitmap
    }
}
