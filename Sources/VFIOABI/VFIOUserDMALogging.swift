/// `vfio_user_device_feature_dma_logging_control`: payload of `Feature.dmaLoggingStart` in
/// `UserCommand.deviceFeature`; `rangeCount` records of `DMALoggingRange` follow.
public struct UserDMALoggingControl: ABIValue, Equatable {
    /// `page_size`: the bytes of a page.
    public var pageSize: UInt64
    /// `num_ranges`: the number of ranges.
    public var rangeCount: UInt32
    /// `reserved`: zero.
    public var reserved: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(pageSize: UInt64 = 0, rangeCount: UInt32 = 0, reserved: UInt32 = 0) {
        self.pageSize = pageSize
        self.rangeCount = rangeCount
        self.reserved = reserved
    }
}

/// `vfio_user_device_feature_dma_logging_report`: payload of `Feature.dmaLoggingReport` in
/// `UserCommand.deviceFeature`; the reply has the bitmap behind it, in 64-bit words.
public struct UserDMALoggingReport: ABIValue, Equatable {
    /// `iova`: the first IOVA.
    public var iova: UInt64
    /// `length`: bytes.
    public var length: UInt64
    /// `page_size`: the bytes that one bit stands for.
    public var pageSize: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(iova: UInt64 = 0, length: UInt64 = 0, pageSize: UInt64 = 0) {
        self.iova = iova
        self.length = length
        self.pageSize = pageSize
    }
}
