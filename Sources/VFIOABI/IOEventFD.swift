/// How wide the write of `DeviceIOEventFD` is: exactly one.
public struct DeviceIOEventFDFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_DEVICE_IOEVENTFD_8`: 8 bits.
    @inlinable public static var bits8: DeviceIOEventFDFlags { DeviceIOEventFDFlags(rawValue: 1 << 0) }

    /// `VFIO_DEVICE_IOEVENTFD_16`: 16 bits.
    @inlinable public static var bits16: DeviceIOEventFDFlags { DeviceIOEventFDFlags(rawValue: 1 << 1) }

    /// `VFIO_DEVICE_IOEVENTFD_32`: 32 bits.
    @inlinable public static var bits32: DeviceIOEventFDFlags { DeviceIOEventFDFlags(rawValue: 1 << 2) }

    /// `VFIO_DEVICE_IOEVENTFD_64`: 64 bits; Linux 7.2 refuses it.
    @inlinable public static var bits64: DeviceIOEventFDFlags { DeviceIOEventFDFlags(rawValue: 1 << 3) }

    /// `VFIO_DEVICE_IOEVENTFD_SIZE_MASK`: the bits that say how wide.
    @inlinable public static var sizeMask: DeviceIOEventFDFlags { DeviceIOEventFDFlags(rawValue: 0x0F) }

    /// The width in bytes; nil where not exactly one is named.
    @inlinable public var accessSize: Int? {
        switch rawValue & DeviceIOEventFDFlags.sizeMask.rawValue {
        case 1: 1
        case 2: 2
        case 4: 4
        case 8: 8
        default: nil
        }
    }
}

/// `vfio_device_ioeventfd`: the argument of `Request.deviceIOEventFD`: the kernel writes to a register
/// whenever an eventfd is signalled.
public struct DeviceIOEventFD: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: the width.
    public var flags: DeviceIOEventFDFlags
    /// `offset`: where to write, as an offset in the device's descriptor.
    public var offset: UInt64
    /// `data`: what to write.
    public var data: UInt64
    /// `fd`: the eventfd, −1 to remove.
    public var fd: Int32
    /// `reserved`: zero.
    public var reserved: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 28 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero, a descriptor −1.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: DeviceIOEventFDFlags = [],
        offset: UInt64 = 0,
        data: UInt64 = 0,
        fd: Int32 = -1,
        reserved: UInt32 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.offset = offset
        self.data = data
        self.fd = fd
        self.reserved = reserved
    }
}
