/// A feature of a device, the low 16 bits of `DeviceFeature.flags`.
public struct Feature: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt16

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// `VFIO_DEVICE_FEATURE_PCI_VF_TOKEN`: set, 16 bytes: the token that virtual functions must show.
    @inlinable public static var pciVFToken: Feature { Feature(rawValue: 0) }

    /// `VFIO_DEVICE_FEATURE_MIGRATION`: get, `MigrationFeature`.
    @inlinable public static var migration: Feature { Feature(rawValue: 1) }

    /// `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`: get and set, `MigrationStateFeature`.
    @inlinable public static var migrationDeviceState: Feature { Feature(rawValue: 2) }

    /// `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY`: set, no payload.
    @inlinable public static var lowPowerEntry: Feature { Feature(rawValue: 3) }

    /// `VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP`: set, `LowPowerEntryWithWakeup`.
    @inlinable public static var lowPowerEntryWithWakeup: Feature { Feature(rawValue: 4) }

    /// `VFIO_DEVICE_FEATURE_LOW_POWER_EXIT`: set, no payload.
    @inlinable public static var lowPowerExit: Feature { Feature(rawValue: 5) }

    /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_START`: set, `DMALoggingControl`.
    @inlinable public static var dmaLoggingStart: Feature { Feature(rawValue: 6) }

    /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP`: set, no payload.
    @inlinable public static var dmaLoggingStop: Feature { Feature(rawValue: 7) }

    /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`: get, `DMALoggingReport`.
    @inlinable public static var dmaLoggingReport: Feature { Feature(rawValue: 8) }

    /// `VFIO_DEVICE_FEATURE_MIG_DATA_SIZE`: get, `MigrationDataSize`.
    @inlinable public static var migrationDataSize: Feature { Feature(rawValue: 9) }

    /// `VFIO_DEVICE_FEATURE_BUS_MASTER`: set, `BusMasterFeature`.
    @inlinable public static var busMaster: Feature { Feature(rawValue: 10) }

    /// `VFIO_DEVICE_FEATURE_DMA_BUF`: get, `DMABufFeature`.
    @inlinable public static var dmaBuf: Feature { Feature(rawValue: 11) }

    /// `VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2`: set, no payload: `PrecopyInfo.flags` becomes an answer.
    @inlinable public static var migrationPrecopyInfoV2: Feature { Feature(rawValue: 12) }
}

/// Which feature, and what to do with it.
public struct FeatureFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_DEVICE_FEATURE_MASK`: the bits that hold the feature.
    @inlinable public static var featureMask: FeatureFlags { FeatureFlags(rawValue: 0xFFFF) }

    /// `VFIO_DEVICE_FEATURE_GET`: get it.
    @inlinable public static var get: FeatureFlags { FeatureFlags(rawValue: 1 << 16) }

    /// `VFIO_DEVICE_FEATURE_SET`: set it.
    @inlinable public static var set: FeatureFlags { FeatureFlags(rawValue: 1 << 17) }

    /// `VFIO_DEVICE_FEATURE_PROBE`: only ask whether getting or setting is supported.
    @inlinable public static var probe: FeatureFlags { FeatureFlags(rawValue: 1 << 18) }

    /// A feature and what to do with it.
    @inlinable public init(_ feature: Feature, _ operation: FeatureFlags) {
        self.rawValue = UInt32(feature.rawValue) | operation.rawValue & ~0xFFFF
    }

    /// The feature: the low 16 bits.
    @inlinable public var feature: Feature { Feature(rawValue: UInt16(truncatingIfNeeded: rawValue)) }

    /// What to do with it: all but the low 16 bits.
    @inlinable public var operation: FeatureFlags { FeatureFlags(rawValue: rawValue & ~0xFFFF) }
}

/// `vfio_device_feature`: the head of the argument of `Request.deviceFeature`; the feature's payload follows
/// (`DeviceFeatureRequest`).
public struct DeviceFeature: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: the feature, and what to do.
    public var flags: FeatureFlags

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 8 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: FeatureFlags = []
    ) {
        self.argsz = argsz
        self.flags = flags
    }
}

/// A `vfio_device_feature` with the payload that follows it.
///
/// The payload starts at byte 8, so its alignment may be at most 8.
public struct DeviceFeatureRequest<Payload: ABIValue>: SizePrefixed {
    /// The head; its `argsz` is the size of head and payload.
    public var header: DeviceFeature
    /// The payload.
    public var payload: Payload

    /// Head and payload.
    @inlinable public static var minimumSize: Int {
        MemoryLayout<DeviceFeature>.size + MemoryLayout<Payload>.size
    }

    /// Makes a request about `feature` with its payload.
    @inlinable
    public init(_ feature: Feature, _ operation: FeatureFlags, _ payload: Payload) {
        self.header = DeviceFeature(
            argsz: UInt32(Self.minimumSize), flags: FeatureFlags(feature, operation))
        self.payload = payload
    }
}

/// `vfio_device_low_power_entry_with_wakeup`: payload of `Feature.lowPowerEntryWithWakeup`.
public struct LowPowerEntryWithWakeup: ABIValue, Equatable {
    /// `wakeup_eventfd`: the eventfd that is signalled when the device leaves low power by itself.
    public var wakeupEventFD: Int32
    /// `reserved`: zero.
    public var reserved: UInt32

    /// Makes the structure; what is not given is zero, a descriptor −1.
    @inlinable
    public init(
        wakeupEventFD: Int32 = -1,
        reserved: UInt32 = 0
    ) {
        self.wakeupEventFD = wakeupEventFD
        self.reserved = reserved
    }
}

/// What `BusMasterFeature` does.
public struct BusMasterOperation: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_DEVICE_FEATURE_CLEAR_MASTER`: the device may not start DMA.
    @inlinable public static var clear: BusMasterOperation { BusMasterOperation(rawValue: 0) }

    /// `VFIO_DEVICE_FEATURE_SET_MASTER`: the device may start DMA.
    @inlinable public static var set: BusMasterOperation { BusMasterOperation(rawValue: 1) }
}

/// `vfio_device_feature_bus_master`: payload of `Feature.busMaster`.
public struct BusMasterFeature: ABIValue, Equatable {
    /// `op`: what to do.
    public var operation: BusMasterOperation

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        operation: BusMasterOperation = BusMasterOperation(rawValue: 0)
    ) {
        self.operation = operation
    }
}

/// `vfio_region_dma_range`: a part of a region that `Feature.dmaBuf` exports.
public struct RegionDMARange: ABIValue, Equatable {
    /// `offset`: where it starts in the region, in bytes.
    public var offset: UInt64
    /// `length`: bytes.
    public var length: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        offset: UInt64 = 0,
        length: UInt64 = 0
    ) {
        self.offset = offset
        self.length = length
    }
}

/// `vfio_device_feature_dma_buf`: payload of `Feature.dmaBuf`; `rangeCount` records of `RegionDMARange`
/// follow. The request answers with the dma-buf's descriptor.
public struct DMABufFeature: ABIValue, Equatable {
    /// `region_index`: the region, a base address register.
    public var regionIndex: UInt32
    /// `open_flags`: the new descriptor's flags, as for `open`.
    public var openFlags: UInt32
    /// `flags`: zero; none are defined.
    public var flags: UInt32
    /// `nr_ranges`: the number of ranges.
    public var rangeCount: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        regionIndex: UInt32 = 0,
        openFlags: UInt32 = 0,
        flags: UInt32 = 0,
        rangeCount: UInt32 = 0
    ) {
        self.regionIndex = regionIndex
        self.openFlags = openFlags
        self.flags = flags
        self.rangeCount = rangeCount
    }
}
