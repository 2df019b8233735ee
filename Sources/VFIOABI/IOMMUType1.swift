/// How `DMAMap` maps.
public struct DMAMapFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_DMA_MAP_FLAG_READ`: the device may read.
    @inlinable public static var read: DMAMapFlags { DMAMapFlags(rawValue: 1 << 0) }

    /// `VFIO_DMA_MAP_FLAG_WRITE`: the device may write.
    @inlinable public static var write: DMAMapFlags { DMAMapFlags(rawValue: 1 << 1) }

    /// `VFIO_DMA_MAP_FLAG_VADDR`: give an existing mapping its new process address; alone.
    @inlinable public static var vaddr: DMAMapFlags { DMAMapFlags(rawValue: 1 << 2) }
}

/// `vfio_iommu_type1_dma_map`: the argument of `Request.iommuMapDMA`.
public struct DMAMap: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: what the device may do.
    public var flags: DMAMapFlags
    /// `vaddr`: the process's address of the memory.
    public var vaddr: UInt64
    /// `iova`: the address that the device uses.
    public var iova: UInt64
    /// `size`: bytes; a multiple of the IOMMU's page.
    public var size: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 32 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: DMAMapFlags = [],
        vaddr: UInt64 = 0,
        iova: UInt64 = 0,
        size: UInt64 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.vaddr = vaddr
        self.iova = iova
        self.size = size
    }
}

/// `vfio_bitmap`: a bitmap in the process's memory, one bit a page.
public struct Bitmap: ABIValue, Equatable {
    /// `pgsize`: the bytes that one bit stands for.
    public var pageSize: UInt64
    /// `size`: the size of the bitmap in bytes; a multiple of 8.
    public var size: UInt64
    /// `data`: the process's address of the bitmap, an array of 64-bit words.
    public var data: UInt64

    /// The longest bitmap that Linux takes, in bytes: the bits of 2^31 pages.
    @inlinable public static var mostByteCount: UInt64 { 256 << 20 }

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        pageSize: UInt64 = 0,
        size: UInt64 = 0,
        data: UInt64 = 0
    ) {
        self.pageSize = pageSize
        self.size = size
        self.data = data
    }

    /// Whether it has a bit for each page of a range of so many bytes, and isn't longer than Linux takes.
    @inlinable
    public func holds(rangeSize: UInt64) -> Bool {
        guard pageSize != 0 else { return false }
        let pages = rangeSize >> UInt64(pageSize.trailingZeroBitCount)
        // 2^31 bits at most; compared first, so that the rounding can't overflow.
        return pages != 0 && size != 0 && size <= Self.mostByteCount && pages <= 1 << 31
            && size >= (pages + 63) / 64 * 8
    }
}

/// How `DMAUnmap` unmaps.
public struct DMAUnmapFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP`: report the dirty pages first: a `Bitmap` follows the
    /// structure.
    @inlinable public static var getDirtyBitmap: DMAUnmapFlags { DMAUnmapFlags(rawValue: 1 << 0) }

    /// `VFIO_DMA_UNMAP_FLAG_ALL`: unmap everything; `iova` and `size` are 0.
    @inlinable public static var all: DMAUnmapFlags { DMAUnmapFlags(rawValue: 1 << 1) }

    /// `VFIO_DMA_UNMAP_FLAG_VADDR`: forget the process's addresses, keep the mappings.
    @inlinable public static var vaddr: DMAUnmapFlags { DMAUnmapFlags(rawValue: 1 << 2) }
}

/// `vfio_iommu_type1_dma_unmap`: the argument of `Request.iommuUnmapDMA`. With
/// `DMAUnmapFlags.getDirtyBitmap` a `Bitmap` follows it (`DMAUnmapWithBitmap`).
public struct DMAUnmap: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: how.
    public var flags: DMAUnmapFlags
    /// `iova`: the first IOVA.
    public var iova: UInt64
    /// `size`: bytes; in the answer the bytes that were really unmapped.
    public var size: UInt64

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 24 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: DMAUnmapFlags = [],
        iova: UInt64 = 0,
        size: UInt64 = 0
    ) {
        self.argsz = argsz
        self.flags = flags
        self.iova = iova
        self.size = size
    }
}

/// What `DirtyBitmap` does: exactly one.
public struct DirtyBitmapFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_IOMMU_DIRTY_PAGES_FLAG_START`: start to track.
    @inlinable public static var start: DirtyBitmapFlags { DirtyBitmapFlags(rawValue: 1 << 0) }

    /// `VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP`: stop.
    @inlinable public static var stop: DirtyBitmapFlags { DirtyBitmapFlags(rawValue: 1 << 1) }

    /// `VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP`: report and clear: a `DirtyBitmapGet` follows the structure.
    @inlinable public static var getBitmap: DirtyBitmapFlags { DirtyBitmapFlags(rawValue: 1 << 2) }
}

/// `vfio_iommu_type1_dirty_bitmap`: the argument of `Request.iommuDirtyPages`. With
/// `DirtyBitmapFlags.getBitmap` a `DirtyBitmapGet` follows it (`DirtyBitmapWithGet`).
public struct DirtyBitmap: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: what to do.
    public var flags: DirtyBitmapFlags

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 8 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: DirtyBitmapFlags = []
    ) {
        self.argsz = argsz
        self.flags = flags
    }
}

/// `vfio_iommu_type1_dirty_bitmap_get`: which dirty pages to report, and where.
public struct DirtyBitmapGet: ABIValue, Equatable {
    /// `iova`: the first IOVA.
    public var iova: UInt64
    /// `size`: bytes.
    public var size: UInt64
    /// `bitmap`: where the bits go.
    public var bitmap: Bitmap

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        iova: UInt64 = 0,
        size: UInt64 = 0,
        bitmap: Bitmap = Bitmap()
    ) {
        self.iova = iova
        self.size = size
        self.bitmap = bitmap
    }
}

/// A `vfio_iommu_type1_dma_unmap` with the `vfio_bitmap` that follows it: 48 bytes, for
/// `DMAUnmapFlags.getDirtyBitmap`.
public struct DMAUnmapWithBitmap: SizePrefixed, Equatable {
    /// The unmapping; its `argsz` is the size of both.
    public var unmap: DMAUnmap
    /// Where the dirty bits go; bit 0 stands for `unmap.iova`.
    public var bitmap: Bitmap

    /// Both parts are needed, 48 bytes.
    @inlinable public static var minimumSize: Int { 48 }

    /// Makes an unmapping of `size` bytes at `iova` that reports dirty pages to `bitmap`.
    @inlinable
    public init(iova: UInt64 = 0, size: UInt64 = 0, bitmap: Bitmap = Bitmap()) {
        self.unmap = DMAUnmap(
            argsz: UInt32(MemoryLayout<Self>.size), flags: .getDirtyBitmap, iova: iova, size: size)
        self.bitmap = bitmap
    }
}

/// A `vfio_iommu_type1_dirty_bitmap` with the `vfio_iommu_type1_dirty_bitmap_get` that follows it: 48 bytes,
/// for `DirtyBitmapFlags.getBitmap`.
public struct DirtyBitmapWithGet: SizePrefixed, Equatable {
    /// The request; its `argsz` is the size of both.
    public var request: DirtyBitmap
    /// What to report and where.
    public var get: DirtyBitmapGet

    /// Both parts are needed, 48 bytes.
    @inlinable public static var minimumSize: Int { 48 }

    /// Makes a request to report the dirty pages of `size` bytes at `iova` to `bitmap`.
    @inlinable
    public init(iova: UInt64 = 0, size: UInt64 = 0, bitmap: Bitmap = Bitmap()) {
        self.request = DirtyBitmap(argsz: UInt32(MemoryLayout<Self>.size), flags: .getBitmap)
        self.get = DirtyBitmapGet(iova: iova, size: size, bitmap: bitmap)
    }
}
