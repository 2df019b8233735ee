/// What `PageFault` says.
public struct PageFaultFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_PGFAULT_FLAGS_PASID_VALID`: `pasid` counts.
    @inlinable public static var pasidValid: PageFaultFlags { PageFaultFlags(rawValue: 1 << 0) }

    /// `IOMMU_PGFAULT_FLAGS_LAST_PAGE`: the last of its group: it wants a response.
    @inlinable public static var lastPage: PageFaultFlags { PageFaultFlags(rawValue: 1 << 1) }
}

/// What a faulting access wanted to do.
public struct PageFaultPermissions: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_PGFAULT_PERM_READ`: read.
    @inlinable public static var read: PageFaultPermissions { PageFaultPermissions(rawValue: 1 << 0) }

    /// `IOMMU_PGFAULT_PERM_WRITE`: write.
    @inlinable public static var write: PageFaultPermissions { PageFaultPermissions(rawValue: 1 << 1) }

    /// `IOMMU_PGFAULT_PERM_EXEC`: fetch code.
    @inlinable public static var execute: PageFaultPermissions { PageFaultPermissions(rawValue: 1 << 2) }

    /// `IOMMU_PGFAULT_PERM_PRIV`: do so with privilege.
    @inlinable public static var privileged: PageFaultPermissions { PageFaultPermissions(rawValue: 1 << 3) }
}

/// `iommu_hwpt_pgfault`: a page fault, read from a fault queue's descriptor.
public struct PageFault: ABIValue, Equatable {
    /// `flags`: what counts.
    public var flags: PageFaultFlags
    /// `dev_id`: the device.
    public var deviceID: UInt32
    /// `pasid`: the process address space number.
    public var pasid: UInt32
    /// `grpid`: the group of page requests.
    public var groupIndex: UInt32
    /// `perm`: what it wanted to do.
    public var permissions: PageFaultPermissions
    /// `__reserved`: zero.
    public var reserved: UInt32
    /// `addr`: where.
    public var address: UInt64
    /// `length`: a hint how many bytes more will be wanted.
    public var length: UInt32
    /// `cookie`: what the response names it by.
    public var cookie: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        flags: PageFaultFlags = [],
        deviceID: UInt32 = 0,
        pasid: UInt32 = 0,
        groupIndex: UInt32 = 0,
        permissions: PageFaultPermissions = [],
        reserved: UInt32 = 0,
        address: UInt64 = 0,
        length: UInt32 = 0,
        cookie: UInt32 = 0
    ) {
        self.flags = flags
        self.deviceID = deviceID
        self.pasid = pasid
        self.groupIndex = groupIndex
        self.permissions = permissions
        self.reserved = reserved
        self.address = address
        self.length = length
        self.cookie = cookie
    }
}

/// The answer to a page fault.
public struct PageResponseCode: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMUFD_PAGE_RESP_SUCCESS`: the page is there now: try again.
    @inlinable public static var success: PageResponseCode { PageResponseCode(rawValue: 0) }

    /// `IOMMUFD_PAGE_RESP_INVALID`: there is no such page: stop.
    @inlinable public static var invalid: PageResponseCode { PageResponseCode(rawValue: 1) }
}

/// `iommu_hwpt_page_response`: the answer to a page fault, written to a fault queue's descriptor.
public struct PageResponse: ABIValue, Equatable {
    /// `cookie`: the fault's.
    public var cookie: UInt32
    /// `code`: the answer.
    public var code: PageResponseCode

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        cookie: UInt32 = 0,
        code: PageResponseCode = PageResponseCode(rawValue: 0)
    ) {
        self.cookie = cookie
        self.code = code
    }
}

/// `iommu_fault_alloc`: the argument of `Request.faultQueueAlloc`: makes a fault queue.
public struct FaultQueueAlloc: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `flags`: zero; none are defined.
    public var flags: UInt32
    /// `out_fault_id`: answer: the new object's number.
    public var faultID: UInt32
    /// `out_fault_fd`: answer: its descriptor.
    public var faultFD: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 16 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: UInt32 = 0,
        faultID: UInt32 = 0,
        faultFD: UInt32 = 0
    ) {
        self.size = size
        self.flags = flags
        self.faultID = faultID
        self.faultFD = faultFD
    }
}
