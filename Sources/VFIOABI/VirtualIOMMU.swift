/// A kind of virtual IOMMU.
public struct VIOMMUType: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_VIOMMU_TYPE_DEFAULT`: none; reserved.
    @inlinable public static var `default`: VIOMMUType { VIOMMUType(rawValue: 0) }

    /// `IOMMU_VIOMMU_TYPE_ARM_SMMUV3`: an SMMUv3.
    @inlinable public static var armSMMUv3: VIOMMUType { VIOMMUType(rawValue: 1) }

    /// `IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV`: an SMMUv3 with the Tegra241's command queues;
    /// `VIOMMUTegra241CMDQV`.
    @inlinable public static var tegra241CMDQV: VIOMMUType { VIOMMUType(rawValue: 2) }
}

/// `iommu_viommu_alloc`: the argument of `Request.viommuAlloc`: makes a virtual IOMMU.
public struct VIOMMUAlloc: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `flags`: zero; none are defined.
    public var flags: UInt32
    /// `type`: the kind.
    public var type: VIOMMUType
    /// `dev_id`: a device behind the real IOMMU.
    public var deviceID: UInt32
    /// `hwpt_id`: the nesting parent.
    public var hwptID: UInt32
    /// `out_viommu_id`: answer: the new object's number.
    public var viommuID: UInt32
    /// `data_len`: bytes of what the kind wants to know.
    public var dataLength: UInt32
    /// `__reserved`: zero.
    public var reserved: UInt32
    /// `data_uptr`: the process's address of it.
    public var dataAddress: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 24 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: UInt32 = 0,
        type: VIOMMUType = VIOMMUType(rawValue: 0),
        deviceID: UInt32 = 0,
        hwptID: UInt32 = 0,
        viommuID: UInt32 = 0,
        dataLength: UInt32 = 0,
        reserved: UInt32 = 0,
        dataAddress: UInt64 = 0
    ) {
        self.size = size
        self.flags = flags
        self.type = type
        self.deviceID = deviceID
        self.hwptID = hwptID
        self.viommuID = viommuID
        self.dataLength = dataLength
        self.reserved = reserved
        self.dataAddress = dataAddress
    }
}

/// `iommu_viommu_tegra241_cmdqv`: what `VIOMMUType.tegra241CMDQV` answers.
public struct VIOMMUTegra241CMDQV: ABIValue, Equatable {
    /// `out_vintf_mmap_offset`: answer: the offset to map the virtual interface at, in the iommufd.
    public var mmapOffset: UInt64
    /// `out_vintf_mmap_length`: answer: its bytes.
    public var mmapLength: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        mmapOffset: UInt64 = 0,
        mmapLength: UInt64 = 0
    ) {
        self.mmapOffset = mmapOffset
        self.mmapLength = mmapLength
    }
}

/// `iommu_vdevice_alloc`: the argument of `Request.vdeviceAlloc`: makes a device known to a virtual IOMMU.
public struct VDeviceAlloc: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `viommu_id`: the virtual IOMMU.
    public var viommuID: UInt32
    /// `dev_id`: the device.
    public var deviceID: UInt32
    /// `out_vdevice_id`: answer: the new object's number.
    public var vdeviceID: UInt32
    /// `virt_id`: the number that the virtual IOMMU knows it by.
    public var virtualID: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 24 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        viommuID: UInt32 = 0,
        deviceID: UInt32 = 0,
        vdeviceID: UInt32 = 0,
        virtualID: UInt64 = 0
    ) {
        self.size = size
        self.viommuID = viommuID
        self.deviceID = deviceID
        self.vdeviceID = vdeviceID
        self.virtualID = virtualID
    }
}

/// What `VEventHeader` says.
public struct VEventFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_VEVENTQ_FLAG_LOST_EVENTS`: events were lost; no event follows.
    @inlinable public static var lostEvents: VEventFlags { VEventFlags(rawValue: 1 << 0) }
}

/// `iommufd_vevent_header`: the head of an event, read from an event queue's descriptor.
public struct VEventHeader: ABIValue, Equatable {
    /// `flags`: what is true.
    public var flags: VEventFlags
    /// `sequence`: 0 to the largest `Int32`, then 0 again; a gap tells of lost events.
    public var sequence: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        flags: VEventFlags = [],
        sequence: UInt32 = 0
    ) {
        self.flags = flags
        self.sequence = sequence
    }
}

/// A kind of event queue.
public struct VEventQueueType: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_VEVENTQ_TYPE_DEFAULT`: none; reserved.
    @inlinable public static var `default`: VEventQueueType { VEventQueueType(rawValue: 0) }

    /// `IOMMU_VEVENTQ_TYPE_ARM_SMMUV3`: `VEventARMSMMUv3`.
    @inlinable public static var armSMMUv3: VEventQueueType { VEventQueueType(rawValue: 1) }

    /// `IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV`: `VEventTegra241CMDQV`.
    @inlinable public static var tegra241CMDQV: VEventQueueType { VEventQueueType(rawValue: 2) }
}

/// `iommu_vevent_arm_smmuv3`: an event of an SMMUv3.
public struct VEventARMSMMUv3: ABIValue, Equatable {
    /// `evt`: the event record's four words.
    public var event: InlineArray<4, UInt64>

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        event: InlineArray<4, UInt64> = InlineArray<4, UInt64>(repeating: 0)
    ) {
        self.event = event
    }

    /// Compares field by field.
    public static func == (left: Self, right: Self) -> Bool {
        sameElements(left.event, right.event)
    }
}

/// `iommu_vevent_tegra241_cmdqv`: an event of the Tegra241's command queues.
public struct VEventTegra241CMDQV: ABIValue, Equatable {
    /// `lvcmdq_err_map`: one bit for each logical queue that failed.
    public var errorMap: InlineArray<2, UInt64>

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        errorMap: InlineArray<2, UInt64> = InlineArray<2, UInt64>(repeating: 0)
    ) {
        self.errorMap = errorMap
    }

    /// Compares field by field.
    public static func == (left: Self, right: Self) -> Bool {
        sameElements(left.errorMap, right.errorMap)
    }
}

/// `iommu_veventq_alloc`: the argument of `Request.veventQueueAlloc`: makes an event queue.
public struct VEventQueueAlloc: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `flags`: zero; none are defined.
    public var flags: UInt32
    /// `viommu_id`: the virtual IOMMU.
    public var viommuID: UInt32
    /// `type`: the kind.
    public var type: VEventQueueType
    /// `veventq_depth`: the most events that wait.
    public var depth: UInt32
    /// `out_veventq_id`: answer: the new object's number.
    public var queueID: UInt32
    /// `out_veventq_fd`: answer: its descriptor.
    public var queueFD: UInt32
    /// `__reserved`: zero.
    public var reserved: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 28 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: UInt32 = 0,
        viommuID: UInt32 = 0,
        type: VEventQueueType = VEventQueueType(rawValue: 0),
        depth: UInt32 = 0,
        queueID: UInt32 = 0,
        queueFD: UInt32 = 0,
        reserved: UInt32 = 0
    ) {
        self.size = size
        self.flags = flags
        self.viommuID = viommuID
        self.type = type
        self.depth = depth
        self.queueID = queueID
        self.queueFD = queueFD
        self.reserved = reserved
    }
}

/// A kind of hardware queue.
public struct HWQueueType: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_HW_QUEUE_TYPE_DEFAULT`: none; reserved.
    @inlinable public static var `default`: HWQueueType { HWQueueType(rawValue: 0) }

    /// `IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV`: a virtual command queue of the Tegra241.
    @inlinable public static var tegra241CMDQV: HWQueueType { HWQueueType(rawValue: 1) }
}

/// `iommu_hw_queue_alloc`: the argument of `Request.hwQueueAlloc`: gives a guest a queue of the real IOMMU.
public struct HWQueueAlloc: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `flags`: zero; none are defined.
    public var flags: UInt32
    /// `viommu_id`: the virtual IOMMU.
    public var viommuID: UInt32
    /// `type`: the kind.
    public var type: HWQueueType
    /// `index`: which of the virtual IOMMU's queues.
    public var index: UInt32
    /// `out_hw_queue_id`: answer: the new object's number.
    public var hwQueueID: UInt32
    /// `nesting_parent_iova`: where the queue's memory is, in the nesting parent.
    public var nestingParentIOVA: UInt64
    /// `length`: its bytes.
    public var length: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 40 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: UInt32 = 0,
        viommuID: UInt32 = 0,
        type: HWQueueType = HWQueueType(rawValue: 0),
        index: UInt32 = 0,
        hwQueueID: UInt32 = 0,
        nestingParentIOVA: UInt64 = 0,
        length: UInt64 = 0
    ) {
        self.size = size
        self.flags = flags
        self.viommuID = viommuID
        self.type = type
        self.index = index
        self.hwQueueID = hwQueueID
        self.nestingParentIOVA = nestingParentIOVA
        self.length = length
    }
}
