/// A command of the vfio-user protocol, the second field of every message's header.
public struct UserCommand: RawRepresentable, Hashable, ABIValue {
    /// The number as the protocol has it; unknown ones are kept.
    public var rawValue: UInt16

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// `VFIO_USER_VERSION`: the first message: `UserVersion` and JSON.
    @inlinable public static var version: UserCommand { UserCommand(rawValue: 1) }

    /// `VFIO_USER_DMA_MAP`: `UserDMAMap`; the memory's descriptor comes along.
    @inlinable public static var dmaMap: UserCommand { UserCommand(rawValue: 2) }

    /// `VFIO_USER_DMA_UNMAP`: `UserDMAUnmap`.
    @inlinable public static var dmaUnmap: UserCommand { UserCommand(rawValue: 3) }

    /// `VFIO_USER_DEVICE_GET_INFO`: `UserDeviceInfo`.
    @inlinable public static var deviceGetInfo: UserCommand { UserCommand(rawValue: 4) }

    /// `VFIO_USER_DEVICE_GET_REGION_INFO`: `RegionInfo` and capabilities.
    @inlinable public static var deviceGetRegionInfo: UserCommand { UserCommand(rawValue: 5) }

    /// `VFIO_USER_DEVICE_GET_REGION_IO_FDS`: `UserRegionIOFDs`.
    @inlinable public static var deviceGetRegionIOFDs: UserCommand { UserCommand(rawValue: 6) }

    /// `VFIO_USER_DEVICE_GET_IRQ_INFO`: `IRQInfo`.
    @inlinable public static var deviceGetIRQInfo: UserCommand { UserCommand(rawValue: 7) }

    /// `VFIO_USER_DEVICE_SET_IRQS`: `IRQSet`; eventfds come along as descriptors, not as numbers.
    @inlinable public static var deviceSetIRQs: UserCommand { UserCommand(rawValue: 8) }

    /// `VFIO_USER_REGION_READ`: `UserRegionAccess`; the answer has the data behind it.
    @inlinable public static var regionRead: UserCommand { UserCommand(rawValue: 9) }

    /// `VFIO_USER_REGION_WRITE`: `UserRegionAccess` and the data.
    @inlinable public static var regionWrite: UserCommand { UserCommand(rawValue: 10) }

    /// `VFIO_USER_DMA_READ`, from the server to the client: `UserDMAAccess`.
    @inlinable public static var dmaRead: UserCommand { UserCommand(rawValue: 11) }

    /// `VFIO_USER_DMA_WRITE`, from the server to the client: `UserDMAAccess` and the data.
    @inlinable public static var dmaWrite: UserCommand { UserCommand(rawValue: 12) }

    /// `VFIO_USER_DEVICE_RESET`: a bare header.
    @inlinable public static var deviceReset: UserCommand { UserCommand(rawValue: 13) }

    /// `VFIO_USER_REGION_WRITE_MULTI`: `UserRegionWriteMulti`, followed by `UserRegionWrite` records.
    @inlinable public static var regionWriteMulti: UserCommand { UserCommand(rawValue: 15) }

    /// `VFIO_USER_DEVICE_FEATURE`: `DeviceFeature` and the feature's data.
    @inlinable public static var deviceFeature: UserCommand { UserCommand(rawValue: 16) }

    /// `VFIO_USER_MIG_DATA_READ`: `UserMigrationData`.
    @inlinable public static var migrationDataRead: UserCommand { UserCommand(rawValue: 17) }

    /// `VFIO_USER_MIG_DATA_WRITE`: `UserMigrationData` and the data.
    @inlinable public static var migrationDataWrite: UserCommand { UserCommand(rawValue: 18) }
}

/// What kind of message it is: the `flags` of every message's header.
public struct UserMessageFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the protocol has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_USER_F_TYPE_REPLY`: an answer; a message without it is a command.
    @inlinable public static var reply: UserMessageFlags { UserMessageFlags(rawValue: 1) }

    /// `VFIO_USER_F_TYPE_MASK`: the bits that tell a command (0) from a reply (1).
    @inlinable public static var typeMask: UserMessageFlags { UserMessageFlags(rawValue: 0x0F) }

    /// `VFIO_USER_F_NO_REPLY`: the sender of the command doesn't want an answer, not even an error.
    @inlinable public static var noReply: UserMessageFlags { UserMessageFlags(rawValue: 0x10) }

    /// `VFIO_USER_F_ERROR`: a reply that tells of a failure.
    @inlinable public static var error: UserMessageFlags { UserMessageFlags(rawValue: 0x20) }
}

/// `vfio_user_header`: the 16 bytes that every message of the vfio-user protocol begins with.
public struct UserMessageHeader: ABIValue, Equatable {
    /// `msg_id`: chosen by the sender of a command; the reply has the same.
    public var id: UInt16
    /// `cmd`: the command; a reply repeats it.
    public var command: UserCommand
    /// `msg_size`: the bytes of the whole message, this header included.
    public var messageSize: UInt32
    /// `flags`: what kind of message it is.
    public var flags: UserMessageFlags
    /// `error_no`: the positive errno of a failed command, in a reply with `UserMessageFlags.error`.
    public var error: UInt32

    /// The header's own size in bytes.
    @inlinable public static var size: Int { 16 }

    /// Makes the structure; what is not given is zero, and the message is a bare header.
    @inlinable
    public init(
        id: UInt16 = 0,
        command: UserCommand = UserCommand(rawValue: 0),
        messageSize: UInt32 = 16,
        flags: UserMessageFlags = [],
        error: UInt32 = 0
    ) {
        self.id = id
        self.command = command
        self.messageSize = messageSize
        self.flags = flags
        self.error = error
    }

    /// Whether the message is an answer.
    @inlinable public var isReply: Bool { flags.rawValue & UserMessageFlags.typeMask.rawValue == 1 }

    /// Whether the message is a command.
    @inlinable public var isCommand: Bool { flags.rawValue & UserMessageFlags.typeMask.rawValue == 0 }
}

/// `vfio_user_version`: the fixed part of `UserCommand.version`, command and reply. A JSON text with a final NUL
/// may follow.
public struct UserVersion: ABIValue, Equatable {
    /// `major`: 0 today.
    public var major: UInt16
    /// `minor`: a reply has the lower one of both sides.
    public var minor: UInt16

    /// Makes the structure.
    @inlinable
    public init(major: UInt16 = 0, minor: UInt16 = 0) {
        self.major = major
        self.minor = minor
    }
}
