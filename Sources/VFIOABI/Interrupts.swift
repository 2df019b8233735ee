/// What `IRQInfo` says about an interrupt index.
public struct IRQFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_IRQ_INFO_EVENTFD`: it signals eventfds.
    @inlinable public static var eventFD: IRQFlags { IRQFlags(rawValue: 1 << 0) }

    /// `VFIO_IRQ_INFO_MASKABLE`: it can be masked and unmasked.
    @inlinable public static var maskable: IRQFlags { IRQFlags(rawValue: 1 << 1) }

    /// `VFIO_IRQ_INFO_AUTOMASKED`: it is masked when it fires and must be unmasked.
    @inlinable public static var automasked: IRQFlags { IRQFlags(rawValue: 1 << 2) }

    /// `VFIO_IRQ_INFO_NORESIZE`: the set of enabled vectors cannot grow: disable first.
    @inlinable public static var noResize: IRQFlags { IRQFlags(rawValue: 1 << 3) }
}

/// `vfio_irq_info`: question and answer of `Request.deviceGetIRQInfo`.
public struct IRQInfo: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: how the index behaves.
    public var flags: IRQFlags
    /// `index`: the index asked for.
    public var index: UInt32
    /// `count`: how many vectors it has, 0 where there is no such interrupt.
    public var count: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 16 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: IRQFlags = [],
        index: UInt32 = 0,
        count: UInt32 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.index = index
        self.count = count
    }
}

/// What `IRQSet` does, and with what data: exactly one of each kind.
public struct IRQSetFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_IRQ_SET_DATA_NONE`: no data follows: the action is for every vector of the range.
    @inlinable public static var dataNone: IRQSetFlags { IRQSetFlags(rawValue: 1 << 0) }

    /// `VFIO_IRQ_SET_DATA_BOOL`: one `UInt8` a vector follows: the action is for those that are not zero.
    @inlinable public static var dataBool: IRQSetFlags { IRQSetFlags(rawValue: 1 << 1) }

    /// `VFIO_IRQ_SET_DATA_EVENTFD`: one `Int32` a vector follows: the eventfd to use, −1 for none.
    @inlinable public static var dataEventFD: IRQSetFlags { IRQSetFlags(rawValue: 1 << 2) }

    /// `VFIO_IRQ_SET_ACTION_MASK`: mask.
    @inlinable public static var actionMask: IRQSetFlags { IRQSetFlags(rawValue: 1 << 3) }

    /// `VFIO_IRQ_SET_ACTION_UNMASK`: unmask.
    @inlinable public static var actionUnmask: IRQSetFlags { IRQSetFlags(rawValue: 1 << 4) }

    /// `VFIO_IRQ_SET_ACTION_TRIGGER`: trigger; with eventfds: set who is signalled.
    @inlinable public static var actionTrigger: IRQSetFlags { IRQSetFlags(rawValue: 1 << 5) }

    /// `VFIO_IRQ_SET_DATA_TYPE_MASK`: the bits that say what data follows.
    @inlinable public static var dataTypeMask: IRQSetFlags { IRQSetFlags(rawValue: 0x07) }

    /// `VFIO_IRQ_SET_ACTION_TYPE_MASK`: the bits that say what to do.
    @inlinable public static var actionTypeMask: IRQSetFlags { IRQSetFlags(rawValue: 0x38) }

    /// The bytes of data for each vector: 0, 1 or 4; nil where not exactly one kind of data is named.
    @inlinable public var dataElementSize: Int? {
        switch rawValue & IRQSetFlags.dataTypeMask.rawValue {
        case IRQSetFlags.dataNone.rawValue: 0
        case IRQSetFlags.dataBool.rawValue: 1
        case IRQSetFlags.dataEventFD.rawValue: 4
        default: nil
        }
    }
}

/// `vfio_irq_set`: the head of the argument of `Request.deviceSetIRQs`; the data of `count` vectors follows
/// it.
public struct IRQSet: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: the action and the kind of data.
    public var flags: IRQSetFlags
    /// `index`: the interrupt index.
    public var index: UInt32
    /// `start`: the first vector.
    public var start: UInt32
    /// `count`: the number of vectors; 0 with `dataNone` and `actionTrigger` disables the index.
    public var count: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 20 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: IRQSetFlags = [],
        index: UInt32 = 0,
        start: UInt32 = 0,
        count: UInt32 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.index = index
        self.start = start
        self.count = count
    }

    /// The size of a whole request, header and data, in bytes.
    ///
    /// - Returns: What belongs in `argsz`; nil where it does not fit there, or where `flags` does not name exactly
    ///   one kind of data.
    @inlinable public static func byteCount(count: UInt32, flags: IRQSetFlags) -> UInt32? {
        guard let element = flags.dataElementSize else { return nil }
        let data = count.multipliedReportingOverflow(by: UInt32(element))
        let whole = data.partialValue.addingReportingOverflow(20)
        return data.overflow || whole.overflow ? nil : whole.partialValue
    }
}
