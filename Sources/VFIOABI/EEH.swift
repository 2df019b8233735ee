/// What `EEHRequest` does to the partitionable endpoint of a group.
public struct EEHOperation: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_EEH_PE_DISABLE`: nothing, any more.
    @inlinable public static var disable: EEHOperation { EEHOperation(rawValue: 0) }

    /// `VFIO_EEH_PE_ENABLE`: thaw it and let errors be handled.
    @inlinable public static var enable: EEHOperation { EEHOperation(rawValue: 1) }

    /// `VFIO_EEH_PE_UNFREEZE_IO`: let registers be reached.
    @inlinable public static var unfreezeIO: EEHOperation { EEHOperation(rawValue: 2) }

    /// `VFIO_EEH_PE_UNFREEZE_DMA`: let DMA happen.
    @inlinable public static var unfreezeDMA: EEHOperation { EEHOperation(rawValue: 3) }

    /// `VFIO_EEH_PE_GET_STATE`: the request answers with an `EEHState`.
    @inlinable public static var getState: EEHOperation { EEHOperation(rawValue: 4) }

    /// `VFIO_EEH_PE_RESET_DEACTIVATE`: end a reset.
    @inlinable public static var resetDeactivate: EEHOperation { EEHOperation(rawValue: 5) }

    /// `VFIO_EEH_PE_RESET_HOT`: begin a hot reset.
    @inlinable public static var resetHot: EEHOperation { EEHOperation(rawValue: 6) }

    /// `VFIO_EEH_PE_RESET_FUNDAMENTAL`: begin a fundamental reset.
    @inlinable public static var resetFundamental: EEHOperation { EEHOperation(rawValue: 7) }

    /// `VFIO_EEH_PE_CONFIGURE`: restore bridges and configuration spaces.
    @inlinable public static var configure: EEHOperation { EEHOperation(rawValue: 8) }

    /// `VFIO_EEH_PE_INJECT_ERR`: inject an error: `EEHRequest.error`.
    @inlinable public static var injectError: EEHOperation { EEHOperation(rawValue: 9) }
}

/// The state of a partitionable endpoint.
public struct EEHState: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_EEH_PE_STATE_NORMAL`: it works.
    @inlinable public static var normal: EEHState { EEHState(rawValue: 0) }

    /// `VFIO_EEH_PE_STATE_RESET`: it is in reset.
    @inlinable public static var reset: EEHState { EEHState(rawValue: 1) }

    /// `VFIO_EEH_PE_STATE_STOPPED`: registers and DMA are frozen.
    @inlinable public static var stopped: EEHState { EEHState(rawValue: 2) }

    /// `VFIO_EEH_PE_STATE_STOPPED_DMA`: DMA is frozen.
    @inlinable public static var stoppedDMA: EEHState { EEHState(rawValue: 4) }

    /// `VFIO_EEH_PE_STATE_UNAVAIL`: it cannot be used.
    @inlinable public static var unavailable: EEHState { EEHState(rawValue: 5) }
}

/// `vfio_eeh_pe_err`: an error to inject.
public struct EEHError: ABIValue, Equatable {
    /// `type`: 0 for a 32-bit, 1 for a 64-bit error.
    public var type: UInt32
    /// `func`: what fails: 0 to 19.
    public var function: UInt32
    /// `addr`: where.
    public var address: UInt64
    /// `mask`: which bits of the address count.
    public var mask: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        type: UInt32 = 0,
        function: UInt32 = 0,
        address: UInt64 = 0,
        mask: UInt64 = 0
    ) {
        self.type = type
        self.function = function
        self.address = address
        self.mask = mask
    }
}

/// `vfio_eeh_pe_op`: the argument of `Request.eehOperation`. `error` is the only member of the union that
/// ends it; without it the request is 12 bytes.
public struct EEHRequest: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: zero; none are defined.
    public var flags: UInt32
    /// `op`: what to do.
    public var operation: EEHOperation
    /// The room that C leaves before the next field.
    @usableFromInline var padding: UInt32
    /// `err`: the error, for `EEHOperation.injectError`.
    public var error: EEHError

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 12 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: UInt32 = 0,
        operation: EEHOperation = EEHOperation(rawValue: 0),
        error: EEHError = EEHError()
    ) {
        self.argsz = argsz
        self.flags = flags
        self.operation = operation
        self.padding = 0
        self.error = error
    }
}
