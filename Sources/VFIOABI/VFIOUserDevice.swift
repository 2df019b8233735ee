/// `vfio_user_device_info`: question and answer of `UserCommand.deviceGetInfo`: the first 16 bytes of
/// `DeviceInfo`, without capabilities.
public struct UserDeviceInfo: SizePrefixed, Equatable {
    /// `argsz`: the size that the asker has room for, in bytes.
    public var argsz: UInt32
    /// `flags`: what is true of the device.
    public var flags: DeviceFlags
    /// `num_regions`: the number of regions.
    public var regionCount: UInt32
    /// `num_irqs`: the number of interrupt indices.
    public var irqCount: UInt32

    /// The smallest size, in bytes, that is accepted in `argsz`.
    @inlinable public static var minimumSize: Int { 16 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: DeviceFlags = [],
        regionCount: UInt32 = 0,
        irqCount: UInt32 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.regionCount = regionCount
        self.irqCount = irqCount
    }
}

/// `vfio_user_region_access`: the fixed part of `UserCommand.regionRead` and `UserCommand.regionWrite`, command
/// and reply.
public struct UserRegionAccess: ABIValue, Equatable {
    /// `offset`: where in the region, in bytes.
    public var offset: UInt64
    /// `region`: the region's index.
    public var region: UInt32
    /// `count`: how many bytes.
    public var count: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        offset: UInt64 = 0,
        region: UInt32 = 0,
        count: UInt32 = 0
    ) {
        self.offset = offset
        self.region = region
        self.count = count
    }
}

/// `vfio_user_region_write_multi`: the fixed part of `UserCommand.regionWriteMulti`; records of `UserRegionWrite`
/// follow a command, nothing follows a reply.
public struct UserRegionWriteMulti: ABIValue, Equatable {
    /// `wr_cnt`: the number of writes.
    public var writeCount: UInt64

    /// Makes the structure.
    @inlinable public init(writeCount: UInt64 = 0) { self.writeCount = writeCount }
}

/// `vfio_user_write_multi` record: one of several small writes.
public struct UserRegionWrite: ABIValue, Equatable {
    /// `offset`, `region`, `count`: where; at most 8 bytes.
    public var access: UserRegionAccess
    /// `data`: the bytes, the first one lowest.
    public var data: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(access: UserRegionAccess = UserRegionAccess(), data: UInt64 = 0) {
        self.access = access
        self.data = data
    }
}

/// `vfio_user_region_io_fds`: the fixed part of `UserCommand.deviceGetRegionIOFDs`; a reply has records of
/// `UserRegionIOFD` behind it where `argsz` has room.
public struct UserRegionIOFDs: SizePrefixed, Equatable {
    /// `argsz`: the size that the asker has room for; in a reply the size needed.
    public var argsz: UInt32
    /// `flags`: zero.
    public var flags: UInt32
    /// `index`: the region.
    public var index: UInt32
    /// `count`: the number of records.
    public var count: UInt32

    /// The smallest size, in bytes, that is accepted in `argsz`.
    @inlinable public static var minimumSize: Int { 16 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: UInt32 = 0,
        index: UInt32 = 0,
        count: UInt32 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.index = index
        self.count = count
    }
}

/// `vfio_user_sub_region_ioeventfd`, 48 bytes as libvfio-user has it: a part of a region whose writes go to an
/// eventfd.
public struct UserRegionIOFD: ABIValue, Equatable {
    /// `gpa_offset`: where in the region, in bytes.
    public var offset: UInt64
    /// `size`: how many bytes.
    public var size: UInt64
    /// `fd_index`: which of the message's descriptors.
    public var descriptorIndex: UInt32
    /// `type`: 0 an ioeventfd, 1 an ioregionfd, 2 an ioeventfd with a shadow.
    public var type: UInt32
    /// `flags`: as `KVM_IOEVENTFD` has them.
    public var flags: UInt32
    /// `shadow_mem_fd_index`: which descriptor is the shadow's memory.
    public var shadowDescriptorIndex: UInt32
    /// `shadow_offset`: where in that memory.
    public var shadowOffset: UInt64
    /// `datamatch`: the value that a write must have.
    public var dataMatch: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        offset: UInt64 = 0,
        size: UInt64 = 0,
        descriptorIndex: UInt32 = 0,
        type: UInt32 = 0,
        flags: UInt32 = 0,
        shadowDescriptorIndex: UInt32 = 0,
        shadowOffset: UInt64 = 0,
        dataMatch: UInt64 = 0
    ) {
        self.offset = offset
        self.size = size
        self.descriptorIndex = descriptorIndex
        self.type = type
        self.flags = flags
        self.shadowDescriptorIndex = shadowDescriptorIndex
        self.shadowOffset = shadowOffset
        self.dataMatch = dataMatch
    }
}

/// `vfio_user_mig_data`: the fixed part of `UserCommand.migrationDataRead` and
/// `UserCommand.migrationDataWrite`; the data follows.
public struct UserMigrationData: SizePrefixed, Equatable {
    /// `argsz`: the size of this structure and the data, in bytes.
    public var argsz: UInt32
    /// `size`: the bytes of data.
    public var size: UInt32

    /// The smallest size, in bytes, that is accepted in `argsz`.
    @inlinable public static var minimumSize: Int { 8 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        size: UInt32 = 0
    ) {
        self.argsz = argsz
        self.size = size
    }
}
