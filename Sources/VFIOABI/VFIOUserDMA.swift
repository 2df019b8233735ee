/// How memory is mapped for a device: the `flags` of `UserDMAMap`.
public struct UserDMAMapFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the protocol has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_USER_F_DMA_REGION_READ`: the device may read it.
    @inlinable public static var read: UserDMAMapFlags { UserDMAMapFlags(rawValue: 1 << 0) }

    /// `VFIO_USER_F_DMA_REGION_WRITE`: the device may write it.
    @inlinable public static var write: UserDMAMapFlags { UserDMAMapFlags(rawValue: 1 << 1) }

    /// `VFIO_USER_F_DMA_REGION_MMAP`: the server is to map the descriptor.
    @inlinable public static var mmap: UserDMAMapFlags { UserDMAMapFlags(rawValue: 1 << 2) }

    /// `VFIO_USER_F_DMA_REGION_FILE_IO`: the server may read and write the descriptor's file.
    @inlinable public static var fileIO: UserDMAMapFlags { UserDMAMapFlags(rawValue: 1 << 3) }

    /// All bits that are known.
    @inlinable public static var known: UserDMAMapFlags { UserDMAMapFlags(rawValue: 0x0F) }
}

/// `vfio_user_dma_map`: the body of `UserCommand.dmaMap`. With a descriptor the memory is that file's; without
/// one it is reached by messages only. The reply is a bare header.
public struct UserDMAMap: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure in bytes.
    public var argsz: UInt32
    /// `flags`: what the device may do, and how the server reaches the memory.
    public var flags: UserDMAMapFlags
    /// `offset`: where in the descriptor's file the memory begins.
    public var offset: UInt64
    /// `addr`: the first IOVA.
    public var address: UInt64
    /// `size`: how many bytes.
    public var size: UInt64

    /// The smallest size, in bytes, that is accepted in `argsz`.
    @inlinable public static var minimumSize: Int { 32 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: UserDMAMapFlags = [],
        offset: UInt64 = 0,
        address: UInt64 = 0,
        size: UInt64 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.offset = offset
        self.address = address
        self.size = size
    }
}

/// What is unmapped, and what is told about it: the `flags` of `UserDMAUnmap`.
public struct UserDMAUnmapFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the protocol has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP`: a `UserDirtyBitmap` follows the structure, and the reply has the
    /// bits.
    @inlinable public static var getDirtyBitmap: UserDMAUnmapFlags { UserDMAUnmapFlags(rawValue: 1 << 0) }

    /// `VFIO_DMA_UNMAP_FLAG_ALL`: everything; address and size are 0.
    @inlinable public static var all: UserDMAUnmapFlags { UserDMAUnmapFlags(rawValue: 1 << 1) }
}

/// `vfio_user_dma_unmap`: the body of `UserCommand.dmaUnmap`; the reply repeats it.
public struct UserDMAUnmap: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what the reply has behind it, in bytes.
    public var argsz: UInt32
    /// `flags`: what is unmapped.
    public var flags: UserDMAUnmapFlags
    /// `addr`: the first IOVA.
    public var address: UInt64
    /// `size`: how many bytes.
    public var size: UInt64

    /// The smallest size, in bytes, that is accepted in `argsz`.
    @inlinable public static var minimumSize: Int { 24 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: UserDMAUnmapFlags = [],
        address: UInt64 = 0,
        size: UInt64 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.address = address
        self.size = size
    }
}

/// `vfio_user_bitmap`: behind a `UserDMAUnmap` with `UserDMAUnmapFlags.getDirtyBitmap`.
public struct UserDirtyBitmap: ABIValue, Equatable {
    /// `pgsize`: the bytes that a bit stands for.
    public var pageSize: UInt64
    /// `size`: the bytes of the bitmap.
    public var size: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(pageSize: UInt64 = 0, size: UInt64 = 0) {
        self.pageSize = pageSize
        self.size = size
    }
}

/// `vfio_user_dma_region_access`: the fixed part of `UserCommand.dmaRead` and `UserCommand.dmaWrite`, command and
/// reply; the data follows the reply of the one and the command of the other.
public struct UserDMAAccess: ABIValue, Equatable {
    /// `addr`: the first IOVA.
    public var address: UInt64
    /// `count`: how many bytes.
    public var count: UInt64

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(address: UInt64 = 0, count: UInt64 = 0) {
        self.address = address
        self.count = count
    }
}
