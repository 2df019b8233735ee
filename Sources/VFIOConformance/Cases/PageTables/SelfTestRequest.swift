import VFIOABI

/// `struct iommu_test_cmd`: the request that kernels have which are built to test themselves
/// (`CONFIG_IOMMUFD_TEST`). With it, devices can be had that don't exist, behind an IOMMU that can everything.
struct SelfTestRequest: BitwiseCopyable {
    var size = UInt32(72)
    var operation: UInt32
    var id: UInt32
    private var reserved = UInt32(0)
    /// What belongs to the operation: eight bytes each.
    var words: InlineArray<6, UInt64> = InlineArray(repeating: 0)
    private var last = UInt32(0)
    private var padding = UInt32(0)

    /// `IOMMU_TEST_CMD`
    static let request = Request(type: 0x3b, number: 0xa0)

    private init(operation: UInt32, id: UInt32) {
        self.operation = operation
        self.id = id
    }

    /// `IOMMU_TEST_OP_MOCK_DOMAIN` or, with flags, `IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS`: makes a device, attached to an
    /// address space.
    static func makeDevice(in ioas: UInt32, tracksDirtyPages: Bool = true) -> SelfTestRequest {
        var request = SelfTestRequest(operation: tracksDirtyPages ? 2 : 12, id: ioas)
        // `MOCK_FLAGS_DEVICE_NO_DIRTY`
        if !tracksDirtyPages { request.words[1] = 1 << 32 }
        return request
    }

    /// The number of the device that was made, as tests go by.
    var testDevice: UInt32 { UInt32(truncatingIfNeeded: words[0]) }
    /// The number of the device that was made, as everybody else goes by.
    var device: UInt32 { UInt32(truncatingIfNeeded: words[1]) }

    /// `IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE`: attaches a device to something else.
    static func attach(testDevice: UInt32, to id: UInt32) -> SelfTestRequest {
        var request = SelfTestRequest(operation: 10, id: testDevice)
        request.words[0] = UInt64(id)
        return request
    }

    /// `IOMMU_TEST_OP_DIRTY`: says that a page was written through a page table.
    static func write(through table: UInt32, at iova: UInt64, page: UInt64, bits: UInt64) -> SelfTestRequest {
        var request = SelfTestRequest(operation: 13, id: table)
        request.words[1] = iova
        request.words[2] = page
        request.words[3] = page
        request.words[4] = bits
        return request
    }
}
