/// `vfio_device_info_cap_zpci_base`: capability `DeviceCapabilityID.zpciBase`: a PCI function of s390.
public struct ZPCIBaseCapability: ABIValue, Equatable {
    /// `header`: the capability's header.
    public var header: CapabilityHeader
    /// `start_dma`: the first address for DMA.
    public var startDMA: UInt64
    /// `end_dma`: the last address for DMA.
    public var endDMA: UInt64
    /// `pchid`: the physical channel's number.
    public var pchid: UInt16
    /// `vfn`: the virtual function's number.
    public var virtualFunction: UInt16
    /// `fmb_length`: bytes of a measurement block.
    public var fmbLength: UInt16
    /// `pft`: the kind of function.
    public var functionType: UInt8
    /// `gid`: the function's group.
    public var groupID: UInt8
    /// `fh`: the function's handle; since version 2.
    public var functionHandle: UInt32
    /// The room that C leaves at the end.
    @usableFromInline var padding: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        header: CapabilityHeader = CapabilityHeader(),
        startDMA: UInt64 = 0,
        endDMA: UInt64 = 0,
        pchid: UInt16 = 0,
        virtualFunction: UInt16 = 0,
        fmbLength: UInt16 = 0,
        functionType: UInt8 = 0,
        groupID: UInt8 = 0,
        functionHandle: UInt32 = 0
    ) {
        self.header = header
        self.startDMA = startDMA
        self.endDMA = endDMA
        self.pchid = pchid
        self.virtualFunction = virtualFunction
        self.fmbLength = fmbLength
        self.functionType = functionType
        self.groupID = groupID
        self.functionHandle = functionHandle
        self.padding = 0
    }
}

/// What `ZPCIGroupCapability` says.
public struct ZPCIGroupFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt64

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// `VFIO_DEVICE_INFO_ZPCI_FLAG_REFRESH`: translations must be refreshed before they are used.
    @inlinable public static var refresh: ZPCIGroupFlags { ZPCIGroupFlags(rawValue: 1 << 0) }
}

/// `vfio_device_info_cap_zpci_group`: capability `DeviceCapabilityID.zpciGroup`: a group of PCI functions of
/// s390.
public struct ZPCIGroupCapability: ABIValue, Equatable {
    /// `header`: the capability's header.
    public var header: CapabilityHeader
    /// `dasm`: the mask of DMA address spaces.
    public var dasm: UInt64
    /// `msi_addr`: the address for message-signalled interrupts.
    public var msiAddress: UInt64
    /// `flags`: what is true.
    public var flags: ZPCIGroupFlags
    /// `mui`: how often measurements are made.
    public var measurementInterval: UInt16
    /// `noi`: the most interrupts.
    public var interruptCount: UInt16
    /// `maxstbl`: the most bytes of a store block.
    public var maxStoreBlock: UInt16
    /// `version`: the version of the interface.
    public var version: UInt8
    /// `reserved`: zero.
    public var reserved: UInt8
    /// `imaxstbl`: the most bytes of an interpreted store block; since version 2.
    public var maxInterpretedStoreBlock: UInt16
    /// The room that C leaves at the end.
    @usableFromInline var padding1: UInt16
    /// The room that C leaves at the end.
    @usableFromInline var padding2: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        header: CapabilityHeader = CapabilityHeader(),
        dasm: UInt64 = 0,
        msiAddress: UInt64 = 0,
        flags: ZPCIGroupFlags = [],
        measurementInterval: UInt16 = 0,
        interruptCount: UInt16 = 0,
        maxStoreBlock: UInt16 = 0,
        version: UInt8 = 0,
        reserved: UInt8 = 0,
        maxInterpretedStoreBlock: UInt16 = 0
    ) {
        self.header = header
        self.dasm = dasm
        self.msiAddress = msiAddress
        self.flags = flags
        self.measurementInterval = measurementInterval
        self.interruptCount = interruptCount
        self.maxStoreBlock = maxStoreBlock
        self.version = version
        self.reserved = reserved
        self.maxInterpretedStoreBlock = maxInterpretedStoreBlock
        self.padding1 = 0
        self.padding2 = 0
    }
}

/// `vfio_device_info_cap_zpci_util`: capability `DeviceCapabilityID.zpciUtility`. A string of `size` bytes
/// follows it.
public struct ZPCIUtilityCapability: ABIValue, Equatable {
    /// `header`: the capability's header.
    public var header: CapabilityHeader
    /// `size`: bytes that follow.
    public var size: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        header: CapabilityHeader = CapabilityHeader(),
        size: UInt32 = 0
    ) {
        self.header = header
        self.size = size
    }
}

/// `vfio_device_info_cap_zpci_pfip`: capability `DeviceCapabilityID.zpciPFIP`: the path to the function.
/// `size` bytes follow it.
public struct ZPCIPFIPCapability: ABIValue, Equatable {
    /// `header`: the capability's header.
    public var header: CapabilityHeader
    /// `size`: bytes that follow.
    public var size: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        header: CapabilityHeader = CapabilityHeader(),
        size: UInt32 = 0
    ) {
        self.header = header
        self.size = size
    }
}
