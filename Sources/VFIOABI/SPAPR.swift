/// What `SPAPRTCEInfo` holds.
public struct SPAPRTCEInfoFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_IOMMU_SPAPR_INFO_DDW`: `ddw` is filled in.
    @inlinable public static var ddw: SPAPRTCEInfoFlags { SPAPRTCEInfoFlags(rawValue: 1 << 0) }
}

/// `vfio_iommu_spapr_tce_ddw_info`: what can be done with dynamic DMA windows.
public struct SPAPRTCEDDWInfo: ABIValue, Equatable {
    /// `pgsizes`: page sizes: bit n stands for 2^n bytes.
    public var pageSizes: UInt64
    /// `max_dynamic_windows_supported`: how many windows there can be.
    public var maxDynamicWindows: UInt32
    /// `levels`: how many levels of tables there can be.
    public var levels: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        pageSizes: UInt64 = 0,
        maxDynamicWindows: UInt32 = 0,
        levels: UInt32 = 0
    ) {
        self.pageSizes = pageSizes
        self.maxDynamicWindows = maxDynamicWindows
        self.levels = levels
    }
}

/// `vfio_iommu_spapr_tce_info`: the answer to `Request.spaprTCEGetInfo`.
public struct SPAPRTCEInfo: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: what is filled in.
    public var flags: SPAPRTCEInfoFlags
    /// `dma32_window_start`: where the default window starts, a bus address.
    public var dma32WindowStart: UInt32
    /// `dma32_window_size`: its size in bytes.
    public var dma32WindowSize: UInt32
    /// `ddw`: dynamic windows.
    public var ddw: SPAPRTCEDDWInfo

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 16 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: SPAPRTCEInfoFlags = [],
        dma32WindowStart: UInt32 = 0,
        dma32WindowSize: UInt32 = 0,
        ddw: SPAPRTCEDDWInfo = SPAPRTCEDDWInfo()
    ) {
        self.argsz = argsz
        self.flags = flags
        self.dma32WindowStart = dma32WindowStart
        self.dma32WindowSize = dma32WindowSize
        self.ddw = ddw
    }
}

/// `vfio_iommu_spapr_register_memory`: the argument of `Request.spaprRegisterMemory` and
/// `Request.spaprUnregisterMemory`.
public struct SPAPRRegisterMemory: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: zero; none are defined.
    public var flags: UInt32
    /// `vaddr`: the process's address of the memory.
    public var vaddr: UInt64
    /// `size`: bytes.
    public var size: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 24 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: UInt32 = 0,
        vaddr: UInt64 = 0,
        size: UInt64 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.vaddr = vaddr
        self.size = size
    }
}

/// `vfio_iommu_spapr_tce_create`: the argument of `Request.spaprTCECreate`: makes a DMA window.
public struct SPAPRTCECreate: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: zero; none are defined.
    public var flags: UInt32
    /// `page_shift`: the page is 2^n bytes.
    public var pageShift: UInt32
    /// `__resv1`: zero.
    public var reserved1: UInt32
    /// `window_size`: bytes.
    public var windowSize: UInt64
    /// `levels`: levels of tables.
    public var levels: UInt32
    /// `__resv2`: zero.
    public var reserved2: UInt32
    /// `start_addr`: answer: where the window starts, a bus address.
    public var startAddress: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 40 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: UInt32 = 0,
        pageShift: UInt32 = 0,
        reserved1: UInt32 = 0,
        windowSize: UInt64 = 0,
        levels: UInt32 = 0,
        reserved2: UInt32 = 0,
        startAddress: UInt64 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.pageShift = pageShift
        self.reserved1 = reserved1
        self.windowSize = windowSize
        self.levels = levels
        self.reserved2 = reserved2
        self.startAddress = startAddress
    }
}

/// `vfio_iommu_spapr_tce_remove`: the argument of `Request.spaprTCERemove`: removes a DMA window.
public struct SPAPRTCERemove: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: zero; none are defined.
    public var flags: UInt32
    /// `start_addr`: where the window starts.
    public var startAddress: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 16 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: UInt32 = 0,
        startAddress: UInt64 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.startAddress = startAddress
    }
}
