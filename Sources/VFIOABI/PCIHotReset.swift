/// Who owns a device of `PCIHotResetInfo`, seen from a device that was bound to an iommufd. Other values are
/// the device's object number in that iommufd.
public struct PCIDependentDeviceID: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_PCI_DEVID_OWNED`: the caller owns it through its group, so it has no number.
    @inlinable public static var owned: PCIDependentDeviceID { PCIDependentDeviceID(rawValue: 0) }

    /// `VFIO_PCI_DEVID_NOT_OWNED`: the caller doesn't own it (−1).
    @inlinable public static var notOwned: PCIDependentDeviceID { PCIDependentDeviceID(rawValue: UInt32.max) }
}

/// `vfio_pci_dependent_device`: a device that a hot reset would hit. Its first field is a union: a group's
/// number, or with `PCIHotResetFlags.deviceID` a device's.
public struct PCIDependentDevice: ABIValue, Equatable {
    /// `group_id`: the number of its group.
    public var groupID: UInt32
    /// `segment`: its PCI segment (domain).
    public var segment: UInt16
    /// `bus`: its bus.
    public var bus: UInt8
    /// `devfn`: device in bits 3 to 7, function in bits 0 to 2.
    public var deviceFunction: UInt8

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        groupID: UInt32 = 0,
        segment: UInt16 = 0,
        bus: UInt8 = 0,
        deviceFunction: UInt8 = 0
    ) {
        self.groupID = groupID
        self.segment = segment
        self.bus = bus
        self.deviceFunction = deviceFunction
    }

    /// `devid`: the same field as `groupID`, with `PCIHotResetFlags.deviceID`.
    @inlinable public var deviceID: PCIDependentDeviceID {
        get { PCIDependentDeviceID(rawValue: groupID) }
        set { groupID = newValue.rawValue }
    }
}

/// What `PCIHotResetInfo` says.
public struct PCIHotResetFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_PCI_HOT_RESET_FLAG_DEV_ID`: the records hold `PCIDependentDevice.deviceID`, not group numbers.
    @inlinable public static var deviceID: PCIHotResetFlags { PCIHotResetFlags(rawValue: 1 << 0) }

    /// `VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED`: the caller owns every device of the list.
    @inlinable public static var deviceIDOwned: PCIHotResetFlags { PCIHotResetFlags(rawValue: 1 << 1) }
}

/// `vfio_pci_hot_reset_info`: the head of question and answer of `Request.deviceGetPCIHotResetInfo`; `count`
/// records of `PCIDependentDevice` follow. With too little room the answer is ENOSPC and `count` says how
/// many there are.
public struct PCIHotResetInfo: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: answer: what the records hold.
    public var flags: PCIHotResetFlags
    /// `count`: answer: the number of records.
    public var count: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 12 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: PCIHotResetFlags = [],
        count: UInt32 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.count = count
    }
}

/// `vfio_pci_hot_reset`: the head of the argument of `Request.devicePCIHotReset`; `count` descriptors of
/// groups follow, each an `Int32`.
public struct PCIHotReset: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: zero; none are defined.
    public var flags: UInt32
    /// `count`: the number of descriptors; 0 for a device that was opened by itself.
    public var count: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 12 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: UInt32 = 0,
        count: UInt32 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.count = count
    }
}
