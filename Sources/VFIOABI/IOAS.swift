/// `iommu_destroy`: the argument of `Request.iommufdDestroy`.
public struct IOMMUFDDestroy: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `id`: the object to destroy.
    public var id: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 8 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        id: UInt32 = 0
    ) {
        self.size = size
        self.id = id
    }
}

/// `iommu_ioas_alloc`: the argument of `Request.ioasAlloc`: makes an I/O address space.
public struct IOASAlloc: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `flags`: zero; none are defined.
    public var flags: UInt32
    /// `out_ioas_id`: answer: the new object's number.
    public var ioasID: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 12 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: UInt32 = 0,
        ioasID: UInt32 = 0
    ) {
        self.size = size
        self.flags = flags
        self.ioasID = ioasID
    }
}

/// `iommu_iova_range`: a range of IOVAs.
public struct IOASIOVARange: ABIValue, Equatable {
    /// `start`: the first IOVA.
    public var start: UInt64
    /// `last`: the last IOVA, inclusive.
    public var last: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        start: UInt64 = 0,
        last: UInt64 = 0
    ) {
        self.start = start
        self.last = last
    }
}

/// `iommu_ioas_iova_ranges`: the argument of `Request.ioasIOVARanges`: which IOVAs can be mapped.
public struct IOASIOVARanges: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `ioas_id`: the address space.
    public var ioasID: UInt32
    /// `num_iovas`: room for so many ranges; in the answer how many there are.
    public var rangeCount: UInt32
    /// `__reserved`: zero.
    public var reserved: UInt32
    /// `allowed_iovas`: the process's address of an array of `IOASIOVARange`.
    public var ranges: UInt64
    /// `out_iova_alignment`: answer: what IOVAs and sizes are multiples of.
    public var alignment: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 32 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        ioasID: UInt32 = 0,
        rangeCount: UInt32 = 0,
        reserved: UInt32 = 0,
        ranges: UInt64 = 0,
        alignment: UInt64 = 0
    ) {
        self.size = size
        self.ioasID = ioasID
        self.rangeCount = rangeCount
        self.reserved = reserved
        self.ranges = ranges
        self.alignment = alignment
    }
}

/// `iommu_ioas_allow_iovas`: the argument of `Request.ioasAllowIOVAs`: ranges that stay usable and that
/// automatic addresses are taken from.
public struct IOASAllowIOVAs: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `ioas_id`: the address space.
    public var ioasID: UInt32
    /// `num_iovas`: the number of ranges; 0 lifts the restriction.
    public var rangeCount: UInt32
    /// `__reserved`: zero.
    public var reserved: UInt32
    /// `allowed_iovas`: the process's address of an array of `IOASIOVARange`.
    public var ranges: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 24 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        ioasID: UInt32 = 0,
        rangeCount: UInt32 = 0,
        reserved: UInt32 = 0,
        ranges: UInt64 = 0
    ) {
        self.size = size
        self.ioasID = ioasID
        self.rangeCount = rangeCount
        self.reserved = reserved
        self.ranges = ranges
    }
}

/// How the mapping requests of an I/O address space map.
public struct IOASMapFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_IOAS_MAP_FIXED_IOVA`: `iova` is given; else it is chosen and returned.
    @inlinable public static var fixedIOVA: IOASMapFlags { IOASMapFlags(rawValue: 1 << 0) }

    /// `IOMMU_IOAS_MAP_WRITEABLE`: the device may write.
    @inlinable public static var writeable: IOASMapFlags { IOASMapFlags(rawValue: 1 << 1) }

    /// `IOMMU_IOAS_MAP_READABLE`: the device may read.
    @inlinable public static var readable: IOASMapFlags { IOASMapFlags(rawValue: 1 << 2) }
}

/// `iommu_ioas_map`: the argument of `Request.ioasMap`: maps the process's memory.
public struct IOASMap: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `flags`: how.
    public var flags: IOASMapFlags
    /// `ioas_id`: the address space.
    public var ioasID: UInt32
    /// `__reserved`: zero.
    public var reserved: UInt32
    /// `user_va`: the process's address of the memory.
    public var userVA: UInt64
    /// `length`: bytes.
    public var length: UInt64
    /// `iova`: the IOVA, given or chosen.
    public var iova: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 40 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: IOASMapFlags = [],
        ioasID: UInt32 = 0,
        reserved: UInt32 = 0,
        userVA: UInt64 = 0,
        length: UInt64 = 0,
        iova: UInt64 = 0
    ) {
        self.size = size
        self.flags = flags
        self.ioasID = ioasID
        self.reserved = reserved
        self.userVA = userVA
        self.length = length
        self.iova = iova
    }
}

/// `iommu_ioas_map_file`: the argument of `Request.ioasMapFile`: maps a file's memory (a memfd, a dma-buf).
public struct IOASMapFile: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `flags`: how.
    public var flags: IOASMapFlags
    /// `ioas_id`: the address space.
    public var ioasID: UInt32
    /// `fd`: the file.
    public var fd: Int32
    /// `start`: the offset in the file, in bytes.
    public var start: UInt64
    /// `length`: bytes.
    public var length: UInt64
    /// `iova`: the IOVA, given or chosen.
    public var iova: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 40 }

    /// Makes the structure with `size` set to its own size; what is not given is zero, a descriptor −1.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: IOASMapFlags = [],
        ioasID: UInt32 = 0,
        fd: Int32 = -1,
        start: UInt64 = 0,
        length: UInt64 = 0,
        iova: UInt64 = 0
    ) {
        self.size = size
        self.flags = flags
        self.ioasID = ioasID
        self.fd = fd
        self.start = start
        self.length = length
        self.iova = iova
    }
}

/// `iommu_ioas_copy`: the argument of `Request.ioasCopy`: maps what another address space has mapped.
public struct IOASCopy: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `flags`: how.
    public var flags: IOASMapFlags
    /// `dst_ioas_id`: the address space to map in.
    public var destinationIOASID: UInt32
    /// `src_ioas_id`: the address space to take from.
    public var sourceIOASID: UInt32
    /// `length`: bytes.
    public var length: UInt64
    /// `dst_iova`: the IOVA to map at, given or chosen.
    public var destinationIOVA: UInt64
    /// `src_iova`: the IOVA to take from.
    public var sourceIOVA: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 40 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: IOASMapFlags = [],
        destinationIOASID: UInt32 = 0,
        sourceIOASID: UInt32 = 0,
        length: UInt64 = 0,
        destinationIOVA: UInt64 = 0,
        sourceIOVA: UInt64 = 0
    ) {
        self.size = size
        self.flags = flags
        self.destinationIOASID = destinationIOASID
        self.sourceIOASID = sourceIOASID
        self.length = length
        self.destinationIOVA = destinationIOVA
        self.sourceIOVA = sourceIOVA
    }
}

/// `iommu_ioas_unmap`: the argument of `Request.ioasUnmap`. IOVA 0 with the largest length unmaps
/// everything.
public struct IOASUnmap: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `ioas_id`: the address space.
    public var ioasID: UInt32
    /// `iova`: the first IOVA.
    public var iova: UInt64
    /// `length`: bytes; in the answer the bytes that were unmapped.
    public var length: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 24 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        ioasID: UInt32 = 0,
        iova: UInt64 = 0,
        length: UInt64 = 0
    ) {
        self.size = size
        self.ioasID = ioasID
        self.iova = iova
        self.length = length
    }
}

/// `iommu_ioas_change_process`: the argument of `Request.ioasChangeProcess`: moves the accounting of all
/// file mappings to the caller.
public struct IOASChangeProcess: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `__reserved`: zero.
    public var reserved: UInt32

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 8 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        reserved: UInt32 = 0
    ) {
        self.size = size
        self.reserved = reserved
    }
}

/// An option of an iommufd.
public struct IOMMUFDOptionID: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `IOMMU_OPTION_RLIMIT_MODE`: whom locked memory is accounted to: 0 the user, 1 the process.
    @inlinable public static var rlimitMode: IOMMUFDOptionID { IOMMUFDOptionID(rawValue: 0) }

    /// `IOMMU_OPTION_HUGE_PAGES`: whether an address space merges pages: 1 yes, 0 no.
    @inlinable public static var hugePages: IOMMUFDOptionID { IOMMUFDOptionID(rawValue: 1) }
}

/// What to do with an option.
public struct IOMMUFDOptionOperation: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt16

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// `IOMMU_OPTION_OP_SET`: set it.
    @inlinable public static var set: IOMMUFDOptionOperation { IOMMUFDOptionOperation(rawValue: 0) }

    /// `IOMMU_OPTION_OP_GET`: get it.
    @inlinable public static var get: IOMMUFDOptionOperation { IOMMUFDOptionOperation(rawValue: 1) }
}

/// `iommu_option`: the argument of `Request.iommufdOption`.
public struct IOMMUFDOption: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `option_id`: the option.
    public var optionID: IOMMUFDOptionID
    /// `op`: what to do.
    public var operation: IOMMUFDOptionOperation
    /// `__reserved`: zero.
    public var reserved: UInt16
    /// `object_id`: the object it is for, 0 for the iommufd.
    public var objectID: UInt32
    /// `val64`: the value to set, or the answer.
    public var value: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 24 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        optionID: IOMMUFDOptionID = IOMMUFDOptionID(rawValue: 0),
        operation: IOMMUFDOptionOperation = IOMMUFDOptionOperation(rawValue: 0),
        reserved: UInt16 = 0,
        objectID: UInt32 = 0,
        value: UInt64 = 0
    ) {
        self.size = size
        self.optionID = optionID
        self.operation = operation
        self.reserved = reserved
        self.objectID = objectID
        self.value = value
    }
}

/// What to do with the address space that stands in for a container.
public struct VFIOCompatibilityIOASOperation: RawRepresentable, Hashable, ABIValue {
    /// The number as the uAPI has it; unknown ones are kept.
    public var rawValue: UInt16

    /// Takes any number, known or not.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// `IOMMU_VFIO_IOAS_GET`: get it.
    @inlinable public static var get: VFIOCompatibilityIOASOperation {
        VFIOCompatibilityIOASOperation(rawValue: 0)
    }

    /// `IOMMU_VFIO_IOAS_SET`: set it.
    @inlinable public static var set: VFIOCompatibilityIOASOperation {
        VFIOCompatibilityIOASOperation(rawValue: 1)
    }

    /// `IOMMU_VFIO_IOAS_CLEAR`: have none.
    @inlinable public static var clear: VFIOCompatibilityIOASOperation {
        VFIOCompatibilityIOASOperation(rawValue: 2)
    }
}

/// `iommu_vfio_ioas`: the argument of `Request.iommufdVFIOIOAS`: the address space that vfio.h's container
/// requests act on.
public struct VFIOCompatibilityIOAS: SizePrefixed, Equatable {
    /// `size`: the size of the structure in bytes, as the caller knows it.
    public var size: UInt32
    /// `ioas_id`: the address space to set, or the answer.
    public var ioasID: UInt32
    /// `op`: what to do.
    public var operation: VFIOCompatibilityIOASOperation
    /// `__reserved`: zero.
    public var reserved: UInt16

    /// The smallest size, in bytes, that the kernel accepts in `size`.
    @inlinable public static var minimumSize: Int { 12 }

    /// Makes the structure with `size` set to its own size; what is not given is zero.
    @inlinable
    public init(
        size: UInt32 = UInt32(MemoryLayout<Self>.size),
        ioasID: UInt32 = 0,
        operation: VFIOCompatibilityIOASOperation = VFIOCompatibilityIOASOperation(rawValue: 0),
        reserved: UInt16 = 0
    ) {
        self.size = size
        self.ioasID = ioasID
        self.operation = operation
        self.reserved = reserved
    }
}
