/// How `DeviceBindIOMMUFD` binds.
public struct DeviceBindFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_DEVICE_BIND_FLAG_TOKEN`: `tokenUUID` points to the token that a virtual function asks for.
    @inlinable public static var token: DeviceBindFlags { DeviceBindFlags(rawValue: 1 << 0) }
}

/// `vfio_device_bind_iommufd`: the argument of `Request.deviceBindIOMMUFD`. Older headers end before
/// `tokenUUID`: 16 bytes, which is the smallest size.
public struct DeviceBindIOMMUFD: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: what is given.
    public var flags: DeviceBindFlags
    /// `iommufd`: the descriptor of the iommufd.
    public var iommufd: Int32
    /// `out_devid`: answer: the device's object number in the iommufd.
    public var deviceID: UInt32
    /// `token_uuid_ptr`: the process's address of the token, 16 bytes; for `DeviceBindFlags.token`.
    public var tokenUUID: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 16 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero, a descriptor −1.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: DeviceBindFlags = [],
        iommufd: Int32 = -1,
        deviceID: UInt32 = 0,
        tokenUUID: UInt64 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.iommufd = iommufd
        self.deviceID = deviceID
        self.tokenUUID = tokenUUID
    }
}

/// How `DeviceAttachIOMMUFDPageTable` attaches.
public struct DeviceAttachFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_DEVICE_ATTACH_PASID`: only the address space named by `pasid`.
    @inlinable public static var pasid: DeviceAttachFlags { DeviceAttachFlags(rawValue: 1 << 0) }
}

/// `vfio_device_attach_iommufd_pt`: the argument of `Request.deviceAttachIOMMUFD`. Older headers end before
/// `pasid`: 12 bytes, which is the smallest size.
public struct DeviceAttachIOMMUFDPageTable: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: what is given.
    public var flags: DeviceAttachFlags
    /// `pt_id`: the object to attach to, an IOAS or a page table; in the answer the page table that is used.
    public var pageTableID: UInt32
    /// `pasid`: the process address space number, with `DeviceAttachFlags.pasid`.
    public var pasid: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 12 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: DeviceAttachFlags = [],
        pageTableID: UInt32 = 0,
        pasid: UInt32 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.pageTableID = pageTableID
        self.pasid = pasid
    }
}

/// How `DeviceDetachIOMMUFDPageTable` detaches.
public struct DeviceDetachFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_DEVICE_DETACH_PASID`: only the address space named by `pasid`.
    @inlinable public static var pasid: DeviceDetachFlags { DeviceDetachFlags(rawValue: 1 << 0) }
}

/// `vfio_device_detach_iommufd_pt`: the argument of `Request.deviceDetachIOMMUFD`. Older headers end before
/// `pasid`: 8 bytes, which is the smallest size.
public struct DeviceDetachIOMMUFDPageTable: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: what is given.
    public var flags: DeviceDetachFlags
    /// `pasid`: the process address space number, with `DeviceDetachFlags.pasid`.
    public var pasid: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 8 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: DeviceDetachFlags = [],
        pasid: UInt32 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.pasid = pasid
    }
}
