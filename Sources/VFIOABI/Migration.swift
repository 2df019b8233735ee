/// How a device can be migrated.
public struct MigrationFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt64

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// `VFIO_MIGRATION_STOP_COPY`: it can be stopped and copied; every migratable device can.
    @inlinable public static var stopCopy: MigrationFlags { MigrationFlags(rawValue: 1 << 0) }

    /// `VFIO_MIGRATION_P2P`: it has the states in which it starts no peer-to-peer DMA.
    @inlinable public static var p2p: MigrationFlags { MigrationFlags(rawValue: 1 << 1) }

    /// `VFIO_MIGRATION_PRE_COPY`: it can be copied while it runs.
    @inlinable public static var preCopy: MigrationFlags { MigrationFlags(rawValue: 1 << 2) }
}

/// `vfio_device_feature_migration`: payload of `Feature.migration`.
public struct MigrationFeature: ABIValue, Equatable {
    /// `flags`: how.
    public var flags: MigrationFlags

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        flags: MigrationFlags = []
    ) {
        self.flags = flags
    }
}

/// A state of a device in migration.
public struct MigrationState: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_DEVICE_STATE_ERROR`: unusable until it is reset.
    @inlinable public static var error: MigrationState { MigrationState(rawValue: 0) }

    /// `VFIO_DEVICE_STATE_STOP`: nothing moves.
    @inlinable public static var stop: MigrationState { MigrationState(rawValue: 1) }

    /// `VFIO_DEVICE_STATE_RUNNING`: it works.
    @inlinable public static var running: MigrationState { MigrationState(rawValue: 2) }

    /// `VFIO_DEVICE_STATE_STOP_COPY`: stopped, and its final state is read.
    @inlinable public static var stopCopy: MigrationState { MigrationState(rawValue: 3) }

    /// `VFIO_DEVICE_STATE_RESUMING`: stopped, and its state is written.
    @inlinable public static var resuming: MigrationState { MigrationState(rawValue: 4) }

    /// `VFIO_DEVICE_STATE_RUNNING_P2P`: it works but starts no peer-to-peer DMA.
    @inlinable public static var runningP2P: MigrationState { MigrationState(rawValue: 5) }

    /// `VFIO_DEVICE_STATE_PRE_COPY`: it works, and its state is read.
    @inlinable public static var preCopy: MigrationState { MigrationState(rawValue: 6) }

    /// `VFIO_DEVICE_STATE_PRE_COPY_P2P`: as `preCopy`, but it starts no peer-to-peer DMA.
    @inlinable public static var preCopyP2P: MigrationState { MigrationState(rawValue: 7) }

    /// `VFIO_DEVICE_STATE_NR`: the number of states.
    @inlinable public static var count: UInt32 { 8 }
}

/// `vfio_device_feature_mig_state`: payload of `Feature.migrationDeviceState`.
public struct MigrationStateFeature: ABIValue, Equatable {
    /// `device_state`: the state to go to, or the answer.
    public var deviceState: MigrationState
    /// `data_fd`: answer: the descriptor to read or write the device's state through, −1 where there is
    /// none.
    public var dataFD: Int32

    /// Makes the structure; what is not given is zero, a descriptor −1.
    @inlinable
    public init(
        deviceState: MigrationState = MigrationState(rawValue: 0),
        dataFD: Int32 = -1
    ) {
        self.deviceState = deviceState
        self.dataFD = dataFD
    }
}

/// `vfio_device_feature_mig_data_size`: payload of `Feature.migrationDataSize`.
public struct MigrationDataSize: ABIValue, Equatable {
    /// `stop_copy_length`: an estimate of the bytes to come in `MigrationState.stopCopy`.
    public var stopCopyLength: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        stopCopyLength: UInt64 = 0
    ) {
        self.stopCopyLength = stopCopyLength
    }
}

/// What `PrecopyInfo` says once `Feature.migrationPrecopyInfoV2` is on.
public struct PrecopyInfoFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_PRECOPY_INFO_REINIT`: the initial bytes were armed again: take them as fresh.
    @inlinable public static var reinit: PrecopyInfoFlags { PrecopyInfoFlags(rawValue: 1 << 0) }
}

/// `vfio_precopy_info`: question and answer of `Request.migrationGetPrecopyInfo`.
public struct PrecopyInfo: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: answer, where that is switched on.
    public var flags: PrecopyInfoFlags
    /// `initial_bytes`: answer: bytes that should be moved before the device stops.
    public var initialBytes: UInt64
    /// `dirty_bytes`: answer: an estimate of the bytes changed since.
    public var dirtyBytes: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 24 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: PrecopyInfoFlags = [],
        initialBytes: UInt64 = 0,
        dirtyBytes: UInt64 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.initialBytes = initialBytes
        self.dirtyBytes = dirtyBytes
    }
}

/// The state of a device in version 1 of migration; gone from Linux since 5.18.
public struct LegacyMigrationState: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_DEVICE_STATE_V1_STOP`: no bit: stopped.
    @inlinable public static var stop: LegacyMigrationState { LegacyMigrationState(rawValue: 0) }

    /// `VFIO_DEVICE_STATE_V1_RUNNING`: it works.
    @inlinable public static var running: LegacyMigrationState { LegacyMigrationState(rawValue: 1 << 0) }

    /// `VFIO_DEVICE_STATE_V1_SAVING`: its state is read.
    @inlinable public static var saving: LegacyMigrationState { LegacyMigrationState(rawValue: 1 << 1) }

    /// `VFIO_DEVICE_STATE_V1_RESUMING`: its state is written.
    @inlinable public static var resuming: LegacyMigrationState { LegacyMigrationState(rawValue: 1 << 2) }

    /// `VFIO_DEVICE_STATE_MASK`: the bits that say the state; the others are to be kept.
    @inlinable public static var mask: LegacyMigrationState { LegacyMigrationState(rawValue: 0x07) }

    /// Whether the state bits are a state: neither an impossible combination nor `isError`.
    @inlinable public var isValid: Bool { rawValue & 0x07 <= 4 }

    /// Whether the device says that it failed and needs a reset: saving and resuming at once.
    @inlinable public var isError: Bool { rawValue & 0x07 == 6 }
}

/// `vfio_device_migration_info`: the registers at the start of the region of version 1 of migration.
public struct LegacyMigrationInfo: ABIValue, Equatable {
    /// `device_state`: the state.
    public var deviceState: LegacyMigrationState
    /// `reserved`: not to be touched.
    public var reserved: UInt32
    /// `pending_bytes`: bytes still to be saved.
    public var pendingBytes: UInt64
    /// `data_offset`: where the data is in the region, in bytes.
    public var dataOffset: UInt64
    /// `data_size`: its size in bytes.
    public var dataSize: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        deviceState: LegacyMigrationState = LegacyMigrationState(rawValue: 0),
        reserved: UInt32 = 0,
        pendingBytes: UInt64 = 0,
        dataOffset: UInt64 = 0,
        dataSize: UInt64 = 0
    ) {
        self.deviceState = deviceState
        self.reserved = reserved
        self.pendingBytes = pendingBytes
        self.dataOffset = dataOffset
        self.dataSize = dataSize
    }
}
